#include "put.h"
#include "recorder.h"

/* Reads an int of at most so many bits. */
static int
read_unsigned(PyObject *value, const char *name, int bits, uint64_t *number)
{
    *number = PyLong_AsUnsignedLongLong(value);
    if (*number == (uint64_t)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (bits < 64 && *number >> bits) {
        PyErr_Format(PyExc_OverflowError, "%s=%R does not fit %d bits", name, value, bits);
        return -1;
    }
    return 0;
}

enum { PUT_KIND, PUT_FLAGS, PUT_REF, PUT_A, PUT_B, PUT_PAYLOAD, PUT_T_NS, PUT_ARGUMENTS };

static const char *const names[PUT_ARGUMENTS] = {"kind", "flags",   "ref", "a",
                                                 "b",    "payload", "t_ns"};

/* Puts the arguments in their order. By hand: it is called for every user span. */
static int
order_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **ordered)
{
    if (nargs > PUT_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "put() takes at most 7 arguments");
        return -1;
    }
    memcpy(ordered, args, (size_t)nargs * sizeof(PyObject *));
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int at = 0;
        while (at < PUT_ARGUMENTS && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) {
            at++;
        }
        if (at == PUT_ARGUMENTS || ordered[at] != NULL) {
            PyErr_Format(PyExc_TypeError, "put() got an unexpected argument %R", name);
            return -1;
        }
        ordered[at] = args[nargs + i];
    }
    for (int at = 0; at < PUT_PAYLOAD; at++) {
        if (ordered[at] == NULL) {
            PyErr_Format(PyExc_TypeError, "put() misses its argument '%s'", names[at]);
            return -1;
        }
    }
    return 0;
}

static int
fill_header(Recorder *recorder, PyObject *const *ordered, Slot *first)
{
    uint64_t kind, flags, ref;
    long long t_ns = -1;
    if (read_unsigned(ordered[PUT_KIND], "kind", 8, &kind) < 0 ||
        read_unsigned(ordered[PUT_FLAGS], "flags", 16, &flags) < 0 ||
        read_unsigned(ordered[PUT_REF], "ref", 32, &ref) < 0 ||
        read_unsigned(ordered[PUT_A], "a", 64, &first->a) < 0 ||
        read_unsigned(ordered[PUT_B], "b", 64, &first->b) < 0) {
        return -1;
    }
    if (ordered[PUT_T_NS] != NULL) {
        t_ns = PyLong_AsLongLong(ordered[PUT_T_NS]);
        if (t_ns == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    first->t_ns = (uint64_t)(t_ns < 0 ? clock_now(&recorder->clock) : t_ns);
    first->kind = (uint8_t)kind;
    first->flags = (uint16_t)flags;
    first->ref = (uint32_t)ref;
    return 0;
}

PyObject *
put_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Recorder *recorder = (Recorder *)op;
    PyObject *ordered[PUT_ARGUMENTS] = {NULL};
    char *payload = NULL;
    Py_ssize_t size = 0;
    Slot first;
    if (order_arguments(args, nargs, kwnames, ordered) < 0 ||
        fill_header(recorder, ordered, &first) < 0) {
        return NULL;
    }
    if (ordered[PUT_PAYLOAD] != NULL &&
        PyBytes_AsStringAndSize(ordered[PUT_PAYLOAD], &payload, &size) < 0) {
        return NULL;
    }
    if (size > (Py_ssize_t)MAX_PAYLOAD) {
        return PyErr_Format(PyExc_ValueError, "payload of %zd bytes: at most %zd fit", size,
                            (Py_ssize_t)MAX_PAYLOAD);
    }
    first.slots = (uint8_t)(1 + ((size_t)size + SLOT_SIZE - 1) / SLOT_SIZE);
    Ring *ring = PyThread_tss_get(&recorder->ring_key);
    if (ring == NULL && (ring = recorder_make_ring(recorder, false)) == NULL) {
        return NULL;
    }
    return PyBool_FromLong(recorder_write(recorder, ring, &first, payload, (size_t)size));
}
