#include "run.h"

void
run_place_fully(Run *run, PyObject *task, PyObject *coroutine)
{
    Recorder *recorder = run->recorder;
    Entry *entry = run->entry;
    int64_t site = entry->whole ? recorder_whole_site(recorder, entry->site) : 0;
    if (site == 0) {
        coroutine = coroutine == NULL ? asyncio_coro(&recorder->state->asyncio, task)
                                      : Py_NewRef(coroutine);
        site = coroutine == NULL ? -1 : recorder_full_site(recorder, entry->site, coroutine);
        Py_XDECREF(coroutine);
    }
    if (site > 0) {
        entry->site = (uint32_t)site;
    }
    else if (site < 0) {
        recorder_fault(recorder);
    }
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
