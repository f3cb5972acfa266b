#include "recorder_methods.h"
#include "hook.h"
#include "monitor.h"
#include "recorder.h"
#include "wrapper.h"

/* ---------------------------------------------------------------------------------------- the
 * clock */

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

/* ------------------------------------------------------------------------------------------
 * writing */

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

enum PutArgument {
    PUT_KIND,
    PUT_FLAGS,
    PUT_REF,
    PUT_A,
    PUT_B,
    PUT_PAYLOAD,
    PUT_T_NS,
    PUT_ARGUMENTS
};

static const char *const put_names[PUT_ARGUMENTS] = {"kind", "flags",   "ref", "a",
                                                     "b",    "payload", "t_ns"};

/* Puts the arguments of put() in their order. By hand: it is called for every user span. */
static int
order_put_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **ordered)
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
        while (at < PUT_ARGUMENTS && PyUnicode_CompareWithASCIIString(name, put_names[at]) != 0) {
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
            PyErr_Format(PyExc_TypeError, "put() misses its argument '%s'", put_names[at]);
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

PyDoc_STRVAR(put_doc, "put($self, kind, flags, ref, a, b, payload=b'', t_ns=-1, /)\n--\n\n"
                      "Write one event to this thread's ring.");

static PyObject *
put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Recorder *recorder = (Recorder *)op;
    PyObject *ordered[PUT_ARGUMENTS] = {NULL};
    char *payload = NULL;
    Py_ssize_t size = 0;
    Slot first;
    if (order_put_arguments(args, nargs, kwnames, ordered) < 0 ||
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
fault(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    recorder_fault((Recorder *)op);
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

/* ------------------------------------------------------------------------------------------
 * reading */

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

/* --------------------------------------------------------------------------------------------
 * sites */

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
    uint64_t number;
    if (read_unsigned(arg, "site", 64, &number) < 0) {
        return NULL;
    }
    const Site *site =
        number >> 32 ? NULL : sites_resolve(&((Recorder *)op)->sites, (uint32_t)number);
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
    {"put", (PyCFunction)(void (*)(void))put, METH_FASTCALL | METH_KEYWORDS, put_doc},
    {"next_id", next_id, METH_NOARGS,
     "Return a number never used before: of a task, of a thread that opens spans, of a job."},
    {"current", current, METH_NOARGS,
     "Return the number of the task that runs on this thread, 0 for none."},
    {"fault", fault, METH_NOARGS, "Count a fault of our own."},
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
