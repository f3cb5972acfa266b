/* Frames of suspended coroutines, generators and asynchronous generators, by version of Python.
 *
 * The only place that knows the interpreter's structures, whose layout comes from the headers it is
 * compiled with. Asking through attributes takes 300 ns for a chain of three; this takes 20.
 * Versions not known here are asked through attributes.
 *
 *   has_frame(object)         false when it has ended
 *   suspended_code(object)    the frame's code
 *   suspended_frame(object)   the frame's code, and the offset at which it stands
 *   suspended_place(object)   the same as a Place
 *   suspended_await(object)   what it awaits, NULL for nothing
 *
 * All borrow: the chain of a suspended task is frozen, so what it holds stays.
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
#include <stddef.h>

/* All three begin with the same fields. */
static inline bool
is_suspendable(PyObject *object)
{
    return PyCoro_CheckExact(object) || PyGen_CheckExact(object) || PyAsyncGen_CheckExact(object);
}

#if PY_VERSION_HEX < 0x030E0000 && !defined(APERF_UNKNOWN_FRAMES)

#    define Py_BUILD_CORE 1 /* for the headers in internal/ */
#    include <internal/pycore_frame.h>

static inline _PyInterpreterFrame *
own_frame(PyObject *object)
{
    return (_PyInterpreterFrame *)((PyGenObject *)object)->gi_iframe;
}

static inline bool
has_frame(PyObject *object)
{
    return ((PyGenObject *)object)->gi_frame_state < FRAME_COMPLETED;
}

static inline PyObject *
frame_code(const _PyInterpreterFrame *frame)
{
#    if PY_VERSION_HEX >= 0x030D0000
    return frame->f_executable;
#    else
    return (PyObject *)frame->f_code;
#    endif
}

static inline PyObject *
suspended_code(PyObject *object)
{
    return frame_code(own_frame(object));
}

static inline Frame
suspended_frame(PyObject *object)
{
    int unit = _PyInterpreterFrame_LASTI(own_frame(object));
    Py_ssize_t lasti = unit < 0 ? -1 : unit * (Py_ssize_t)sizeof(_Py_CODEUNIT);
    return (Frame){suspended_code(object), lasti};
}

/* The same in one word: the instruction's address, less what lies before a code object's first. */
static inline Place
suspended_place(PyObject *object)
{
#    if PY_VERSION_HEX >= 0x030D0000
    Place instruction = (Place)own_frame(object)->instr_ptr;
#    else
    Place instruction = (Place)own_frame(object)->prev_instr;
#    endif
    return instruction - offsetof(PyCodeObject, co_code_adaptive);
}

static inline bool
is_in_await(PyObject *object)
{
    int8_t state = ((PyGenObject *)object)->gi_frame_state;
#    if PY_VERSION_HEX >= 0x030D0000
    return state == FRAME_SUSPENDED_YIELD_FROM;
#    else
    /* It stands at YIELD_VALUE, which RESUME follows: 1 after `yield`, 2 after `yield from`, 3
     * after `await`. Not asked is whether it is RESUME, for a tracer may have put another code
     * there. */
    if (state != FRAME_SUSPENDED) {
        return false;
    }
    _Py_CODEUNIT next = own_frame(object)->prev_instr[1];
#        if PY_VERSION_HEX >= 0x030C0000
    return next.op.arg >= 2;
#        else
    return _Py_OPARG(next) >= 2;
#        endif
#    endif
}

static inline PyObject *
suspended_await(PyObject *object)
{
    return is_in_await(object) ? _PyFrame_StackPeek(own_frame(object)) : NULL;
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

/* Returns one of an object's attributes, by its prefixed name: coroutines, generators, async ones.
 */
static inline PyObject *
prefixed_attribute(PyObject *object, const char *cr, const char *gi, const char *ag)
{
    const char *name = PyCoro_CheckExact(object) ? cr : PyGen_CheckExact(object) ? gi : ag;
    return borrowed_attribute(object, name);
}

static inline bool
has_frame(PyObject *object)
{
    return prefixed_attribute(object, "cr_frame", "gi_frame", "ag_frame") != NULL;
}

static inline PyObject *
suspended_code(PyObject *object)
{
    return prefixed_attribute(object, "cr_code", "gi_code", "ag_code");
}

static inline Frame
suspended_frame(PyObject *object)
{
    PyObject *frame = prefixed_attribute(object, "cr_frame", "gi_frame", "ag_frame");
    return (Frame){suspended_code(object), PyFrame_GetLasti((PyFrameObject *)frame)};
}

static inline Place
suspended_place(PyObject *object)
{
    return place_of(suspended_frame(object));
}

static inline PyObject *
suspended_await(PyObject *object)
{
    return prefixed_attribute(object, "cr_await", "gi_yieldfrom", "ag_await");
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
