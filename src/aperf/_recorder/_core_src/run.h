/* What a task does between its resume and its next suspension or end: one run, one record.
 *
 * Here is what every step passes through, to be inlined; run.c holds the rest.
 */
#ifndef APERF_RUN_H
#define APERF_RUN_H

#include "recorder.h"

typedef struct {
    Recorder *recorder;
    Ring *ring;
    Entry *entry;
    int64_t t_ns;       /* when it began */
    int64_t ready_ns;   /* how long the task had been ready by then */
    uint64_t waker;     /* who had woken it, or 0 */
    int flags;          /* what is known so far, a set of StepFlag */
    const void *around; /* the entry of the task within whose step this is, for wrappers */
    HeldChain *held;    /* as the task was suspended when it began, while nesting; or NULL */
} Run;

/* Notes the whole chain of a wait that was long: of `coroutine`, or of the task's if that is NULL.
 */
void run_place_fully(Run *run, PyObject *task, PyObject *coroutine);

/* Holds the chain in which the task is suspended, if a CHAIN told it: of `coroutine`, or of the
 * task's if that is NULL. */
void run_hold(Run *run, PyObject *task, PyObject *coroutine);

/* Records the chain in which the task is suspended now; -1 with an exception set. */
int run_write_chain(const Run *run, PyObject *coroutine);

/* Writes a record whose numbers do not fit 32 bits. */
void run_write_wide(const Run *run, uint64_t busy_ns);

/* Records the exception that ended a task; -1 with an exception set. */
int run_record_failure(const Run *run, PyObject *error);

/* Records how a task ended, and that it did; -1 with an exception set. */
int run_leave_done(Run *run, PyObject *task, int64_t now);

/* Begins a run; its t_ns is now. */
static inline void
run_enter(Run *run, PyObject *task, PyObject *coroutine)
{
    Entry *entry = run->entry;
    run->t_ns = clock_now(&run->recorder->clock);
    run->ring->current = entry->id;
    run->ring->entry = entry;
    entry->running = true;
    if (UNLIKELY(entry->first && run->recorder->context_var != NULL) &&
        recorder_begin(run->recorder, entry->id) < 0) {
        recorder_fault(run->recorder);
    }
    /* After a long wait the whole chain is worth its price. */
    if (!entry->first && run->t_ns - entry->since_ns >= run->recorder->stack_min_ns) {
        run_place_fully(run, task, coroutine);
    }
    if (UNLIKELY(run->recorder->nesting)) {
        run_hold(run, task, coroutine);
    }
}

/* Lets go of what a run holds, however it went; it may run somebody's code. */
static inline void
run_release(const Run *run)
{
    if (UNLIKELY(run->held != NULL)) {
        chain_release(run->held);
    }
}

/* Records which of OpenTelemetry's spans is current at the end of a run; -1 with an exception set.
 * An eager step is seen from outside of its task's context. */
static inline int
run_look(const Run *run, PyObject *key)
{
    if (!(run->flags & STEP_DONE)) {
        return recorder_look(run->recorder, run->entry, run->flags & STEP_EAGER ? key : NULL);
    }
    recorder_forget_outer(run->recorder, run->entry->id);
    return 0;
}

static inline void
run_write(const Run *run, uint64_t busy_ns)
{
    const Entry *entry = run->entry;
    uint64_t ready_ns = (uint64_t)run->ready_ns;
    if (UNLIKELY((entry->id | run->waker | ready_ns | busy_ns) >> 32 != 0)) {
        run_write_wide(run, busy_ns);
        return;
    }
    Slot slot = {
        .t_ns = (uint64_t)run->t_ns,
        .kind = KIND_STEP,
        .slots = 1,
        .flags = (uint16_t)run->flags,
        .ref = entry->site,
        .task = (uint32_t)entry->id,
        .waker = (uint32_t)run->waker,
        .ready_ns = (uint32_t)ready_ns,
        .busy_ns = (uint32_t)busy_ns,
    };
    recorder_write_slot(run->recorder, run->ring, slot);
}

/* Ends a run where it is known already whether the task ended (STEP_DONE), or of what coroutine and
 * for what it waits; -1 with an exception set. */
static inline int
run_close(Run *run, PyObject *key, int64_t now, PyObject *coroutine, PyObject *waiter)
{
    Recorder *recorder = run->recorder;
    Entry *entry = run->entry;
    if (entry->first) {
        run->flags |= STEP_FIRST;
    }
    if (UNLIKELY(recorder->context_var != NULL) && run_look(run, key) < 0) {
        recorder_fault(recorder);
    }
    run_write(run, (uint64_t)(now - run->t_ns));
    entry->first = entry->running = entry->chained = false;
    entry->since_ns = now;
    if (run->flags & STEP_DONE) {
        if (entries_find(&recorder->entries, key) == entry) {
            entries_remove(&recorder->entries, entry);
        }
        return 0;
    }
    uint64_t id = entry->id;
    bool whole;
    int64_t site = recorder_site_of(recorder, coroutine, waiter, &whole);
    if (LIKELY(site >= 0 && entry->id == id)) { /* asking about new code ran Python */
        entry->site = (uint32_t)site;
        entry->whole = whole;
        if (UNLIKELY(recorder->nesting)) {
            return run_write_chain(run, coroutine);
        }
    }
    return site < 0 ? -1 : 0;
}

/* Ends a run of a task: records it, and notes where the task stands now; -1 with an exception set.
 */
static inline int
run_leave(Run *run, PyObject *task)
{
    Recorder *recorder = run->recorder;
    const Asyncio *asyncio = &recorder->state->asyncio;
    int64_t now = clock_now(&recorder->clock);
    int done = asyncio_done(asyncio, task);
    if (UNLIKELY(done < 0)) {
        return -1;
    }
    if (UNLIKELY(done || run->entry->first) &&
        recorder_rename(recorder, run->ring, run->entry, task) < 0) {
        return -1;
    }
    if (done) {
        return run_leave_done(run, task, now);
    }
    PyObject *coroutine = asyncio_coro(asyncio, task);
    PyObject *waiter = coroutine == NULL ? NULL : asyncio_waiter(asyncio, task);
    int result = -1;
    if (LIKELY(waiter != NULL)) {
        result = run_close(run, task, now, coroutine, waiter);
        Py_DECREF(waiter);
    }
    Py_XDECREF(coroutine);
    return result;
}

#endif
