#include "original.h"

/* Returns a function bound to the loop; other objects as they are. */
static PyObject *
bind(PyObject *function, PyObject *loop)
{
    descrgetfunc get = Py_TYPE(function)->tp_descr_get;
    return get == NULL ? Py_NewRef(function) : get(function, loop, (PyObject *)Py_TYPE(loop));
}

/* Without a look into `__dict__`: it would be made only then, and all that the loop does be slower
 * from there on (3.11 and 3.12: 300 ns for each step of a task). */
int
original_find(Original *original, PyObject *loop, PyObject *name)
{
    int is_own = -1;
    PyObject *bound = NULL;
    PyObject *previous = PyObject_GetAttr(loop, name);
    original->function = PyObject_GetAttr((PyObject *)Py_TYPE(loop), name);
    if (previous == NULL || original->function == NULL) {
        goto done;
    }
    bound = bind(original->function, loop);
    if (bound == NULL) {
        goto done;
    }
    is_own = PyObject_RichCompareBool(previous, bound, Py_EQ);
    if (is_own == 0) {
        Py_SETREF(original->function, Py_NewRef(previous));
        original->is_bound = true;
    }

done:
    Py_XDECREF(bound);
    Py_XDECREF(previous);
    return is_own < 0 ? -1 : 0;
}

/* Arguments of ordinary calls are put together on the stack. */
#define SMALL_CALL 8

PyObject *
original_call(const Original *original, PyObject *loop, PyObject *first, Arguments call)
{
    Py_ssize_t total = call.count + (call.kwnames == NULL ? 0 : PyTuple_GET_SIZE(call.kwnames));
    PyObject *small[SMALL_CALL + 2];
    PyObject **stack = small;
    PyObject *target = NULL;
    PyObject *result = NULL;
    if (total > SMALL_CALL) {
        stack = PyMem_Malloc((size_t)(total + 2) * sizeof(PyObject *));
        if (stack == NULL) {
            return PyErr_NoMemory();
        }
    }
    /* stack[0] is the callee's: PY_VECTORCALL_ARGUMENTS_OFFSET. */
    PyObject **to = stack + 1;
    Py_ssize_t count = call.count;
    if (!original->is_bound) {
        target = weak_target(loop);
        if (target == NULL) {
            PyErr_SetString(PyExc_ReferenceError, "the event loop is gone");
            goto done;
        }
        *to++ = target;
        count++;
    }
    for (Py_ssize_t i = 0; i < total; i++) {
        to[i] = call.args[i];
    }
    if (first != NULL) {
        to[0] = first;
    }
    result = PyObject_Vectorcall(original->function, stack + 1,
                                 (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, call.kwnames);
    Py_XDECREF(target);

done:
    if (stack != small) {
        PyMem_Free(stack);
    }
    return result;
}

PyObject *
arguments_keyword(Arguments call, PyObject *name)
{
    Py_ssize_t count = call.kwnames == NULL ? 0 : PyTuple_GET_SIZE(call.kwnames);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *given = PyTuple_GET_ITEM(call.kwnames, i);
        if (given == name || PyUnicode_Compare(given, name) == 0) {
            return call.args[call.count + i];
        }
    }
    return NULL;
}
