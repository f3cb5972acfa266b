#include "monitor.h"

#if PY_VERSION_HEX >= 0x030C0000

#    include "activations.h"
#    include "frames.h"

#    include <stdlib.h>
#    include <string.h>

/* Code whose frames are awaited. */
#    define AWAITED (CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR)
/* From this many activations on, those of tasks that ended without a word are looked for. */
#    define CROWDED 1024

typedef struct {
    PyObject_HEAD
    Recorder *recorder;
    PyObject *disable; /* sys.monitoring.DISABLE */
    uint64_t seq;
    size_t limit;
    Activations activations;
} Monitor;

/* -------------------------------------------------------------------------------------- writing */

static int
write_call(Monitor *self, enum Kind kind, int flags, const Activation *activation,
           uint64_t duration_ns)
{
    Recorder *recorder = self->recorder;
    Ring *ring = PyThread_tss_get(&recorder->ring_key);
    if (ring == NULL && (ring = recorder_make_ring(recorder, false)) == NULL) {
        return -1;
    }
    Frame frame = {.code = activation->code, .lasti = -1};
    int64_t site = sites_intern(&recorder->sites, &frame, 1, NULL, 0);
    if (site < 0) {
        return -1;
    }
    Slot slot = {
        .t_ns = activation->start_ns,
        .kind = (uint8_t)kind,
        .slots = 2,
        .flags = (uint16_t)flags,
        .ref = (uint32_t)site,
        .a = activation->task,
        .b = activation->seq,
    };
    CallDetail detail = {.duration_ns = duration_ns};
    if (activation->parent != NULL) {
        detail.parent_seq = activation->parent->seq;
        detail.parent_start_ns = activation->parent->start_ns;
    }
    recorder_write(recorder, ring, &slot, &detail, sizeof(detail));
    return 0;
}

static int
write_open(Monitor *self, Activation *activation)
{
    activation->bottom->told = activation->seq;
    return write_call(self, KIND_IN_CALL, 0, activation, 0);
}

/* Says of an activation and those below it that they are open, outermost first. Marked as they are
 * met, so that no deeper nesting can come about. */
static int
announce(Monitor *self, Activation *activation)
{
    size_t count = 0;
    for (Activation *one = activation; one != NULL && !one->announced; one = one->parent) {
        count++;
    }
    Activation **fresh = count == 0 ? NULL : PyMem_Malloc(count * sizeof(Activation *));
    if (count > 0 && fresh == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++, activation = activation->parent) {
        activation->announced = true;
        fresh[i] = activation;
    }
    int result = 0;
    while (count-- > 0 && result == 0) {
        if (fresh[count]->recorded) {
            result = write_open(self, fresh[count]);
        }
    }
    PyMem_Free(fresh);
    return result;
}

/* A task is suspended in an activation: sees to it that the reader knows. */
static int
suspend(Monitor *self, Activation *activation)
{
    if (announce(self, activation) < 0) {
        return -1;
    }
    if (activation->bottom->told == activation->seq) {
        return 0;
    }
    while (activation->seq != 0 && !activation->recorded && activation->parent != NULL) {
        activation = activation->parent;
    }
    return write_open(self, activation);
}

/* ---------------------------------------------------------------------------------- activations */

