#include "coroutine.h"
#include "frames.h"

/* Looks up an attribute that must be a code object: 1 found, 0 not, -1 error. */
static int
code_attribute(PyObject *object, PyObject *name, PyObject **code)
{
    int found = optional_attr(object, name, code);
    if (found > 0 && !PyCode_Check(*code)) {
        Py_CLEAR(*code);
        return 0;
    }
    return found;
}

static int
own_code(const Names *names, PyObject *coroutine, PyObject **code)
{
    *code = NULL;
    if (is_suspendable(coroutine) && has_frame(coroutine)) {
        *code = Py_XNewRef(suspended_code(coroutine));
        return 0;
    }
    int found = code_attribute(coroutine, names->cr_code, code);
    if (found == 0) {
        found = code_attribute(coroutine, names->gi_code, code);
    }
    return found < 0 ? -1 : 0;
}

/* Replaces a wrapper's code by the one that it is going to run, where that is known. */
static int
look_through(Recorder *recorder, PyObject *coroutine, PyObject **code)
{
    int bits = recorder_code_bits(recorder, *code);
    if (bits <= 0 || !(bits & CODE_WRAPPER)) {
        return bits < 0 ? -1 : 0;
    }
    PyObject *inner =
        PyObject_CallMethodOneArg(recorder->cold, recorder->state->names.look_through, coroutine);
    if (inner == NULL) {
        return -1;
    }
    if (PyCode_Check(inner)) {
        Py_SETREF(*code, Py_NewRef(inner));
    }
    Py_DECREF(inner);
    return 0;
}

int
coroutine_code(Recorder *recorder, PyObject *coroutine, PyObject **code)
{
    if (own_code(&recorder->state->names, coroutine, code) < 0) {
        return -1;
    }
    if (*code != NULL && look_through(recorder, coroutine, code) < 0) {
        Py_CLEAR(*code);
        return -1;
    }
    return 0;
}

static int
attribute_is_true(PyObject *object, PyObject *name, int otherwise)
{
    PyObject *value;
    int found = optional_attr(object, name, &value);
    if (found <= 0) {
        return found < 0 ? -1 : otherwise;
    }
    int truth = PyObject_IsTrue(value);
    Py_DECREF(value);
    return truth;
}

int
coroutine_is_started(const Names *names, PyObject *coroutine)
{
    PyObject *frame;
    int found = optional_attr(coroutine, names->cr_frame, &frame);
    if (found <= 0) {
        return found < 0 ? -1 : 1;
    }
    int is_gone = frame == Py_None;
    Py_DECREF(frame);
    if (is_gone) {
        return 1;
    }
    int suspended = attribute_is_true(coroutine, names->cr_suspended, 1);
    return suspended != 0 ? suspended : coroutine_is_running(names, coroutine);
}

int
coroutine_is_running(const Names *names, PyObject *coroutine)
{
    return attribute_is_true(coroutine, names->cr_running, 0);
}
