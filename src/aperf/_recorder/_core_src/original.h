/* The methods of a loop that ours stand in for, and calls as vectorcall passes them. */
#ifndef APERF_ORIGINAL_H
#define APERF_ORIGINAL_H

#include "compat.h"

#include <stdbool.h>

/* A function of the loop; or what somebody put on the instance before us, which is bound already.
 */
typedef struct {
    PyObject *function;
    bool is_bound;
} Original;

typedef struct {
    PyObject *const *args;
    Py_ssize_t count; /* positional */
    PyObject *kwnames;
} Arguments;

/* Finds a method of a loop; -1 with an exception set. */
int original_find(Original *original, PyObject *loop, PyObject *name);

/* Calls it. `loop` is a weak reference; `first`, if not NULL, replaces the first argument. */
PyObject *original_call(const Original *original, PyObject *loop, PyObject *first, Arguments call);

/* Returns an argument given by keyword, borrowed; NULL if it was not. */
PyObject *arguments_keyword(Arguments call, PyObject *name);

#endif
