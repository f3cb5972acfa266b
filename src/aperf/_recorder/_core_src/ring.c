#include "ring.h"

Ring *
ring_new(uint64_t slots, PyObject *thread)
{
    Ring *ring = PyMem_RawCalloc(1, sizeof(Ring));
    if (ring == NULL) {
        goto fail;
    }
    /* Large and zeroed: the system hands the pages out when they are first written. */
    ring->slots = PyMem_RawCalloc(slots, SLOT_SIZE);
    if (ring->slots == NULL) {
        goto fail;
    }
    ring->mask = slots - 1;
    ring->limit = slots - slots / 8;
    ring->thread = thread;
    return ring;

fail:
    PyMem_RawFree(ring);
    Py_DECREF(thread);
    PyErr_NoMemory();
    return NULL;
}

void
ring_free(Ring *ring)
{
    Py_XDECREF(ring->thread);
    PyMem_RawFree(ring->slots);
    PyMem_RawFree(ring);
}

static Slot *
next_slot(Ring *ring)
{
    return &ring->slots[ring->head++ & ring->mask];
}

static void
mark_loss(Ring *ring, uint64_t t_ns)
{
    *next_slot(ring) = (Slot){.t_ns = t_ns, .kind = KIND_LOST, .slots = 1, .a = ring->lost};
    ring->lost = 0;
}

static bool
is_urgent(const Slot *first)
{
    if (first->kind == KIND_STEP || first->kind == KIND_WIDE) {
        return first->flags & STEP_DONE;
    }
    return first->kind < 32 && (URGENT_KINDS >> first->kind & 1);
}

bool
ring_put(Ring *ring, const Slot *first, const void *rest, size_t rest_size)
{
    uint64_t room = is_urgent(first) ? ring_size(ring) : ring->limit;
    uint64_t needed = first->slots + (ring->lost != 0);
    if (ring_used(ring) + needed > room) {
        ring->dropped++;
        ring->lost++;
        return false;
    }
    if (ring->lost != 0) {
        mark_loss(ring, first->t_ns);
    }
    *next_slot(ring) = *first;
    const char *from = rest;
    while (rest_size > 0) {
        size_t part = rest_size < SLOT_SIZE ? rest_size : SLOT_SIZE;
        Slot *slot = next_slot(ring);
        memcpy(slot, from, part);
        memset((char *)slot + part, 0, SLOT_SIZE - part);
        from += part;
        rest_size -= part;
    }
    return true;
}

PyObject *
ring_take(Ring *ring, uint64_t slots)
{
    uint64_t count = ring_used(ring) < slots ? ring_used(ring) : slots;
    uint64_t begin = ring->tail & ring->mask;
    uint64_t until_end = ring_size(ring) - begin;
    uint64_t first = count < until_end ? count : until_end;
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * SLOT_SIZE));
    if (data == NULL) {
        return NULL;
    }
    char *to = PyBytes_AS_STRING(data);
    memcpy(to, &ring->slots[begin], first * SLOT_SIZE);
    memcpy(to + first * SLOT_SIZE, ring->slots, (count - first) * SLOT_SIZE);
    ring->tail += count;
    ring->warned = ring_used(ring) * 2 > ring_size(ring);
    return data;
}
