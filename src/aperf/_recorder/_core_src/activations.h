/* Activations: the frames that are awaited, by address. See ../_py/monitor.py for what they are.
 *
 * A child holds on to its parent, since they need not end in order.
 */
#ifndef APERF_ACTIVATIONS_H
#define APERF_ACTIVATIONS_H

#include "address.h"
#include "compat.h"

#include <stdbool.h>

typedef struct Activation {
    const void *frame; /* its address */
    PyObject *code;
    struct Activation *parent; /* what awaits it, NULL at the bottom */
    struct Activation *bottom; /* the outermost one of the task; no reference */
    Py_ssize_t references;
    uint64_t task;
    uint64_t seq;      /* not recorded: that of the nearest one below that is, or 0 */
    uint64_t start_ns; /* likewise */
    uint64_t told;     /* of the bottom: in which number the reader believes that the task is */
    bool recorded;
    bool announced; /* an IN_CALL said that it is open, or none is needed */
    bool is_task;   /* stands for the task itself and hands that on to what it awaits */
} Activation;

typedef struct {
    Activation **table; /* open addressing, linear probing, at most half full */
    size_t mask;
    size_t count;
} Activations;

int activations_init(Activations *activations);
void activations_free(Activations *activations);

/* Returns a new one, NULL with MemoryError set. It is not in the table yet. */
Activation *activation_new(const void *frame, PyObject *code, uint64_t task, Activation *parent);
void activation_release(Activation *activation);

/* Puts one in the table, which takes over the reference, in place of what had its address; -1 with
 * MemoryError set. */
int activations_put(Activations *activations, Activation *activation);

/* Takes one out of the table and hands over its reference; false if it is not there any more. */
bool activations_remove(Activations *activations, Activation *activation);

static inline Activation *
activation_hold(Activation *activation)
{
    activation->references++;
    return activation;
}

/* Returns the activation of a frame, NULL if it has none. A frame that went without a word may have
 * left its address to one that runs other code. */
static inline Activation *
activations_find(const Activations *activations, const void *frame, const PyObject *code)
{
    size_t at = address_hash(frame) & activations->mask;
    Activation *found;
    while ((found = activations->table[at]) != NULL && found->frame != frame) {
        at = (at + 1) & activations->mask;
    }
    return found != NULL && found->code == code ? found : NULL;
}

#endif
