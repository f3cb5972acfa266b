/* Reading asyncio's futures and tasks, and recognising the callbacks by which tasks run.
 *
 * Objects of the C types are read through their own getters and methods, found once and called
 * without the attribute machinery: 3 ns instead of 30. All others, among them tasks in Python, are
 * asked by name. See ../_steps.py for the callbacks.
 */
#ifndef APERF_ASYNCIO_H
#define APERF_ASYNCIO_H

#include "compat.h"

#include <stdbool.h>

typedef struct {
    PyTypeObject *future;  /* _asyncio.Future, NULL without the C module */
    PyTypeObject *task;    /* _asyncio.Task */
    PyTypeObject *step;    /* of the callbacks that start tasks: it has no name to be imported by */
    PyTypeObject *py_task; /* asyncio.tasks._PyTask */
    PyObject *task_of;     /* _steps.task_of */
    PyObject *running_loop;     /* asyncio.events._get_running_loop */
    PyObject *get_task_factory; /* asyncio.BaseEventLoop's */
    PyObject *cancelled_error;
    PyObject *future_mark; /* the attribute by which types say that they are futures */
    PyMethodDef *wakeup;   /* of task_wakeup, once seen */
    getter get_coro;
    getter get_waiter;
    getter get_exception;
    getter get_step_task;
    PyCFunction done;
    PyCFunction cancelled;
} Asyncio;

int asyncio_init(Asyncio *asyncio);
int asyncio_traverse(Asyncio *asyncio, visitproc visit, void *arg);
void asyncio_clear(Asyncio *asyncio);

/* Finds the task that a callback would run, a new reference: 1; somebody's callback: 0; error: -1.
 */
int asyncio_task_of(Asyncio *asyncio, PyObject *callback, PyObject **task);

/* Looks at the name of a task without asking it: a str, or the number N of the default "Task-N",
 * both borrowed; NULL where it must be asked. */
PyObject *asyncio_peek_name(const Asyncio *asyncio, PyObject *task);

/* What a future's callbacks tell of what stands behind it, a set of Hint. */
int asyncio_callback_hints(const Asyncio *asyncio, PyObject *waiter);

/* The slow halves of the functions below. */
int asyncio_ask_bool(PyObject *future, const char *method);
int asyncio_ask_if_future(const Asyncio *asyncio, PyObject *object, const char *method);
PyObject *asyncio_ask(PyObject *task, const char *name, bool call);

static inline int
asyncio_is_c_future(const Asyncio *asyncio, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return LIKELY(type == asyncio->future || type == asyncio->task) ||
           (asyncio->future != NULL && PyType_IsSubtype(type, asyncio->future));
}

static inline int
asyncio_is_c_task(const Asyncio *asyncio, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return LIKELY(type == asyncio->task) ||
           (asyncio->task != NULL && PyType_IsSubtype(type, asyncio->task));
}

static inline int
asyncio_bool(PyCFunction method, PyObject *future)
{
    PyObject *answer = method(future, NULL);
    if (answer == NULL) {
        return -1;
    }
    Py_DECREF(answer); /* True or False: they stay */
    return answer == Py_True;
}

/* 1, 0, or -1 with an exception set. */
static inline int
asyncio_done(const Asyncio *asyncio, PyObject *future)
{
    return asyncio_is_c_future(asyncio, future) ? asyncio_bool(asyncio->done, future)
                                                : asyncio_ask_bool(future, "done");
}

static inline int
asyncio_cancelled(const Asyncio *asyncio, PyObject *future)
{
    return asyncio_is_c_future(asyncio, future) ? asyncio_bool(asyncio->cancelled, future)
                                                : asyncio_ask_bool(future, "cancelled");
}

/* The same of an object that may be no future: 0. */
static inline int
asyncio_is_done_future(const Asyncio *asyncio, PyObject *object)
{
    return asyncio_is_c_future(asyncio, object) ? asyncio_bool(asyncio->done, object)
                                                : asyncio_ask_if_future(asyncio, object, "done");
}

static inline int
asyncio_is_cancelled_future(const Asyncio *asyncio, PyObject *object)
{
    return asyncio_is_c_future(asyncio, object)
               ? asyncio_bool(asyncio->cancelled, object)
               : asyncio_ask_if_future(asyncio, object, "cancelled");
}

/* Says whether a loop runs on this thread; -1 with an exception set. */
int asyncio_loop_runs(const Asyncio *asyncio);

/* Returns the coroutine of a task, a new reference. */
static inline PyObject *
asyncio_coro(const Asyncio *asyncio, PyObject *task)
{
    return asyncio_is_c_task(asyncio, task) ? asyncio->get_coro(task, NULL)
                                            : asyncio_ask(task, "get_coro", true);
}

/* Returns what a task waits for, a new reference to it or to None. */
static inline PyObject *
asyncio_waiter(const Asyncio *asyncio, PyObject *task)
{
    return asyncio_is_c_task(asyncio, task) ? asyncio->get_waiter(task, NULL)
                                            : asyncio_ask(task, "_fut_waiter", false);
}

/* Returns the exception that ended a task, a new reference to it or to None. Not by exception():
 * that would silence "Task exception was never retrieved". */
static inline PyObject *
asyncio_exception(const Asyncio *asyncio, PyObject *task)
{
    return asyncio_is_c_task(asyncio, task) ? asyncio->get_exception(task, NULL)
                                            : asyncio_ask(task, "_exception", false);
}

#endif
