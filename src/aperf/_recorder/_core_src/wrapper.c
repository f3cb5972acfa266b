/* See ../_py/wrapper.py for what it sees and what it does not. */
#include "wrapper.h"
#include "run.h"

#include <stddef.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    PyObject *weaklist;
    Recorder *recorder;
    PyObject *coroutine; /* the one inside */
    PyObject *name;
    PyObject *qualname;
    Entry *entry; /* ours, as long as it has this id */
    uint64_t id;
} Wrapper;

/* ------------------------------------------------------------------------------------ its steps */

/* Says how a coroutine ended that raised, as flags; the failure is recorded. */
static int
outcome(const Run *run, PyObject *raised)
{
    if (PyErr_GivenExceptionMatches(raised, PyExc_StopIteration)) {
        return STEP_DONE;
    }
    if (PyErr_GivenExceptionMatches(raised, run->recorder->state->asyncio.cancelled_error)) {
        return STEP_DONE | STEP_CANCELLED;
    }
    if (run_record_failure(run, raised) < 0) {
        recorder_fault(run->recorder);
    }
    return STEP_DONE | STEP_FAILED;
}

/* Begins a run and returns what ran before; without a ring, it is not to be recorded. */
static uint64_t
enter(Wrapper *self, Run *run)
{
    Recorder *recorder = self->recorder;
    Entry *entry = self->entry;
    *run = (Run){.recorder = recorder, .entry = entry};
    if (!recorder->armed || entry->id != self->id) {
        return 0;
    }
    run->ring = recorder_ring(recorder);
    if (run->ring == NULL) {
        recorder_fault(recorder);
        return 0;
    }
    uint64_t before = run->ring->current;
    run->around = run->ring->entry;
    run_enter(run, (PyObject *)self, self->coroutine);
    run->ready_ns = entry->first ? run->t_ns - entry->since_ns : 0;
    return before;
}

/* Records the name that the task got after it had been made, as asyncio does before 3.13. */
static int
rename_task(const Run *run)
{
    Recorder *recorder = run->recorder;
    int runs = asyncio_loop_runs(&recorder->state->asyncio);
    if (runs <= 0) {
        return runs;
    }
    PyObject *task = PyObject_CallMethodNoArgs(recorder->cold, recorder->state->names.current_task);
    if (task == NULL) {
        return -1;
    }
    int result = task == Py_None ? 0 : recorder_rename(recorder, run->ring, run->entry, task);
    Py_DECREF(task);
    return result;
}

/* `awaited` is what the coroutine yielded, NULL if it ended: with what it raised, if anything. */
static void
record(Wrapper *self, Run *run, PyObject *awaited, PyObject *raised)
{
    Recorder *recorder = self->recorder;
    run->flags = awaited != NULL ? 0 : raised != NULL ? outcome(run, raised) : STEP_DONE;
    if (run->entry->first && rename_task(run) < 0) {
        recorder_fault(recorder);
    }
    int64_t now = clock_now(&recorder->clock);
    if (run_close(run, (PyObject *)self, now, self->coroutine, awaited) < 0) {
        recorder_fault(recorder);
    }
}

/* Ends a run; see `record`. */
static void
leave(Wrapper *self, Run *run, uint64_t before, PyObject *awaited)
{
    if (run->ring == NULL) {
        return;
    }
    run->ring->current = before;
    run->ring->entry = run->around;
    PyObject *raised = take_raised();
    if (self->entry->id == self->id) {
        record(self, run, awaited, raised);
    }
    run_release(run);
    give_raised(raised);
}

static PySendResult
wrapper_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    Wrapper *self = (Wrapper *)op;
    Run run;
    uint64_t before = enter(self, &run);
    PySendResult how = PyIter_Send(self->coroutine, value, result);
    leave(self, &run, before, how == PYGEN_NEXT ? *result : NULL);
    return how;
}

/* Raises StopIteration(value), also where value is a tuple or an exception. Takes over `value`. */
static void
raise_stop(PyObject *value)
{
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    Py_DECREF(value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
}

static PyObject *
wrapper_send(PyObject *op, PyObject *value)
{
    PyObject *result = NULL;
    if (wrapper_am_send(op, value, &result) == PYGEN_RETURN) {
        raise_stop(result);
        return NULL;
    }
    return result;
}

static PyObject *
wrapper_next(PyObject *op)
{
    return wrapper_send(op, Py_None);
}

static PyObject *
wrapper_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    Wrapper *self = (Wrapper *)op;
    PyObject *method = PyObject_GetAttr(self->coroutine, self->recorder->state->names.throw);
    if (method == NULL) {
        return NULL;
    }
    Run run;
    uint64_t before = enter(self, &run);
    PyObject *result = PyObject_Vectorcall(method, args, (size_t)nargs, NULL);
    leave(self, &run, before, result);
    Py_DECREF(method);
    return result;
}

static PyObject *
wrapper_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Wrapper *self = (Wrapper *)op;
    return PyObject_CallMethodNoArgs(self->coroutine, self->recorder->state->names.close);
}

/* --------------------------------------------------------------------------------- its identity */

