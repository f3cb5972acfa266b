/* The await chain of a suspended coroutine: who awaits whom. */
#ifndef APERF_CHAIN_H
#define APERF_CHAIN_H

#include "sites.h"

/* The coroutines and generators of a chain that have frames, the last MAX_FRAMES of them. They are
 * borrowed from the task's coroutine: a chain does not change while it is suspended. */
typedef struct {
    unsigned seen;               /* how many there were */
    PyObject *links[MAX_FRAMES]; /* written round and round, outermost first */
} Chain;

/* Objects without frames of their own (Cython) give an empty chain. */
void chain_walk(Chain *chain, PyObject *coroutine);

static inline int
chain_length(const Chain *chain)
{
    return chain->seen < MAX_FRAMES ? (int)chain->seen : MAX_FRAMES;
}

/* Returns one link, 0 being the innermost. */
static inline PyObject *
chain_link(const Chain *chain, int index)
{
    return chain->links[(chain->seen - 1 - (unsigned)index) % MAX_FRAMES];
}

#endif
