#include "recorder.h"
#include "recorder_methods.h"

#include <stddef.h>

/* A recorder that fails this often of its own fault stops watching. */
#define MAX_FAULTS 8
/* Rings of threads that run no loop are smaller by this factor: they carry jobs and user spans
 * only. */
#define SIDE_RING 16
#define MIN_RING  64 /* slots; several of the largest events */

/* --------------------------------------------------------------------------------------- faults */

static int
raise_in_program(void *exception)
{
    give_raised(exception);
    return -1;
}

void
recorder_fault(Recorder *recorder)
{
    PyObject *error = take_raised();
    if (error != NULL && !PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        if (Py_AddPendingCall(raise_in_program, error) == 0) {
            return; /* its reference goes along */
        }
    }
    Py_XDECREF(error);
    if (++recorder->internal_errors >= MAX_FAULTS) {
        recorder->armed = 0;
    }
}

/* ---------------------------------------------------------------------------------------- rings */

Ring *
recorder_make_ring(Recorder *recorder, bool loop)
{
    uint64_t slots = recorder->ring_slots;
    if (!loop) {
        slots = slots / SIDE_RING < MIN_RING ? MIN_RING : slots / SIDE_RING;
    }
    PyObject *thread = PyObject_CallMethodNoArgs(recorder->cold, recorder->state->names.thread);
    if (thread == NULL) {
        return NULL;
    }
    Ring **rings =
        PyMem_Realloc(recorder->rings, (size_t)(recorder->ring_count + 1) * sizeof(Ring *));
    if (rings == NULL) {
        Py_DECREF(thread);
        PyErr_NoMemory();
        return NULL;
    }
    recorder->rings = rings;
    Ring *ring = ring_new(slots, thread);
    if (ring == NULL) {
        return NULL;
    }
    if (PyThread_tss_set(&recorder->ring_key, ring) != 0) {
        ring_free(ring);
        PyErr_NoMemory();
        return NULL;
    }
    rings[recorder->ring_count++] = ring;
    return ring;
}

void
recorder_call_reader(Recorder *recorder, Ring *ring)
{
    ring->warned = true;
    PyObject *answer = PyObject_CallMethodNoArgs(recorder->cold, recorder->state->names.half_full);
    if (answer == NULL) {
        recorder_fault(recorder);
    }
    Py_XDECREF(answer);
}

void
recorder_put(Recorder *recorder, Ring *ring, enum Kind kind, uint64_t a)
{
    Slot slot = {
        .t_ns = (uint64_t)clock_now(&recorder->clock), .kind = (uint8_t)kind, .slots = 1, .a = a};
    recorder_write(recorder, ring, &slot, NULL, 0);
}

void
recorder_abandon(Recorder *recorder, Ring *ring, uint64_t id)
{
    recorder_forget_outer(recorder, id);
    recorder_put(recorder, ring, KIND_ABANDON, id);
}

/* ------------------------------------------------------------------------------------- lifetime */

static int
check_ring_slots(long long slots)
{
    if (slots < 1 || (slots & (slots - 1)) != 0 || slots > UINT32_MAX) {
        PyErr_Format(PyExc_ValueError, "ring_slots=%lld: must be a power of two", slots);
        return -1;
    }
    return 0;
}

static PyObject *
recorder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"cold",     "ring_slots",   "stack_min_ns",
                               "span_var", "manual_clock", NULL};
    PyObject *cold, *span_var = Py_None;
    long long ring_slots = 1 << 18, stack_min_ns = 1000000;
    int manual_clock = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$LLOp:Recorder", keywords, &cold, &ring_slots,
                                     &stack_min_ns, &span_var, &manual_clock) ||
        check_ring_slots(ring_slots) < 0) {
        return NULL;
    }
    Recorder *self = (Recorder *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->ring_key = (Py_tss_t)Py_tss_NEEDS_INIT;
    self->module = Py_NewRef(PyType_GetModule(type));
    self->state = PyModule_GetState(self->module);
    self->cold = Py_NewRef(cold);
    self->span_var = span_var == Py_None ? NULL : Py_NewRef(span_var);
    self->stack_min_ns = stack_min_ns;
    self->ring_slots = ring_slots < MIN_RING ? MIN_RING : ring_slots;
    clock_init(&self->clock, manual_clock);
    self->outers = PyDict_New();
    self->moved = PyDict_New();
    if (self->outers == NULL || self->moved == NULL || entries_init(&self->entries) < 0 ||
        codes_init(&self->codes) < 0 || sites_init(&self->sites) < 0) {
        goto fail;
    }
    if (PyThread_tss_create(&self->ring_key) != 0) {
        PyErr_SetString(PyExc_MemoryError, "no thread-local storage left for another recorder");
        goto fail;
    }
    return (PyObject *)self;

fail:
    Py_DECREF(self);
    return NULL;
}

