#include "step.h"

#include <stddef.h>

/* ----------------------------------------------------------------------------------- its two ends
 */

/* Notes the whole chain of a wait that was long. */
static int
place_fully(Recorder *recorder, Entry *entry, PyObject *task, PyObject *coroutine)
{
    coroutine =
        coroutine == NULL ? asyncio_coro(&recorder->state->asyncio, task) : Py_NewRef(coroutine);
    if (coroutine == NULL) {
        return -1;
    }
    int64_t site = recorder_full_site(recorder, entry->site, coroutine);
    Py_DECREF(coroutine);
    if (site > 0) {
        entry->site = (uint32_t)site;
    }
    return site < 0 ? -1 : 0;
}

int64_t
step_enter(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task, PyObject *coroutine)
{
    int64_t now = clock_now(&recorder->clock);
    ring->current = entry->id;
    entry->running = true;
    if (!entry->first && now - entry->since_ns >= recorder->stack_min_ns &&
        place_fully(recorder, entry, task, coroutine) < 0) {
        recorder_fault(recorder);
    }
    return now;
}

/* Writes a STEP, a WIDE one where its numbers are large. */
static void
write_step(Recorder *recorder, Ring *ring, const Entry *entry, int64_t t_ns, uint64_t ready_ns,
           uint64_t busy_ns, uint64_t waker, int flags)
{
    Slot slot = {
        .t_ns = (uint64_t)t_ns,
        .kind = KIND_STEP,
        .slots = 1,
        .flags = (uint16_t)flags,
        .ref = entry->site,
    };
    if (LIKELY((entry->id | waker | ready_ns | busy_ns) >> 32 == 0)) {
        slot.task = (uint32_t)entry->id;
        slot.waker = (uint32_t)waker;
        slot.ready_ns = (uint32_t)ready_ns;
        slot.busy_ns = (uint32_t)busy_ns;
        ring_put_slot(ring, &slot);
    }
    else {
        WideTimes times = {.ready_ns = ready_ns, .busy_ns = busy_ns};
        slot.kind = KIND_WIDE;
        slot.slots = 2;
        slot.a = entry->id;
        slot.b = waker;
        ring_put(ring, &slot, &times, sizeof(times));
    }
    if (UNLIKELY(ring_needs_reader(ring))) {
        recorder_call_reader(recorder, ring);
    }
}

int
step_close(Recorder *recorder, Ring *ring, Entry *entry, PyObject *key, int64_t now, int64_t t_ns,
           int64_t ready_ns, uint64_t waker, int flags, PyObject *coroutine, PyObject *waiter)
{
    if (entry->first) {
        flags |= STEP_FIRST;
    }
    write_step(recorder, ring, entry, t_ns, (uint64_t)ready_ns, (uint64_t)(now - t_ns), waker,
               flags);
    entry->first = entry->running = false;
    entry->since_ns = now;
    if (flags & STEP_DONE) {
        if (entries_find(&recorder->entries, key) == entry) {
            entries_remove(&recorder->entries, entry);
        }
        return 0;
    }
    uint64_t id = entry->id;
    int64_t site = recorder_site_of(recorder, coroutine, waiter);
    if (site < 0) {
        return -1;
    }
    if (entry->id == id) { /* asking about new code ran Python */
        entry->site = (uint32_t)site;
    }
    return 0;
}

int
step_record_failure(Recorder *recorder, uint64_t id, PyObject *error)
{
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    if (number == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallMethodObjArgs(recorder->cold, recorder->state->names.failure,
                                                  (PyObject *)recorder, number, error, NULL);
    Py_DECREF(number);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* Says how a task ended, as flags; -1 with an exception set. */
static int
outcome(Recorder *recorder, const Entry *entry, PyObject *task)
{
    const Asyncio *asyncio = &recorder->state->asyncio;
    int cancelled = asyncio_cancelled(asyncio, task);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : STEP_CANCELLED;
    }
    PyObject *error = asyncio_exception(asyncio, task);
    if (error == NULL) {
        return -1;
    }
    int flags = 0;
    if (error != Py_None) {
        flags = step_record_failure(recorder, entry->id, error) < 0 ? -1 : STEP_FAILED;
    }
    Py_DECREF(error);
    return flags;
}

int
step_leave(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task, int64_t t_ns,
           int64_t ready_ns, uint64_t waker, int flags)
{
    const Asyncio *asyncio = &recorder->state->asyncio;
    int64_t now = clock_now(&recorder->clock);
    int done = asyncio_done(asyncio, task);
    if (done < 0) {
        return -1;
    }
    if ((done || entry->first) && recorder_rename(recorder, ring, entry, task) < 0) {
        return -1;
    }
    if (done) {
        int how = outcome(recorder, entry, task);
        return how < 0 ? -1
                       : step_close(recorder, ring, entry, task, now, t_ns, ready_ns, waker,
                                    flags | STEP_DONE | how, NULL, NULL);
    }
    PyObject *coroutine = asyncio_coro(asyncio, task);
    PyObject *waiter = coroutine == NULL ? NULL : asyncio_waiter(asyncio, task);
    int result = -1;
    if (waiter != NULL) {
        result = step_close(recorder, ring, entry, task, now, t_ns, ready_ns, waker, flags,
                            coroutine, waiter);
        Py_DECREF(waiter);
    }
    Py_XDECREF(coroutine);
    return result;
}

/* --------------------------------------------------------------------------------------- the type
 */

/* Runs one step of a task in place of the original callback, and records it. */
typedef struct {
    PyObject_HEAD vectorcallfunc vectorcall;
    Recorder *recorder;
    PyObject *callback;
    PyObject *task;
    Entry *entry; /* the task's, as long as it has this id */
    uint64_t id;
    uint64_t waker;
    int64_t woken_ns;
    int flags;
} Step;

static PyObject *
run_recorded(Step *self, Ring *ring, PyObject *const *args, size_t nargsf, PyObject *kwnames,
             int flags)
{
    Recorder *recorder = self->recorder;
    Entry *entry = self->entry;
    uint64_t before = ring->current;
    int64_t t_ns = step_enter(recorder, ring, entry, self->task, NULL);
    /* The first wake-up belongs to the birth: a task is ready from its first moment. */
    int64_t ready_ns = t_ns - (entry->first ? entry->since_ns : self->woken_ns);

    PyObject *result = PyObject_Vectorcall(self->callback, args, nargsf, kwnames);

    PyObject *raised = UNLIKELY(result == NULL) ? take_raised() : NULL;
    ring->current = before;
    if (entry->id == self->id &&
        step_leave(recorder, ring, entry, self->task, t_ns, ready_ns, self->waker, flags) < 0) {
        recorder_fault(recorder);
    }
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
        Ring *ring = recorder_ring(recorder);
        int cancelled = 0;
        if (PyVectorcall_NARGS(nargsf) > 0) {
            /* A task in Python schedules itself with an exception, too. */
            cancelled = asyncio_is_cancelled_future(&recorder->state->asyncio, args[0]);
        }
        if (LIKELY(ring != NULL && cancelled >= 0)) {
            int flags = self->flags | (cancelled ? STEP_WAIT_CANCELLED : 0);
            return run_recorded(self, ring, args, nargsf, kwnames, flags);
        }
        recorder_fault(recorder);
    }
    return PyObject_Vectorcall(self->callback, args, nargsf, kwnames);
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
