#include "step.h"
#include "run.h"

#include <stddef.h>

/* Runs one step of a task in place of the original callback, and records it. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Recorder *recorder;
    PyObject *callback;
    PyObject *task;
    Entry *entry; /* the task's, as long as it has this id */
    uint64_t id;
    uint64_t waker;
    int64_t woken_ns;
    int flags;
} Step;

/* Runs the original callback. The usual one takes no arguments and knows no vectorcall: it is
 * called as the interpreter would do in the end. */
static inline PyObject *
call_back(Step *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    const ModuleState *state = self->recorder->state;
    PyTypeObject *type = Py_TYPE(self->callback);
    if (type == state->asyncio.step && PyVectorcall_NARGS(nargsf) == 0 && kwnames == NULL) {
        return type->tp_call(self->callback, state->no_arguments, NULL);
    }
    return PyObject_Vectorcall(self->callback, args, nargsf, kwnames);
}

static PyObject *
run_recorded(Step *self, Run *run, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    uint64_t before = run->ring->current;
    run_enter(run, self->task, NULL);
    /* The first wake-up belongs to the birth: a task is ready from its first moment. */
    run->ready_ns = run->t_ns - (run->entry->first ? run->entry->since_ns : self->woken_ns);

    PyObject *result = call_back(self, args, nargsf, kwnames);

    PyObject *raised = UNLIKELY(result == NULL) ? take_raised() : NULL;
    run->ring->current = before;
    if (run->entry->id == self->id && UNLIKELY(run_leave(run, self->task) < 0)) {
        recorder_fault(run->recorder);
    }
    run_release(run);
    if (UNLIKELY(raised != NULL)) {
        give_raised(raised);
    }
    return result;
}

static PyObject *
step_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Step *self = (Step *)op;
    Recorder *recorder = self->recorder;
    if (recorder->armed && self->entry->id == self->id) {
        Run run = {
            .recorder = recorder,
            .ring = recorder_ring(recorder),
            .entry = self->entry,
            .waker = self->waker,
            .flags = self->flags,
        };
        int cancelled = 0;
        if (PyVectorcall_NARGS(nargsf) > 0) {
            /* A task in Python schedules itself with an exception, too. */
            cancelled = asyncio_is_cancelled_future(&recorder->state->asyncio, args[0]);
        }
        if (LIKELY(run.ring != NULL && cancelled >= 0)) {
            run.flags |= cancelled ? STEP_WAIT_CANCELLED : 0;
            return run_recorded(self, &run, args, nargsf, kwnames);
        }
        recorder_fault(recorder);
    }
    return call_back(self, args, nargsf, kwnames);
}

/* One step is made for each wake-up, so the memory of those that are over is kept for the next: a
 * list linked through `callback`. Kept are as many as a busy loop has tasks ready at once. */
#define MAX_FREE_STEPS 16384

static Step *
step_alloc(ModuleState *state)
{
    Step *self = (Step *)state->free_steps;
    if (UNLIKELY(self == NULL)) {
        return PyObject_GC_New(Step, state->step_type);
    }
    state->free_steps = self->callback;
    state->free_step_count--;
    (void)PyObject_Init((PyObject *)self, state->step_type);
    return self;
}

PyObject *
step_new(Recorder *recorder, Entry *entry, PyObject *task, PyObject *callback, uint64_t waker,
         int flags)
{
    Step *self = step_alloc(recorder->state);
    if (self == NULL) {
        Py_DECREF(task);
        return NULL;
    }
    self->vectorcall = step_vectorcall;
    self->recorder = (Recorder *)Py_NewRef(recorder);
    self->callback = Py_NewRef(callback);
    self->task = task;
    self->entry = entry;
    self->id = entry->id;
    self->waker = waker;
    self->woken_ns = clock_now(&recorder->clock);
    self->flags = flags;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
step_traverse(PyObject *op, visitproc visit, void *arg)
{
    Step *self = (Step *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->recorder);
    Py_VISIT(self->callback);
    Py_VISIT(self->task);
    return 0;
}

/* No tp_clear: a step is immutable, and every cycle through it passes through its task or its
 * callback's task, which can be cleared. */
static void
step_dealloc(PyObject *op)
{
    Step *self = (Step *)op;
    PyTypeObject *type = Py_TYPE(op);
    Recorder *recorder = self->recorder;
    ModuleState *state = recorder->state;
    PyObject_GC_UnTrack(op);
    Py_DECREF(self->callback);
    Py_DECREF(self->task);
    if (LIKELY(state->free_step_count < MAX_FREE_STEPS && state->step_type != NULL)) {
        self->callback = state->free_steps;
        state->free_steps = op;
        state->free_step_count++;
    }
    else {
        PyObject_GC_Del(op);
    }
    Py_DECREF(recorder);
    Py_DECREF(type);
}

void
step_free_kept(ModuleState *state)
{
    while (state->free_steps != NULL) {
        PyObject *next = ((Step *)state->free_steps)->callback;
        PyObject_GC_Del(state->free_steps);
        state->free_steps = next;
    }
    state->free_step_count = 0;
}

static PyObject *
step_get_name(PyObject *op, void *closure)
{
    (void)closure;
    Step *self = (Step *)op;
    PyObject *name;
    int found = optional_attr(self->callback, self->recorder->state->names.__name__, &name);
    return found == 0 ? PyUnicode_FromString("step") : name;
}

static PyMemberDef step_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Step, vectorcall), READONLY, NULL},
    {"__self__", T_OBJECT_EX, offsetof(Step, task), READONLY,
     "The task: asyncio's debug messages look for it."},
    {"__wrapped__", T_OBJECT_EX, offsetof(Step, callback), READONLY, "The original callback."},
    {0},
};

static PyGetSetDef step_getset[] = {
    {"__name__", step_get_name, NULL, "The original callback's name.", NULL},
    {0},
};

static PyType_Slot step_slots[] = {
    {Py_tp_doc, "Runs one step of a task in place of the original callback, and records it."},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_traverse, step_traverse},
    {Py_tp_dealloc, step_dealloc},
    {Py_tp_members, step_members},
    {Py_tp_getset, step_getset},
    {0, NULL},
};

PyType_Spec step_spec = {
    .name = "aperf._recorder._core.Step",
    .basicsize = sizeof(Step),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = step_slots,
};
