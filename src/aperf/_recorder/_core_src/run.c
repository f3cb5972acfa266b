#include "run.h"

/* Returns a coroutine, or if it is NULL that of a task; a new reference. */
static PyObject *
coroutine_of(const Run *run, PyObject *task, PyObject *coroutine)
{
    return coroutine == NULL ? asyncio_coro(&run->recorder->state->asyncio, task)
                             : Py_NewRef(coroutine);
}

/* Walks the chain of a suspended task to find its site. */
static int64_t
walk_to_site(const Run *run, PyObject *task, PyObject *coroutine)
{
    coroutine = coroutine_of(run, task, coroutine);
    if (coroutine == NULL) {
        return -1;
    }
    Chain chain;
    chain_walk(&chain, coroutine);
    int64_t site = recorder_full_site(run->recorder, run->entry->site, &chain);
    Py_DECREF(coroutine);
    return site;
}

void
run_place_fully(Run *run, PyObject *task, PyObject *coroutine)
{
    Recorder *recorder = run->recorder;
    Entry *entry = run->entry;
    int64_t site = entry->whole ? recorder_whole_site(recorder, entry->site) : 0;
    if (site == 0) {
        site = walk_to_site(run, task, coroutine);
    }
    if (site > 0) {
        entry->site = (uint32_t)site;
    }
    else if (site < 0) {
        recorder_fault(recorder);
    }
}

void
run_hold(Run *run, PyObject *task, PyObject *coroutine)
{
    if (!run->entry->chained) {
        return;
    }
    coroutine = coroutine_of(run, task, coroutine);
    run->held = coroutine == NULL ? NULL : chain_hold(coroutine);
    Py_XDECREF(coroutine);
    if (run->held == NULL) {
        recorder_fault(run->recorder);
    }
}

int
run_write_chain(const Run *run, PyObject *coroutine)
{
    Recorder *recorder = run->recorder;
    Entry *entry = run->entry;
    Chain chain;
    chain_walk(&chain, coroutine);
    int64_t site = recorder_full_site(recorder, entry->site, &chain);
    if (site < 0) {
        return -1;
    }
    Slot slot = {
        .t_ns = (uint64_t)entry->since_ns,
        .kind = KIND_CHAIN,
        .slots = 1,
        .ref = (uint32_t)site,
        .a = entry->id,
        .b = (uint64_t)chain_count_kept(&chain, run->held),
    };
    bool written = recorder_write_slot(recorder, run->ring, slot);
    if (entry->id == slot.a) { /* telling the reader of a half full ring ran Python */
        entry->chained = written;
    }
    return 0;
}

void
run_write_wide(const Run *run, uint64_t busy_ns)
{
    const Entry *entry = run->entry;
    WideTimes times = {.ready_ns = (uint64_t)run->ready_ns, .busy_ns = busy_ns};
    Slot first = {
        .t_ns = (uint64_t)run->t_ns,
        .kind = KIND_WIDE,
        .slots = 2,
        .flags = (uint16_t)run->flags,
        .ref = entry->site,
        .a = entry->id,
        .b = run->waker,
    };
    recorder_write(run->recorder, run->ring, &first, &times, sizeof(times));
}

int
run_record_failure(const Run *run, PyObject *error)
{
    Recorder *recorder = run->recorder;
    PyObject *number = PyLong_FromUnsignedLongLong(run->entry->id);
    if (number == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallMethodObjArgs(recorder->cold, recorder->state->names.failure,
                                                  (PyObject *)recorder, number, error, NULL);
    Py_DECREF(number);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* Says how a task ended, as flags; -1 with an exception set. */
static int
outcome(const Run *run, PyObject *task)
{
    const Asyncio *asyncio = &run->recorder->state->asyncio;
    int cancelled = asyncio_cancelled(asyncio, task);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : STEP_CANCELLED;
    }
    PyObject *error = asyncio_exception(asyncio, task);
    if (error == NULL) {
        return -1;
    }
    int flags = 0;
    if (error != Py_None) {
        flags = run_record_failure(run, error) < 0 ? -1 : STEP_FAILED;
    }
    Py_DECREF(error);
    return flags;
}

int
run_leave_done(Run *run, PyObject *task, int64_t now)
{
    int how = outcome(run, task);
    if (how < 0) {
        return -1;
    }
    run->flags |= STEP_DONE | how;
    return run_close(run, task, now, NULL, NULL);
}
