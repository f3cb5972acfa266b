/* Theory of operation: see ../_py/hook.py.
 *
 * Both methods are called by vectorcall and call on by vectorcall. They hold the loop weakly and
 * the loop's methods unbound, so that the loop goes without the garbage collector.
 */
#include "hook.h"
#include "future_callback.h"
#include "original.h"
#include "step.h"

#include <stddef.h>

typedef struct {
    PyObject_HEAD
    PyObject *weaklist;
    Recorder *recorder;
    PyObject *loop; /* a weak reference */
    Original create_task;
    Original call_soon;
    char armed;
    bool has_plain_factory; /* get_task_factory() returns an attribute, which is faster to read */
} Hook;

static PyObject *
pass_through(Hook *self, const Original *original, Arguments call)
{
    return original_call(original, self->loop, NULL, call);
}

static bool
is_armed(const Hook *self)
{
    return self->armed && self->recorder->armed;
}

static void
fault(Hook *self)
{
    recorder_fault(self->recorder);
    if (!self->recorder->armed) {
        self->armed = 0;
    }
}

/* ------------------------------------------------------------------------------------ call_soon */

/* Says who cancels a task outside of any task, as a flag. */
static int
canceller(Recorder *recorder)
{
    PyObject *answer = PyObject_CallMethodNoArgs(recorder->cold, recorder->state->names.canceller);
    if (answer == NULL) {
        return -1;
    }
    long flags = PyLong_AsLong(answer);
    Py_DECREF(answer);
    return flags == -1 && PyErr_Occurred() ? -1 : (int)(flags & 0xFFFF);
}

/* Finds the entry of a task that is being scheduled. */
static inline Entry *
find_entry(Recorder *recorder, Ring *ring, PyObject *task)
{
    /* Whoever yields schedules itself. With many tasks the table is out of the caches; its own
     * entry is not. */
    Entry *entry = (Entry *)ring->entry;
    if (entry == NULL || entry->key != task || entry->id != ring->current) {
        entry = entries_find(&recorder->entries, task);
    }
    if (UNLIKELY(entry == NULL || ring->pending.coroutine != NULL)) {
        entry = recorder_entry_at_wake(recorder, ring, task);
    }
    return entry;
}

/* Returns what runs a task instead of its own callback. Takes over `task`. */
static PyObject *
watch_step(Recorder *recorder, Ring *ring, PyObject *task, PyObject *callback, uint64_t waker,
           Arguments call)
{
    int flags = 0;
    if (waker == 0 && call.count > 1) {
        int cancelled = asyncio_is_cancelled_future(&recorder->state->asyncio, call.args[1]);
        flags = cancelled > 0 ? canceller(recorder) : cancelled;
    }
    Entry *entry = flags < 0 ? NULL : find_entry(recorder, ring, task);
    if (entry == NULL) {
        Py_DECREF(task);
        return NULL;
    }
    return step_new(recorder, entry, task, callback, waker, flags);
}

/* Returns what to schedule instead of a callback, a new reference; NULL with an exception set. */
static PyObject *
watched(Recorder *recorder, Arguments call)
{
    Ring *ring = recorder_ring(recorder);
    if (ring == NULL) {
        return NULL;
    }
    Asyncio *asyncio = &recorder->state->asyncio;
    PyObject *callback = call.args[0];
    uint64_t waker = ring->current != 0 ? ring->current : ring->cause;
    PyObject *task;
    int found = asyncio_task_of(asyncio, callback, &task);
    if (found != 0) {
        return found < 0 ? NULL : watch_step(recorder, ring, task, callback, waker, call);
    }
    int done = waker != 0 && call.count == 2 ? asyncio_is_done_future(asyncio, call.args[1]) : 0;
    if (done > 0) {
        return future_callback_new(recorder, callback, waker);
    }
    return done < 0 ? NULL : Py_NewRef(callback);
}

static PyObject *
hook_call_soon(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Hook *self = (Hook *)op;
    Arguments call = {args, nargs, kwnames};
    if (!is_armed(self) || nargs == 0) {
        return pass_through(self, &self->call_soon, call);
    }
    PyObject *callback = watched(self->recorder, call);
    if (UNLIKELY(callback == NULL)) {
        fault(self);
        return pass_through(self, &self->call_soon, call);
    }
    PyObject *handle = original_call(&self->call_soon, self->loop, callback, call);
    Py_DECREF(callback);
    return handle;
}

/* ---------------------------------------------------------------------------------- create_task */

/* Says whether the task may run a step inside create_task; -1 with an exception set. */
static int
may_be_eager(Hook *self, Arguments call)
{
    const Names *names = &self->recorder->state->names;
    PyObject *eager_start = arguments_keyword(call, names->eager_start);
    int eager = eager_start == NULL ? 0 : PyObject_IsTrue(eager_start);
    if (eager != 0) {
        return eager;
    }
    PyObject *loop = weak_target(self->loop);
    if (loop == NULL) {
        return 0;
    }
    PyObject *factory = self->has_plain_factory
                            ? PyObject_GetAttr(loop, names->_task_factory)
                            : PyObject_CallMethodNoArgs(loop, names->get_task_factory);
    Py_DECREF(loop);
    if (factory == NULL) {
        return -1;
    }
    Py_DECREF(factory);
    return factory != Py_None;
}

/* Records a birth before the call, since an eager task may run inside it; -1 with an exception set.
 */
