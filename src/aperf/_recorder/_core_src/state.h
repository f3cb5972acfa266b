/* What belongs to the module: one per interpreter. Nothing in this library is static and mutable.
 */
#ifndef APERF_STATE_H
#define APERF_STATE_H

#include "asyncio.h"
#include "compat.h"

/* Names that are looked up, interned once. */
#define NAMES(X)                                                                                   \
    X(_task_factory)                                                                               \
    X(__name__)                                                                                    \
    X(__qualname__)                                                                                \
    X(__self__)                                                                                    \
    X(begin)                                                                                       \
    X(born)                                                                                        \
    X(call_soon)                                                                                   \
    X(canceller)                                                                                   \
    X(classify)                                                                                    \
    X(context)                                                                                     \
    X(coro)                                                                                        \
    X(cr_code)                                                                                     \
    X(cr_frame)                                                                                    \
    X(cr_running)                                                                                  \
    X(cr_suspended)                                                                                \
    X(create_task)                                                                                 \
    X(eager_start)                                                                                 \
    X(failure)                                                                                     \
    X(find)                                                                                        \
    X(get_context)                                                                                 \
    X(get)                                                                                         \
    X(get_name)                                                                                    \
    X(get_task_factory)                                                                            \
    X(gi_code)                                                                                     \
    X(half_full)                                                                                   \
    X(current_task)                                                                                \
    X(look_through)                                                                                \
    X(moved)                                                                                       \
    X(name)                                                                                        \
    X(open_span)                                                                                   \
    X(thread)                                                                                      \
    X(throw)                                                                                       \
    X(close)

typedef struct {
#define X(name) PyObject *name;
    NAMES(X)
#undef X
} Names;

typedef struct {
    PyTypeObject *recorder_type;
    PyTypeObject *hook_type;
    PyTypeObject *step_type;
    PyTypeObject *future_callback_type;
    PyTypeObject *wrapper_type;
    PyTypeObject *monitor_type; /* Python 3.12 and later */
    Names names;
    PyObject *no_arguments; /* the empty tuple */
    PyObject *otel_name;    /* of the module that is there once OpenTelemetry is imported */
    Asyncio asyncio;
    PyObject *free_steps; /* see step.c */
    Py_ssize_t free_step_count;
} ModuleState;

#endif