static PyObject *
wrapper_named(PyObject *op, PyObject *name)
{
    Wrapper *self = (Wrapper *)op;
    Text text;
    Ring *ring = recorder_ring(self->recorder);
    if (!PyUnicode_Check(name)) {
        return PyErr_Format(PyExc_TypeError, "name must be a str, not %.200s",
                            Py_TYPE(name)->tp_name);
    }
    if (ring == NULL || text_from(&text, name) < 0) {
        return NULL;
    }
    if (self->entry->id == self->id) {
        self->entry->name_hash = text_hash(&text);
    }
    recorder_name(self->recorder, ring, self->id, &text);
    Py_RETURN_NONE;
}

static PyObject *
wrapper_get_coro(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(((Wrapper *)op)->coroutine);
}

/* Whoever asks for `cr_*` attributes is answered by the coroutine inside (anyio does ask). */
static PyObject *
wrapper_getattro(PyObject *op, PyObject *name)
{
    if (PyUnicode_Check(name) && PyUnicode_GET_LENGTH(name) > 3 &&
        PyUnicode_READ_CHAR(name, 0) == 'c' && PyUnicode_READ_CHAR(name, 1) == 'r' &&
        PyUnicode_READ_CHAR(name, 2) == '_') {
        return PyObject_GetAttr(((Wrapper *)op)->coroutine, name);
    }
    return PyObject_GenericGetAttr(op, name);
}

/* Copies the names of the coroutine inside; what has none goes by its type's. */
static int
copy_names(Wrapper *self)
{
    const Names *names = &self->recorder->state->names;
    int found = optional_attr(self->coroutine, names->__name__, &self->name);
    if (found == 0) {
        self->name = PyObject_GetAttr((PyObject *)Py_TYPE(self->coroutine), names->__name__);
    }
    if (self->name == NULL) {
        return -1;
    }
    found = optional_attr(self->coroutine, names->__qualname__, &self->qualname);
    if (found == 0) {
        self->qualname = Py_NewRef(self->name);
    }
    return self->qualname == NULL ? -1 : 0;
}

/* Records the birth of the task that will run it. */
static int
be_born(Wrapper *self, PyObject *name, PyObject *context)
{
    Recorder *recorder = self->recorder;
    Ring *ring = recorder_ring(recorder);
    Text text = {.length = 0};
    if (ring == NULL || (name != NULL && text_from(&text, name) < 0)) {
        return -1;
    }
    int64_t now = clock_now(&recorder->clock);
    self->id = ++recorder->ids;
    Birth birth = {
        .id = self->id,
        .t_ns = now,
        .coroutine = self->coroutine,
        .creator = ring->current,
        .name = &text,
        .context = context,
        .owned = true,
    };
    if (recorder_birth(recorder, ring, &birth) < 0) {
        return -1;
    }
    self->entry = recorder_bind(recorder, ring, (PyObject *)self, self->id, now, birth.root);
    if (self->entry == NULL) {
        return -1;
    }
    self->entry->name_hash = text_hash(&text);
    return 0;
}

PyObject *
wrapper_new(Recorder *recorder, PyObject *coroutine, PyObject *name, PyObject *context)
{
    PyTypeObject *type = recorder->state->wrapper_type;
    Wrapper *self = (Wrapper *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->recorder = (Recorder *)Py_NewRef(recorder);
    self->coroutine = Py_NewRef(coroutine);
    if (copy_names(self) < 0 || be_born(self, name, context) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* ------------------------------------------------------------------------------------- the type */

static int
wrapper_traverse(PyObject *op, visitproc visit, void *arg)
{
    Wrapper *self = (Wrapper *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->recorder);
    Py_VISIT(self->coroutine);
    Py_VISIT(self->name);
    Py_VISIT(self->qualname);
    return 0;
}

/* The recorder stays, for whoever calls us even now; coroutines can be cleared themselves. */
static int
wrapper_clear(PyObject *op)
{
    Wrapper *self = (Wrapper *)op;
    Py_XSETREF(self->coroutine, Py_NewRef(Py_None));
    Py_CLEAR(self->name);
    Py_CLEAR(self->qualname);
    return 0;
}

static void
wrapper_dealloc(PyObject *op)
{
    Wrapper *self = (Wrapper *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->weaklist != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    Py_XDECREF(self->coroutine);
    Py_XDECREF(self->name);
    Py_XDECREF(self->qualname);
    Py_XDECREF(self->recorder);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef wrapper_methods[] = {
    {"send", wrapper_send, METH_O, "Run to the next suspension."},
    {"throw", (PyCFunction)(void (*)(void))wrapper_throw, METH_FASTCALL,
     "Raise an exception where the coroutine is suspended."},
    {"close", wrapper_close, METH_NOARGS, "Close the coroutine inside."},
    {"named", wrapper_named, METH_O, "Record the name that the task got."},
    {"get_coro", wrapper_get_coro, METH_NOARGS, "Return the coroutine inside."},
    {0},
};

static PyMemberDef wrapper_members[] = {
    {"__name__", T_OBJECT_EX, offsetof(Wrapper, name), 0, NULL},
    {"__qualname__", T_OBJECT_EX, offsetof(Wrapper, qualname), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Wrapper, weaklist), READONLY, NULL},
    {0},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_doc, "Stands in for a coroutine, and records its steps."},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, wrapper_am_send},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {Py_tp_getattro, wrapper_getattro},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_methods, wrapper_methods},
    {Py_tp_members, wrapper_members},
    {0, NULL},
};

PyType_Spec wrapper_spec = {
    .name = "aperf._recorder._core.Wrapper",
    .basicsize = sizeof(Wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wrapper_slots,
};
