/* The await chain of a suspended coroutine: which frame awaits which. */
#ifndef APERF_CHAIN_H
#define APERF_CHAIN_H

#include "sites.h"

/* Innermost frame first, MAX_FRAMES at most. Code objects are borrowed from the coroutine, whose
 * chain does not change while it is suspended. */
typedef struct {
    int length;
    Frame frames[MAX_FRAMES];
} Chain;

/* Objects without frames of their own (Cython) give an empty chain. */
void chain_walk(Chain *chain, PyObject *coroutine);

#endif
