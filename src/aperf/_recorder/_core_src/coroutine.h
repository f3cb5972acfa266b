/* What a coroutine is: its code, and whether it has begun. */
#ifndef APERF_COROUTINE_H
#define APERF_COROUTINE_H

#include "recorder.h"

/* Finds the code object of a coroutine or generator, a new reference; NULL for others; -1 with an
 * exception set. Of a wrapper, not started yet, it is the code that it is going to run. */
int coroutine_code(Recorder *recorder, PyObject *coroutine, PyObject **code);

/* Says whether a coroutine has run already (unknown kinds: yes); -1 with an exception set. */
int coroutine_is_started(const Names *names, PyObject *coroutine);

/* Says whether it runs right now (unknown kinds: no); -1 with an exception set. */
int coroutine_is_running(const Names *names, PyObject *coroutine);

#endif
