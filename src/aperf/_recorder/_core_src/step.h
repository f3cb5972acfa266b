/* Steps: what runs between a task's resume and its next suspension or end. */
#ifndef APERF_STEP_H
#define APERF_STEP_H

#include "recorder.h"

extern PyType_Spec step_spec;

/* Returns what stands in for a callback that runs a task. Takes over `task`, also when it fails. */
PyObject *step_new(Recorder *recorder, Entry *entry, PyObject *task, PyObject *callback,
                   uint64_t waker, int flags);

/* Gives back the memory kept for further steps. */
void step_free_kept(ModuleState *state);

/* Begins a step; returns its start. After a long wait the whole chain is worth its price: of
 * `coroutine`, or of the task's if that is NULL. */
int64_t step_enter(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task,
                   PyObject *coroutine);

/* Ends a step of a task: records it, and notes where the task stands now; -1 with an exception set.
 * `t_ns`: when the step began; `ready_ns`: how long the task had been ready by then; `waker`: who
 * had woken it, or 0; `flags`: what is known so far. */
int step_leave(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task, int64_t t_ns,
               int64_t ready_ns, uint64_t waker, int flags);

/* The same where it is known already whether it ended (STEP_DONE), or what it awaits (not NULL). */
int step_close(Recorder *recorder, Ring *ring, Entry *entry, PyObject *key, int64_t now,
               int64_t t_ns, int64_t ready_ns, uint64_t waker, int flags, PyObject *coroutine,
               PyObject *waiter);

/* Records the exception that ended a task. */
int step_record_failure(Recorder *recorder, uint64_t id, PyObject *error);

#endif