static int
compare_ids(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* Returns the ids of the live tasks in order, NULL with MemoryError set. */
static uint64_t *
live_ids(const Entries *entries, size_t *count)
{
    uint64_t *ids = PyMem_Malloc((entries->count + 1) * sizeof(uint64_t));
    if (ids == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *count = 0;
    for (size_t at = 0; at <= entries->mask; at++) {
        if (entries->table[at] != NULL) {
            ids[(*count)++] = entries->table[at]->id;
        }
    }
    qsort(ids, *count, sizeof(uint64_t), compare_ids);
    return ids;
}

/* Copies the table, each with a reference. */
static Activation **
snapshot(const Activations *activations, size_t *count)
{
    Activation **all = PyMem_Malloc((activations->count + 1) * sizeof(Activation *));
    if (all == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *count = 0;
    for (size_t at = 0; at <= activations->mask; at++) {
        if (activations->table[at] != NULL) {
            all[(*count)++] = activation_hold(activations->table[at]);
        }
    }
    return all;
}

/* Forgets activations of tasks that ended without their frames saying so. */
static int
prune(Monitor *self)
{
    size_t lives, count;
    uint64_t *ids = live_ids(&self->recorder->entries, &lives);
    Activation **all = ids == NULL ? NULL : snapshot(&self->activations, &count);
    if (all == NULL) {
        PyMem_Free(ids);
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (bsearch(&all[i]->task, ids, lives, sizeof(uint64_t), compare_ids) == NULL &&
            activations_remove(&self->activations, all[i])) {
            activation_release(all[i]);
        }
        activation_release(all[i]); /* the last one of a code object may run somebody's callback */
    }
    PyMem_Free(all);
    PyMem_Free(ids);
    size_t twice = self->activations.count * 2;
    self->limit = twice < CROWDED ? CROWDED : twice;
    return 0;
}

/* Returns the nearest activation below a frame, NULL if it is the outermost of its task. */
static Activation *
activation_below(const Activations *activations, const void *frame, uint64_t task)
{
    while ((frame = frame_below(frame)) != NULL) {
        Activation *found = activations_find(activations, frame, frame_code_at(frame));
        if (found != NULL) {
            return found->task == task ? found : NULL;
        }
    }
    return NULL;
}

/* Begins an activation, if it is somebody else's code. Returns what the callback is to return, NULL
 * with an exception set. */
static PyObject *
begin(Monitor *self, Ring *ring, PyObject *code, bool recorded)
{
    ring->leaving = false;
    int bits = recorder_code_bits(self->recorder, code);
    if (bits < 0) {
        return NULL;
    }
    if (bits & CODE_OWN) {
        return self->disable;
    }
    if (self->activations.count >= self->limit && prune(self) < 0) {
        return NULL;
    }
    const void *frame = frame_running();
    Activation *parent = activation_below(&self->activations, frame, ring->current);
    Activation *activation = activation_new(frame, code, ring->current, parent);
    if (activation == NULL) {
        return NULL;
    }
    if (parent == NULL || parent->is_task) {
        activation->is_task = bits & CODE_WRAPPER;
    }
    else if (recorded) {
        activation->seq = ++self->seq;
        activation->start_ns = (uint64_t)clock_now(&self->recorder->clock);
        activation->recorded = true;
    }
    if (activations_put(&self->activations, activation) < 0) {
        activation_release(activation);
        return NULL;
    }
    return Py_None;
}

static Activation *
find_running(Monitor *self, PyObject *code)
{
    return activations_find(&self->activations, frame_running(), code);
}

/* A frame runs again: after a suspension, for its next item, or for the first time seen. */
static PyObject *
go_on(Monitor *self, Ring *ring, PyObject *code)
{
    ring->leaving = false;
    if (find_running(self, code) != NULL) {
        return Py_None;
    }
    return begin(self, ring, code, ((PyCodeObject *)code)->co_flags & CO_ASYNC_GENERATOR);
}

/* The running frame is over, or a generator's step: records it. */
static PyObject *
end(Monitor *self, Activation *activation, int flags)
{
    (void)activations_remove(&self->activations, activation);
    int result = 0;
    if (activation->recorded) {
        uint64_t now = (uint64_t)clock_now(&self->recorder->clock);
        if (activation->announced) {
            flags |= CALL_SUSPENDED;
            activation->bottom->told = activation->parent == NULL ? 0 : activation->parent->seq;
        }
        result = write_call(self, KIND_CALL, flags, activation, now - activation->start_ns);
    }
    activation_release(activation);
    return result < 0 ? NULL : Py_None;
}

/* A frame hands out an item, or is suspended with its task. */
static PyObject *
leave(Monitor *self, Activation *activation, PyObject *value)
{
    int flags = ((PyCodeObject *)activation->code)->co_flags;
    if (flags & CO_ASYNC_GENERATOR &&
        strcmp(Py_TYPE(value)->tp_name, "async_generator_wrapped_value") == 0) {
        return end(self, activation, 0);
    }
    Ring *ring = PyThread_tss_get(&self->recorder->ring_key);
    if (ring == NULL || ring->leaving || ring->current != activation->task) {
        return Py_None;
    }
    ring->leaving = true;
    activation_hold(activation); /* calling the reader runs Python */
    int result = suspend(self, activation);
    activation_release(activation);
    return result < 0 ? NULL : Py_None;
}

static int
outcome(const Monitor *self, PyObject *error)
{
    if (PyErr_GivenExceptionMatches(error, self->recorder->state->asyncio.cancelled_error)) {
        return CALL_CANCELLED;
    }
    bool is_end = PyErr_GivenExceptionMatches(error, PyExc_GeneratorExit) ||
                  PyErr_GivenExceptionMatches(error, PyExc_StopAsyncIteration);
    return is_end ? 0 : CALL_FAILED;
}

/* --------------------------------------------------------------------------------------- events */

/* The callbacks never raise: takes what one of the above returned, borrowed or NULL. */
static PyObject *
answered(Monitor *self, PyObject *answer)
{
    if (UNLIKELY(answer == NULL)) {
        recorder_fault(self->recorder);
        answer = Py_None;
    }
    return Py_NewRef(answer);
}

static inline bool
is_awaited(PyObject *code)
{
    return ((PyCodeObject *)code)->co_flags & AWAITED;
}

/* Returns this thread's ring if a task runs here. */
static inline Ring *
ring_of_task(Monitor *self)
{
    Ring *ring = PyThread_tss_get(&self->recorder->ring_key);
    return ring != NULL && ring->current != 0 ? ring : NULL;
}

/* Only the interpreter calls these, with what it documents: code, offset and perhaps a value. */

static PyObject *
started(PyObject *op, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    Monitor *self = (Monitor *)op;
    if (!is_awaited(args[0])) {
        return Py_NewRef(self->disable);
    }
    Ring *ring = ring_of_task(self);
    return answered(self, ring == NULL ? Py_None : begin(self, ring, args[0], true));
}

static PyObject *
resumed(PyObject *op, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    Monitor *self = (Monitor *)op;
    if (!is_awaited(args[0])) {
        return Py_NewRef(self->disable);
    }
    Ring *ring = ring_of_task(self);
    return answered(self, ring == NULL ? Py_None : go_on(self, ring, args[0]));
}

static PyObject *
thrown(PyObject *op, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    Monitor *self = (Monitor *)op;
    Ring *ring = is_awaited(args[0]) ? ring_of_task(self) : NULL;
    if (ring != NULL && go_on(self, ring, args[0]) == NULL) {
        recorder_fault(self->recorder);
    }
    Py_RETURN_NONE; /* before Python 3.14 it cannot be switched off */
}

static PyObject *
yielded(PyObject *op, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    Monitor *self = (Monitor *)op;
    if (!is_awaited(args[0])) {
        return Py_NewRef(self->disable);
    }
    Activation *activation = find_running(self, args[0]);
    return answered(self, activation == NULL ? Py_None : leave(self, activation, args[2]));
}

static PyObject *
returned(PyObject *op, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    Monitor *self = (Monitor *)op;
    if (!is_awaited(args[0])) {
        return Py_NewRef(self->disable);
    }
    Activation *activation = find_running(self, args[0]);
    return answered(self, activation == NULL ? Py_None : end(self, activation, 0));
}

static PyObject *
unwound(PyObject *op, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    Monitor *self = (Monitor *)op;
    Activation *activation = is_awaited(args[0]) ? find_running(self, args[0]) : NULL;
    if (activation == NULL) {
        Py_RETURN_NONE;
    }
    return answered(self, end(self, activation, outcome(self, args[2])));
}

/* ------------------------------------------------------------------------------------- the type */

static PyObject *
announce_all(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Monitor *self = (Monitor *)op;
    size_t count;
    Activation **all = snapshot(&self->activations, &count);
    if (all == NULL) {
        return NULL;
    }
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        if (result == 0) {
            result = announce(self, all[i]);
        }
        activation_release(all[i]);
    }
    PyMem_Free(all);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef callbacks[] = {
    {"PY_START", (PyCFunction)(void (*)(void))started, METH_FASTCALL, NULL},
    {"PY_RESUME", (PyCFunction)(void (*)(void))resumed, METH_FASTCALL, NULL},
    {"PY_YIELD", (PyCFunction)(void (*)(void))yielded, METH_FASTCALL, NULL},
    {"PY_RETURN", (PyCFunction)(void (*)(void))returned, METH_FASTCALL, NULL},
    {"PY_THROW", (PyCFunction)(void (*)(void))thrown, METH_FASTCALL, NULL},
    {"PY_UNWIND", (PyCFunction)(void (*)(void))unwound, METH_FASTCALL, NULL},
    {0},
};

static PyObject *
get_callbacks(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *result = PyDict_New();
    for (PyMethodDef *definition = callbacks; result != NULL && definition->ml_name != NULL;
         definition++) {
        PyObject *callback = PyCFunction_New(definition, op);
        if (callback == NULL || PyDict_SetItemString(result, definition->ml_name, callback) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(callback);
    }
    return result;
}

PyObject *
monitor_new(Recorder *recorder)
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */
    if (monitoring == NULL) {
        return PyErr_Format(PyExc_RuntimeError, "there is no sys.monitoring");
    }
    PyObject *disable = PyObject_GetAttrString(monitoring, "DISABLE");
    if (disable == NULL) {
        return NULL;
    }
    Monitor *self = PyObject_GC_New(Monitor, recorder->state->monitor_type);
    if (self == NULL) {
        Py_DECREF(disable);
        return NULL;
    }
    self->recorder = (Recorder *)Py_NewRef(recorder);
    self->disable = disable;
    self->seq = 0;
    self->limit = CROWDED;
    if (activations_init(&self->activations) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
monitor_traverse(PyObject *op, visitproc visit, void *arg)
{
    Monitor *self = (Monitor *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->recorder);
    Py_VISIT(self->disable);
    return 0;
}

static void
monitor_dealloc(PyObject *op)
{
    Monitor *self = (Monitor *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    activations_free(&self->activations);
    Py_DECREF(self->recorder);
    Py_DECREF(self->disable);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyMethodDef monitor_methods[] = {
    {"announce", announce_all, METH_NOARGS,
     "Say of all activations that they are open: a session ends, and its spans want parents."},
    {0},
};

static PyGetSetDef monitor_getset[] = {
    {"callbacks", get_callbacks, NULL, "The callbacks by the name of the event.", NULL},
    {0},
};

static PyType_Slot monitor_slots[] = {
    {Py_tp_doc, "The callbacks of sys.monitoring for one recorder. They never raise."},
    {Py_tp_traverse, monitor_traverse},
    {Py_tp_dealloc, monitor_dealloc},
    {Py_tp_methods, monitor_methods},
    {Py_tp_getset, monitor_getset},
    {0, NULL},
};

PyType_Spec monitor_spec = {
    .name = "aperf._recorder._core.Monitor",
    .basicsize = sizeof(Monitor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = monitor_slots,
};

#endif
