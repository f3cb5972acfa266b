#include "recorder_methods.h"
#include "hook.h"
#include "put.h"
#include "monitor.h"
#include "recorder.h"
#include "wrapper.h"

/* ------------------------------------------------------------------------------------ the clock */

static PyObject *
now_ns(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(clock_now(&((Recorder *)op)->clock));
}

static PyObject *
set_time_ns(PyObject *op, PyObject *arg)
{
    Clock *clock = &((Recorder *)op)->clock;
    long long t_ns = PyLong_AsLongLong(arg);
    if (t_ns == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (clock->mode == CLOCK_MANUAL) {
        clock->ns = t_ns;
    }
    Py_RETURN_NONE;
}

/* -------------------------------------------------------------------------------------- writing */

static PyObject *
next_id(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(++((Recorder *)op)->ids);
}

static PyObject *
current(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    const Ring *ring = PyThread_tss_get(&((Recorder *)op)->ring_key);
    return PyLong_FromUnsignedLongLong(ring == NULL ? 0 : ring->current);
}

static PyObject *
root(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Recorder *recorder = (Recorder *)op;
    uint64_t root = 0;
    const Ring *ring = PyThread_tss_get(&recorder->ring_key);
    if (ring != NULL && recorder_root(recorder, ring, &root) < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(root);
}

static PyObject *
fault(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    recorder_fault((Recorder *)op);
    Py_RETURN_NONE;
}

static PyObject *
or_null(PyObject *value)
{
    return value == Py_None ? NULL : value;
}

static PyObject *
follow(PyObject *op, PyObject *args)
{
    PyObject *bridge, *context_var = Py_None, *span_key = Py_None, *mute_key = Py_None;
    if (!PyArg_ParseTuple(args, "O|OOO:follow", &bridge, &context_var, &span_key, &mute_key)) {
        return NULL;
    }
    if (context_var != Py_None && !PyContextVar_CheckExact(context_var)) {
        return PyErr_Format(PyExc_TypeError, "context_var must be a ContextVar, not %.200s",
                            Py_TYPE(context_var)->tp_name);
    }
    recorder_follow((Recorder *)op, or_null(bridge), or_null(context_var), or_null(span_key),
                    or_null(mute_key));
    Py_RETURN_NONE;
}

static PyObject *
look(PyObject *op, PyObject *arg)
{
    unsigned long long owner = PyLong_AsUnsignedLongLong(arg);
    if ((owner == (unsigned long long)-1 && PyErr_Occurred()) ||
        recorder_look_as((Recorder *)op, owner) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
adopt(PyObject *op, PyObject *task)
{
    Recorder *recorder = (Recorder *)op;
    Ring *ring = recorder_ring(recorder);
    Entry *entry = ring == NULL ? NULL : recorder_adopt(recorder, ring, task);
    return entry == NULL ? NULL : PyLong_FromUnsignedLongLong(entry->id);
}

static PyObject *
hook(PyObject *op, PyObject *loop)
{
    return hook_new((Recorder *)op, loop);
}

#if PY_VERSION_HEX >= 0x030C0000
static PyObject *
monitor(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return monitor_new((Recorder *)op);
}
#endif

static PyObject *
wrap(PyObject *op, PyObject *args)
{
    PyObject *coroutine, *name, *context;
    if (!PyArg_ParseTuple(args, "OOO:wrap", &coroutine, &name, &context)) {
        return NULL;
    }
    if (name == Py_None) {
        return wrapper_new((Recorder *)op, coroutine, NULL, context);
    }
    PyObject *text = PyObject_Str(name);
    PyObject *wrapper = text == NULL ? NULL : wrapper_new((Recorder *)op, coroutine, text, context);
    Py_XDECREF(text);
    return wrapper;
}

/* -------------------------------------------------------------------------------------- reading */

/* Appends (index of the ring, its slots) to a list. */
static int
append_taken(PyObject *list, Py_ssize_t index, Ring *ring, uint64_t slots)
{
    PyObject *data = ring_take(ring, slots);
    PyObject *item = data == NULL ? NULL : Py_BuildValue("(nN)", index, data);
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}

static PyObject *
drain(PyObject *op, PyObject *arg)
{
    Recorder *recorder = (Recorder *)op;
    Py_ssize_t slots = PyNumber_AsSsize_t(arg, PyExc_OverflowError);
    if (slots == -1 && PyErr_Occurred()) {
        return NULL;
    }
    clock_adjust(&recorder->clock);
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < recorder->ring_count; i++) {
        Ring *ring = recorder->rings[i];
        if (ring_used(ring) > 0 &&
            append_taken(list, i, ring, slots < 0 ? 0 : (uint64_t)slots) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
used(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Recorder *recorder = (Recorder *)op;
    uint64_t sum = 0;
    for (Py_ssize_t i = 0; i < recorder->ring_count; i++) {
        sum += ring_used(recorder->rings[i]);
    }
    return PyLong_FromUnsignedLongLong(sum);
}

static PyObject *
dropped(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Recorder *recorder = (Recorder *)op;
    uint64_t sum = 0;
    for (Py_ssize_t i = 0; i < recorder->ring_count; i++) {
        sum += recorder->rings[i]->dropped;
    }
    return PyLong_FromUnsignedLongLong(sum);
}

static PyObject *
threads(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Recorder *recorder = (Recorder *)op;
    PyObject *list = PyList_New(recorder->ring_count);
    for (Py_ssize_t i = 0; list != NULL && i < recorder->ring_count; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(recorder->rings[i]->thread));
    }
    return list;
}

/* Describes a live task as a tuple (number, site, since_ns, first, running). */
static PyObject *
entry_tuple(const Entry *entry)
{
    return Py_BuildValue("(KILOO)", (unsigned long long)entry->id, (unsigned int)entry->site,
                         (long long)entry->since_ns, entry->first ? Py_True : Py_False,
                         entry->running ? Py_True : Py_False);
}

static PyObject *
live(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    const Entries *entries = &((Recorder *)op)->entries;
    PyObject *list = PyList_New(0);
    for (size_t at = 0; list != NULL && at <= entries->mask; at++) {
        if (entries->table[at] == NULL) {
            continue;
        }
        PyObject *item = entry_tuple(entries->table[at]);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    if (list != NULL && PyList_Sort(list) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* ---------------------------------------------------------------------------------------- sites */

/* Reads a tuple of (code, lasti), borrowed from it; returns how many, at most MAX_FRAMES, or -1. */
static int
read_frames(PyObject *tuple, Frame *frames)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "frames must be a tuple, not %.200s",
                     Py_TYPE(tuple)->tp_name);
        return -1;
    }
    Py_ssize_t length = PyTuple_GET_SIZE(tuple) < MAX_FRAMES ? PyTuple_GET_SIZE(tuple) : MAX_FRAMES;
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *pair = PyTuple_GET_ITEM(tuple, i);
        if (!PyTuple_Check(pair)) {
            PyErr_SetString(PyExc_TypeError, "a frame must be a tuple (code, lasti)");
            return -1;
        }
        if (!PyArg_ParseTuple(pair, "O!n:frame", &PyCode_Type, &frames[i].code, &frames[i].lasti)) {
            return -1;
        }
    }
    return (int)length;
}

static PyObject *
intern(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"frames", "awaited", "hint", NULL};
    PyObject *tuple, *awaited = Py_None;
    int hint = 0;
    Frame frames[MAX_FRAMES];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|Oi:intern", keywords, &tuple, &awaited,
                                     &hint)) {
        return NULL;
    }
    if (awaited != Py_None && !PyType_Check(awaited)) {
        return PyErr_Format(PyExc_TypeError, "awaited must be a type or None, not %.200s",
                            Py_TYPE(awaited)->tp_name);
    }
    int length = read_frames(tuple, frames);
    if (length < 0) {
        return NULL;
    }
    PyTypeObject *type = awaited == Py_None ? NULL : (PyTypeObject *)awaited;
    int64_t number = sites_intern(&((Recorder *)op)->sites, frames, length, type, hint);
    return number < 0 ? NULL : PyLong_FromLongLong(number);
}

static PyObject *
frames_tuple(const Site *site)
{
    PyObject *frames = PyTuple_New(site->length);
    for (int i = 0; frames != NULL && i < site->length; i++) {
        PyObject *frame = Py_BuildValue("(On)", site->frames[i].code, site->frames[i].lasti);
        if (frame == NULL) {
            Py_CLEAR(frames);
            break;
        }
        PyTuple_SET_ITEM(frames, i, frame);
    }
    return frames;
}

static PyObject *
resolve(PyObject *op, PyObject *arg)
{
    long long number = PyLong_AsLongLong(arg);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const Site *site = NULL;
    if (number > 0 && number <= UINT32_MAX) {
        site = sites_resolve(&((Recorder *)op)->sites, (uint32_t)number);
    }
    if (site == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *frames = frames_tuple(site);
    if (frames == NULL) {
        return NULL;
    }
    PyObject *awaited = site->awaited == NULL ? Py_None : (PyObject *)site->awaited;
    return Py_BuildValue("(iON)", site->hint, awaited, frames);
}

static PyObject *
sweep(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Recorder *recorder = (Recorder *)op;
    const Entries *entries = &recorder->entries;
    for (size_t at = 0; at <= entries->mask; at++) {
        if (entries->table[at] != NULL) {
            sites_touch(&recorder->sites, entries->table[at]->site);
        }
    }
    return sites_sweep(&recorder->sites);
}

PyMethodDef recorder_methods[] = {
    {"now_ns", now_ns, METH_NOARGS, "Return the time."},
    {"set_time_ns", set_time_ns, METH_O, "Set the manual clock."},
    {"put", (PyCFunction)(void (*)(void))put_method, METH_FASTCALL | METH_KEYWORDS, PUT_DOC},
    {"next_id", next_id, METH_NOARGS,
     "Return a number never used before: of a task, of a thread that opens spans, of a job."},
    {"current", current, METH_NOARGS,
     "Return the number of the task that runs on this thread, 0 for none."},
    {"root", root, METH_NOARGS,
     "Return what the trace begins with that the running task is in (`aperf._ids`), 0 for none."},
    {"fault", fault, METH_NOARGS, "Count a fault of our own."},
    {"follow", follow, METH_VARARGS,
     "Take notice of OpenTelemetry's spans from now on, or of none any more."},
    {"look", look, METH_O,
     "Record the current span of OpenTelemetry if a task or thread is new in it."},
    {"adopt", adopt, METH_O,
     "Make a task known that lives already, record where it is suspended, return its number."},
    {"hook", hook, METH_O, "Return what stands in for `create_task` and `call_soon` of a loop."},
#if PY_VERSION_HEX >= 0x030C0000
    {"monitor", monitor, METH_NOARGS, "Return what sys.monitoring is to call for each await."},
#endif
    {"wrap", wrap, METH_VARARGS,
     "Return a coroutine that records the steps of another one (for task factories)."},
    {"drain", drain, METH_O,
     "Take up to so many slots from each ring: (index of the ring, the slots), where it held any."},
    {"used", used, METH_NOARGS, "Return how many slots wait in all rings together."},
    {"dropped", dropped, METH_NOARGS, "Return how many events found their ring full."},
    {"threads", threads, METH_NOARGS,
     "Return identifier and name of the threads that have a ring, in the order of their rings."},
    {"live", live, METH_NOARGS,
     "Return number, site, since_ns, first and running of each live task."},
    {"intern", (PyCFunction)(void (*)(void))intern, METH_VARARGS | METH_KEYWORDS,
     "Return the number of a site."},
    {"resolve", resolve, METH_O, "Return a site by its number."},
    {"sweep", sweep, METH_NOARGS,
     "Release sites that were not used for a while; return their numbers."},
    {0},
};
