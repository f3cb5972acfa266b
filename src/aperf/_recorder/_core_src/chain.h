/* The await chain of a suspended coroutine: who awaits whom. */
#ifndef APERF_CHAIN_H
#define APERF_CHAIN_H

#include "sites.h"

/* The coroutines and generators of a chain that have frames, outermost first; of a longer chain the
 * innermost MAX_FRAMES. They are borrowed from the task's coroutine: a chain does not change while
 * it is suspended. */
typedef struct {
    int length;
    PyObject *links[MAX_FRAMES];
} Chain;

/* Objects without frames of their own (Cython) give an empty chain. */
void chain_walk(Chain *chain, PyObject *coroutine);

/* Returns one link, 0 being the innermost. */
static inline PyObject *
chain_link(const Chain *chain, int index)
{
    return chain->links[chain->length - 1 - index];
}

#endif
