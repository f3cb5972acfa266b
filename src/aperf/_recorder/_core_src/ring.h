/* A bounded ring of slots with one writer, and a reader that takes what is there.
 *
 * Writer and reader hold the GIL, so two counters that only grow say everything: `head` counts the
 * slots ever written, `tail` those ever read. No atomics, no barriers.
 */
#ifndef APERF_RING_H
#define APERF_RING_H

#include "compat.h"
#include "layout.h"

#include <stdbool.h>

/* The birth that is under way on this thread: call_soon sees the task before create_task returns.
 */
typedef struct {
    PyObject *coroutine; /* borrowed from create_task's caller; NULL: none */
    uint64_t id;
    int64_t t_ns;
    uint64_t root; /* see descent.c; known early only if the task may be eager */
} Pending;

typedef struct {
    Slot *slots;
    uint64_t mask;
    uint64_t limit; /* the last eighth is for what others depend on */
    uint64_t head;
    uint64_t tail;
    uint64_t lost; /* since the last event that found room */
    uint64_t dropped;
    uint64_t current;  /* id of the task that runs on this thread, 0 for none */
    const void *entry; /* of the task that ran last on this thread; see hook.c */
    uint64_t cause;    /* while no task runs: the task whose end made this callback run */
    Pending pending;
    PyObject *thread; /* (identifier, name) */
    bool leaving;     /* the frames of a task are left one by one, innermost first; see monitor.c */
    bool warned;      /* the reader has been told that the ring is half full */
} Ring;

/* Takes over a reference to `thread`, also when it fails. */
Ring *ring_new(uint64_t slots, PyObject *thread);
void ring_free(Ring *ring);

/* Writes one event: its first slot, and what follows in further ones, padded with zeros. False when
 * there was no room; the loss is counted, and marked in the ring as soon as there is. */
bool ring_put(Ring *ring, const Slot *first, const void *rest, size_t rest_size);

/* Removes up to so many slots from the front and returns them as bytes. An event may be cut at the
 * end; its rest comes with the next call. */
PyObject *ring_take(Ring *ring, uint64_t slots);

static inline uint64_t
ring_size(const Ring *ring)
{
    return ring->mask + 1;
}

static inline uint64_t
ring_used(const Ring *ring)
{
    return ring->head - ring->tail;
}

static inline bool
ring_needs_reader(const Ring *ring)
{
    return !ring->warned && ring_used(ring) * 2 > ring_size(ring);
}

/* Whether an event of one slot can be written without further questions. */
static inline bool
ring_is_easy(const Ring *ring)
{
    return ring->lost == 0 && ring_used(ring) * 2 < ring_size(ring);
}

static inline void
ring_put_easily(Ring *ring, Slot slot)
{
    ring->slots[ring->head++ & ring->mask] = slot;
    /* The ring is larger than the caches: fetch what the next records will be written to. */
    __builtin_prefetch(&ring->slots[(ring->head + 4) & ring->mask], 1);
}

#endif
