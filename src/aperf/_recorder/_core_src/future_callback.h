/* Callbacks of futures that ended: they run with the task whose end made them run as the cause. */
#ifndef APERF_FUTURE_CALLBACK_H
#define APERF_FUTURE_CALLBACK_H

#include "recorder.h"

extern PyType_Spec future_callback_spec;

/* Returns what stands in for a future's callback. */
PyObject *future_callback_new(Recorder *recorder, PyObject *callback, uint64_t cause);

#endif
