/* Steps: what stands in for the callbacks that run tasks. */
#ifndef APERF_STEP_H
#define APERF_STEP_H

#include "recorder.h"

extern PyType_Spec step_spec;

/* Returns what stands in for a callback that runs a task. Takes over `task`, also when it fails. */
PyObject *step_new(Recorder *recorder, Entry *entry, PyObject *task, PyObject *callback,
                   uint64_t waker, int flags);

/* Gives back the memory kept for further steps. */
void step_free_kept(ModuleState *state);

#endif
