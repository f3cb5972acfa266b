#include "future_callback.h"

#include <stddef.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Recorder *recorder;
    PyObject *callback;
    uint64_t cause;
} FutureCallback;

static PyObject *
future_callback_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    FutureCallback *self = (FutureCallback *)op;
    Ring *ring = recorder_ring(self->recorder);
    if (UNLIKELY(ring == NULL)) {
        recorder_fault(self->recorder);
        return PyObject_Vectorcall(self->callback, args, nargsf, kwnames);
    }
    uint64_t before = ring->cause;
    ring->cause = self->cause;
    PyObject *result = PyObject_Vectorcall(self->callback, args, nargsf, kwnames);
    ring->cause = before;
    return result;
}

PyObject *
future_callback_new(Recorder *recorder, PyObject *callback, uint64_t cause)
{
    PyTypeObject *type = recorder->state->future_callback_type;
    FutureCallback *self = PyObject_GC_New(FutureCallback, type);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = future_callback_vectorcall;
    self->recorder = (Recorder *)Py_NewRef(recorder);
    self->callback = Py_NewRef(callback);
    self->cause = cause;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
future_callback_traverse(PyObject *op, visitproc visit, void *arg)
{
    FutureCallback *self = (FutureCallback *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->recorder);
    Py_VISIT(self->callback);
    return 0;
}

static int
future_callback_clear(PyObject *op)
{
    FutureCallback *self = (FutureCallback *)op;
    /* The recorder stays, for whoever calls us even now. */
    Py_SETREF(self->callback, Py_NewRef(Py_None));
    return 0;
}

static void
future_callback_dealloc(PyObject *op)
{
    FutureCallback *self = (FutureCallback *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_DECREF(self->callback);
    Py_DECREF(self->recorder);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

/* asyncio's complaints show the callback, or its name. */
static PyObject *
future_callback_repr(PyObject *op)
{
    return PyObject_Repr(((FutureCallback *)op)->callback);
}

static PyObject *
future_callback_getattro(PyObject *op, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(op, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(((FutureCallback *)op)->callback, name);
    }
    return value;
}

static PyMemberDef future_callback_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FutureCallback, vectorcall), READONLY, NULL},
    {"__wrapped__", T_OBJECT_EX, offsetof(FutureCallback, callback), READONLY,
     "The original callback."},
    {0},
};

static PyType_Slot future_callback_slots[] = {
    {Py_tp_doc, "Runs a future's callback, remembering the task whose end made it run."},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_traverse, future_callback_traverse},
    {Py_tp_clear, future_callback_clear},
    {Py_tp_dealloc, future_callback_dealloc},
    {Py_tp_members, future_callback_members},
    {Py_tp_repr, future_callback_repr},
    {Py_tp_getattro, future_callback_getattro},
    {0, NULL},
};

PyType_Spec future_callback_spec = {
    .name = "aperf._recorder._core.FutureCallback",
    .basicsize = sizeof(FutureCallback),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = future_callback_slots,
};