static int
prepare_birth(Hook *self, Ring *ring, PyObject *coroutine, Arguments call)
{
    Recorder *recorder = self->recorder;
    Pending made = {coroutine, ++recorder->ids, clock_now(&recorder->clock), 0};
    int eager = may_be_eager(self, call);
    if (eager > 0) {
        PyObject *context = arguments_keyword(call, recorder->state->names.context);
        Text unknown = {.length = 0};
        Birth early = {
            .id = made.id,
            .t_ns = made.t_ns,
            .coroutine = coroutine,
            .creator = ring->current,
            .name = &unknown,
            .context = context,
        };
        if (recorder_birth(recorder, ring, &early) < 0) {
            return -1;
        }
        made.root = early.root;
        ring->current = made.id;
    }
    ring->pending = made;
    return eager;
}

static PyObject *
create_watched(Hook *self, PyObject *coroutine, Arguments call)
{
    Recorder *recorder = self->recorder;
    Ring *ring = recorder_ring(recorder);
    if (ring == NULL) {
        fault(self);
        return pass_through(self, &self->create_task, call);
    }
    Pending pending_before = ring->pending;
    uint64_t current_before = ring->current;
    int eager = prepare_birth(self, ring, coroutine, call);
    if (eager < 0) {
        fault(self);
        return pass_through(self, &self->create_task, call);
    }
    Pending made = ring->pending;

    PyObject *task = pass_through(self, &self->create_task, call);

    ring->pending = pending_before;
    ring->current = current_before;
    if (task == NULL) {
        if (eager > 0) {
            PyObject *raised = take_raised();
            recorder_abandon(recorder, ring, made.id);
            give_raised(raised);
        }
        return NULL;
    }
    PyObject *context = arguments_keyword(call, recorder->state->names.context);
    if (recorder_born(recorder, ring, task, &made, eager > 0, context) < 0) {
        fault(self);
    }
    return task;
}

static PyObject *
hook_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Hook *self = (Hook *)op;
    Arguments call = {args, nargs, kwnames};
    PyObject *coroutine = NULL;
    if (is_armed(self)) {
        coroutine =
            nargs > 0 ? args[0] : arguments_keyword(call, self->recorder->state->names.coro);
    }
    if (coroutine == NULL) {
        return pass_through(self, &self->create_task, call);
    }
    return create_watched(self, coroutine, call);
}

static PyObject *
hook_adopt(PyObject *op, PyObject *task)
{
    Recorder *recorder = ((Hook *)op)->recorder;
    Ring *ring = recorder_ring(recorder);
    if (ring == NULL || recorder_adopt(recorder, ring, task) == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------- lifetime */

/* Says whether a loop keeps its task factory as asyncio's own do; -1 with an exception set. */
static int
has_plain_factory(const ModuleState *state, PyObject *loop)
{
    PyObject *method;
    int found = optional_attr((PyObject *)Py_TYPE(loop), state->names.get_task_factory, &method);
    if (found <= 0) {
        return found;
    }
    Py_DECREF(method);
    return method == state->asyncio.get_task_factory;
}

PyObject *
hook_new(Recorder *recorder, PyObject *loop)
{
    const Names *names = &recorder->state->names;
    Hook *self = (Hook *)recorder->state->hook_type->tp_alloc(recorder->state->hook_type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->recorder = (Recorder *)Py_NewRef(recorder);
    self->loop = PyWeakref_NewRef(loop, NULL);
    int plain = has_plain_factory(recorder->state, loop);
    self->has_plain_factory = plain > 0;
    if (self->loop == NULL || plain < 0 ||
        original_find(&self->create_task, loop, names->create_task) < 0 ||
        original_find(&self->call_soon, loop, names->call_soon) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
hook_traverse(PyObject *op, visitproc visit, void *arg)
{
    Hook *self = (Hook *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->recorder);
    Py_VISIT(self->loop);
    Py_VISIT(self->create_task.function);
    Py_VISIT(self->call_soon.function);
    return 0;
}

/* Only what others put there can be part of a cycle; the rest stays for whoever calls us even now.
 */
static int
hook_clear(PyObject *op)
{
    Hook *self = (Hook *)op;
    self->armed = 0;
    Py_XSETREF(self->create_task.function, Py_NewRef(Py_None));
    Py_XSETREF(self->call_soon.function, Py_NewRef(Py_None));
    return 0;
}

static void
hook_dealloc(PyObject *op)
{
    Hook *self = (Hook *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->weaklist != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    Py_XDECREF(self->create_task.function);
    Py_XDECREF(self->call_soon.function);
    Py_XDECREF(self->loop);
    Py_XDECREF(self->recorder);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef hook_methods[] = {
    {"create_task", (PyCFunction)(void (*)(void))hook_create_task, METH_FASTCALL | METH_KEYWORDS,
     "Make a task as the loop does, and record its birth."},
    {"call_soon", (PyCFunction)(void (*)(void))hook_call_soon, METH_FASTCALL | METH_KEYWORDS,
     "Schedule a callback as the loop does; those that run a task are watched."},
    {"adopt", hook_adopt, METH_O, "Make a task known that lives already."},
    {0},
};

static PyMemberDef hook_members[] = {
    {"armed", T_BOOL, offsetof(Hook, armed), 0, "Whether it watches; if not, calls pass through."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Hook, weaklist), READONLY, NULL},
    {0},
};

static PyType_Slot hook_slots[] = {
    {Py_tp_doc, "Watches one loop: what stands in for its `create_task` and `call_soon`."},
    {Py_tp_traverse, hook_traverse},
    {Py_tp_clear, hook_clear},
    {Py_tp_dealloc, hook_dealloc},
    {Py_tp_methods, hook_methods},
    {Py_tp_members, hook_members},
    {0, NULL},
};

PyType_Spec hook_spec = {
    .name = "aperf._recorder._core.LoopHook",
    .basicsize = sizeof(Hook),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = hook_slots,
};
