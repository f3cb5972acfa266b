#include "activations.h"

#define FIRST_SIZE 64

int
activations_init(Activations *activations)
{
    *activations = (Activations){.mask = FIRST_SIZE - 1};
    activations->table = PyMem_Calloc(FIRST_SIZE, sizeof(Activation *));
    if (activations->table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
activations_free(Activations *activations)
{
    Activations old = *activations;
    *activations = (Activations){0};
    for (size_t at = 0; old.table != NULL && at <= old.mask; at++) {
        if (old.table[at] != NULL) {
            activation_release(old.table[at]);
        }
    }
    PyMem_Free(old.table);
}

Activation *
activation_new(const void *frame, PyObject *code, uint64_t task, Activation *parent)
{
    Activation *self = PyMem_Malloc(sizeof(Activation));
    if (self == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *self = (Activation){.frame = frame, .code = Py_NewRef(code), .references = 1, .task = task};
    self->bottom = self;
    if (parent != NULL) {
        self->parent = activation_hold(parent);
        self->bottom = parent->bottom;
        self->seq = parent->seq;
        self->start_ns = parent->start_ns;
    }
    return self;
}

void
activation_release(Activation *activation)
{
    while (activation != NULL && --activation->references == 0) {
        Activation *parent = activation->parent;
        Py_DECREF(activation->code);
        PyMem_Free(activation);
        activation = parent;
    }
}

static size_t
place_of(const Activations *activations, const void *frame)
{
    size_t at = address_hash(frame) & activations->mask;
    while (activations->table[at] != NULL && activations->table[at]->frame != frame) {
        at = (at + 1) & activations->mask;
    }
    return at;
}

static int
grow(Activations *activations)
{
    Activations old = *activations;
    Activation **table = PyMem_Calloc((old.mask + 1) * 2, sizeof(Activation *));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    activations->table = table;
    activations->mask = old.mask * 2 + 1;
    for (size_t at = 0; at <= old.mask; at++) {
        if (old.table[at] != NULL) {
            table[place_of(activations, old.table[at]->frame)] = old.table[at];
        }
    }
    PyMem_Free(old.table);
    return 0;
}

int
activations_put(Activations *activations, Activation *activation)
{
    if ((activations->count + 1) * 2 > activations->mask + 1 && grow(activations) < 0) {
        return -1;
    }
    size_t at = place_of(activations, activation->frame);
    Activation *before = activations->table[at];
    activations->table[at] = activation;
    if (before == NULL) {
        activations->count++;
    }
    else {
        activation_release(before);
    }
    return 0;
}

/* As in entries.c: moves back what was put behind the gap only because it was taken. */
static void
close_gap(Activations *activations, size_t at)
{
    Activation **table = activations->table;
    size_t mask = activations->mask;
    for (size_t next = (at + 1) & mask; table[next] != NULL; next = (next + 1) & mask) {
        size_t home = address_hash(table[next]->frame) & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            table[at] = table[next];
            at = next;
        }
    }
    table[at] = NULL;
}

bool
activations_remove(Activations *activations, Activation *activation)
{
    size_t at = place_of(activations, activation->frame);
    if (activations->table[at] != activation) {
        return false;
    }
    close_gap(activations, at);
    activations->count--;
    return true;
}
