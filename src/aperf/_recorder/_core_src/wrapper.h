/* A coroutine that runs another one and records its steps: for loops that cannot be shadowed. */
#ifndef APERF_WRAPPER_H
#define APERF_WRAPPER_H

#include "recorder.h"

extern PyType_Spec wrapper_spec;

/* `name` may be NULL, `context` None. */
PyObject *wrapper_new(Recorder *recorder, PyObject *coroutine, PyObject *name, PyObject *context);

#endif