static int
recorder_traverse(PyObject *op, visitproc visit, void *arg)
{
    Recorder *self = (Recorder *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->module);
    Py_VISIT(self->cold);
    Py_VISIT(self->span_var);
    Py_VISIT(self->bridge);
    Py_VISIT(self->context_var);
    Py_VISIT(self->span_key);
    Py_VISIT(self->mute_key);
    Py_VISIT(self->outers);
    Py_VISIT(self->moved);
    return sites_traverse(&self->sites, visit, arg);
}

/* The module stays, since it owns the state, and the tables stay, since steps may refer to entries.
 */
static int
recorder_clear(PyObject *op)
{
    Recorder *self = (Recorder *)op;
    self->armed = 0;
    Py_XSETREF(self->cold, Py_NewRef(Py_None));
    Py_CLEAR(self->span_var);
    recorder_follow(self, NULL, NULL, NULL, NULL);
    return 0;
}

static void
recorder_dealloc(PyObject *op)
{
    Recorder *self = (Recorder *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    PyThread_tss_delete(&self->ring_key);
    for (Py_ssize_t i = 0; i < self->ring_count; i++) {
        ring_free(self->rings[i]);
    }
    PyMem_Free(self->rings);
    entries_free(&self->entries);
    codes_free(&self->codes);
    sites_free(&self->sites);
    Py_XDECREF(self->cold);
    Py_XDECREF(self->span_var);
    Py_XDECREF(self->bridge);
    Py_XDECREF(self->context_var);
    Py_XDECREF(self->span_key);
    Py_XDECREF(self->mute_key);
    Py_XDECREF(self->outers);
    Py_XDECREF(self->moved);
    Py_XDECREF(self->module);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef recorder_members[] = {
    {"armed", T_BOOL, offsetof(Recorder, armed), 0, "Whether anything is recorded."},
    {"nesting", T_BOOL, offsetof(Recorder, nesting), 0,
     "Whether suspensions are followed by a CHAIN."},
    {"stack_min_ns", T_LONGLONG, offsetof(Recorder, stack_min_ns), 0,
     "Waits at least this long record the whole await chain."},
    {"internal_errors", T_PYSSIZET, offsetof(Recorder, internal_errors), READONLY,
     "Faults of our own."},
    {"cold", T_OBJECT_EX, offsetof(Recorder, cold), READONLY, "Answers rare questions."},
    {"bridge", T_OBJECT, offsetof(Recorder, bridge), READONLY,
     "Knows OpenTelemetry's spans, None while nobody cares."},
    {"context_var", T_OBJECT, offsetof(Recorder, context_var), READONLY,
     "Holds OpenTelemetry's context, None while that is not imported."},
    {"outers", T_OBJECT_EX, offsetof(Recorder, outers), READONLY,
     "What the bridge knows of tasks in which a span of OpenTelemetry is current, by number."},
    {"moved", T_OBJECT_EX, offsetof(Recorder, moved), READONLY,
     "Roots of tasks that went on in another trace, by their number."},
    {"descent", T_BYTE, offsetof(Recorder, descent), 0,
     "Who is the parent of a task: 0 by the rules, 1 whoever is there, 2 nobody."},
    {"span_var", T_OBJECT, offsetof(Recorder, span_var), READONLY,
     "What holds the user span that is open in a context, or None."},
    {0},
};

static PyType_Slot recorder_slots[] = {
    {Py_tp_doc, "Writes what happens on loops into rings, and hands the rings out."},
    {Py_tp_new, recorder_new},
    {Py_tp_traverse, recorder_traverse},
    {Py_tp_clear, recorder_clear},
    {Py_tp_dealloc, recorder_dealloc},
    {Py_tp_methods, recorder_methods},
    {Py_tp_members, recorder_members},
    {0, NULL},
};

PyType_Spec recorder_spec = {
    .name = "aperf._recorder._core.Recorder",
    .basicsize = sizeof(Recorder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = recorder_slots,
};
