/* Frames of suspended coroutines, generators and asynchronous generators, by version of Python.
 *
 * The only place that knows the interpreter's structures, whose layout comes from the headers it is
 * compiled with. Asking through attributes takes 300 ns for a chain of three; this takes 20.
 * Versions not known here are asked through attributes.
 *
 *   suspended_frame(object, frame)   fills in code and offset; false: it has no frame any more
 *   suspended_await(object)          what it awaits, NULL for nothing
 *
 * Both borrow: the chain of a suspended task is frozen, so what it holds stays.
 *
 *   frame_running()          the address of the frame that runs, for as long as it lasts
 *   frame_below(frame)       that of the frame that runs it, NULL at the bottom
 *   frame_code_at(frame)     what a frame on the stack runs; borrowed
 */
#ifndef APERF_FRAMES_H
#define APERF_FRAMES_H

#include "compat.h"
#include "sites.h"

#include <stdbool.h>

/* All three begin with the same fields. */
static inline bool
is_suspendable(PyObject *object)
{
    return PyCoro_CheckExact(object) || PyGen_CheckExact(object) || PyAsyncGen_CheckExact(object);
}

#if PY_VERSION_HEX < 0x030E0000 && !defined(APERF_UNKNOWN_FRAMES)

#    define Py_BUILD_CORE 1 /* for the headers in internal/ */
#    include <internal/pycore_frame.h>

static inline PyObject *
frame_code(const _PyInterpreterFrame *frame)
{
#    if PY_VERSION_HEX >= 0x030D0000
    return frame->f_executable;
#    else
    return (PyObject *)frame->f_code;
#    endif
}

static inline bool
suspended_frame(PyObject *object, Frame *frame)
{
    PyGenObject *generator = (PyGenObject *)object;
    if (generator->gi_frame_state >= FRAME_COMPLETED) {
        return false;
    }
    _PyInterpreterFrame *own = (_PyInterpreterFrame *)generator->gi_iframe;
    int unit = _PyInterpreterFrame_LASTI(own);
    frame->code = frame_code(own);
    frame->lasti = unit < 0 ? -1 : unit * (Py_ssize_t)sizeof(_Py_CODEUNIT);
    return true;
}

static inline bool
is_in_await(PyGenObject *generator, _PyInterpreterFrame *frame)
{
#    if PY_VERSION_HEX >= 0x030D0000
    (void)frame;
    return generator->gi_frame_state == FRAME_SUSPENDED_YIELD_FROM;
#    else
    if (generator->gi_frame_state != FRAME_SUSPENDED) {
        return false;
    }
    /* It stands at YIELD_VALUE, which RESUME follows: 1 after `yield`, 2 after `yield from`, 3
     * after `await`. Not asked is whether it is RESUME, for a tracer may have put another code
     * there. */
#        if PY_VERSION_HEX >= 0x030C0000
    return frame->prev_instr[1].op.arg >= 2;
#        else
    return _Py_OPARG(frame->prev_instr[1]) >= 2;
#        endif
#    endif
}

static inline PyObject *
suspended_await(PyObject *object)
{
    PyGenObject *generator = (PyGenObject *)object;
    _PyInterpreterFrame *own = (_PyInterpreterFrame *)generator->gi_iframe;
    return is_in_await(generator, own) ? _PyFrame_StackPeek(own) : NULL;
}

#    if PY_VERSION_HEX >= 0x030C0000

static inline const void *
frame_running(void)
{
    return _PyThreadState_GetFrame(PyThreadState_Get());
}

static inline const void *
frame_below(const void *frame)
{
    return _PyFrame_GetFirstComplete(((const _PyInterpreterFrame *)frame)->previous);
}

static inline PyObject *
frame_code_at(const void *frame)
{
    return frame_code(frame);
}

#    endif

#else

/* Returns an attribute, borrowed from whatever else holds it; NULL for None and for errors. */
static inline PyObject *
borrowed_attribute(PyObject *object, const char *name)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(value);
    return value == Py_None ? NULL : value;
}

static inline bool
suspended_frame(PyObject *object, Frame *frame)
{
    const char *name = PyCoro_CheckExact(object)  ? "cr_frame"
                       : PyGen_CheckExact(object) ? "gi_frame"
                                                  : "ag_frame";
    PyObject *own = borrowed_attribute(object, name);
    if (own == NULL) {
        return false;
    }
    frame->code = borrowed_attribute(own, "f_code");
    frame->lasti = PyFrame_GetLasti((PyFrameObject *)own);
    return frame->code != NULL;
}

static inline PyObject *
suspended_await(PyObject *object)
{
    return borrowed_attribute(object, PyCoro_CheckExact(object)  ? "cr_await"
                                      : PyGen_CheckExact(object) ? "gi_yieldfrom"
                                                                 : "ag_await");
}

/* Frame objects stay with their frames, which hold on to them. */

static inline const void *
frame_running(void)
{
    return PyEval_GetFrame();
}

static inline const void *
frame_below(const void *frame)
{
    PyFrameObject *below = PyFrame_GetBack((PyFrameObject *)frame);
    Py_XDECREF(below);
    return below;
}

static inline PyObject *
frame_code_at(const void *frame)
{
    PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
    Py_DECREF(code);
    return (PyObject *)code;
}

#endif

#endif
