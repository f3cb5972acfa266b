/* Public API that came late or changed its name, between 3.11 and 3.14. */
#ifndef APERF_COMPAT_H
#define APERF_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h> /* members by their old names: the new ones came with 3.12 */

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Looks up an attribute that may be missing: 1 found, 0 missing, -1 error. */
static inline int
optional_attr(PyObject *object, PyObject *name, PyObject **value)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyObject_GetOptionalAttr(object, name, value);
#else
    return _PyObject_LookupAttr(object, name, value);
#endif
}

/* Says whether a type has an attribute, its metaclass aside: 1, 0, -1 error. */
static inline int
type_has(PyTypeObject *type, PyObject *name)
{
#if PY_VERSION_HEX < 0x030E0000
    return _PyType_Lookup(type, name) != NULL;
#else
    return PyObject_HasAttrWithError((PyObject *)type, name);
#endif
}

/* Returns what a weak reference refers to, NULL when that is gone. */
static inline PyObject *
weak_target(PyObject *reference)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *target = NULL;
    (void)PyWeakref_GetRef(reference, &target);
    return target;
#else
    PyObject *target = PyWeakref_GET_OBJECT(reference);
    return target == Py_None ? NULL : Py_NewRef(target);
#endif
}

/* Takes the exception that is being raised, with its traceback; NULL if none is. */
static inline PyObject *
take_raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Gives back what take_raised() took; keeps quiet about NULL. */
static inline void
give_raised(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    if (exception != NULL) {
        PyErr_Restore(Py_NewRef(Py_TYPE(exception)), exception,
                      PyException_GetTraceback(exception));
    }
#endif
}

#endif
