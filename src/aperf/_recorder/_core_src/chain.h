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

/* What tells, after the task has run, which links of its chain are still the same. These are
 * references: the address of a coroutine is reused as soon as it has ended. Asynchronous generators
 * are referred to weakly: the program may drop one in its midst, and then is to see it finalized.
 * All others end before whoever awaits them goes on. */
typedef struct {
    int length;
    PyObject *links[]; /* outermost first */
} HeldChain;

/* Objects without frames of their own give none: what Cython has compiled is looked through, others
 * end the chain. */
void chain_walk(Chain *chain, PyObject *coroutine);

/* Returns the chain of a coroutine, held; NULL with MemoryError set. */
HeldChain *chain_hold(PyObject *coroutine);
void chain_release(HeldChain *held);

/* Returns how many of the outermost links of a chain are those that were held; NULL: none were. */
int chain_count_kept(const Chain *chain, const HeldChain *held);

/* Returns one link, 0 being the innermost. */
static inline PyObject *
chain_link(const Chain *chain, int index)
{
    return chain->links[chain->length - 1 - index];
}

#endif
