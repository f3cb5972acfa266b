/* Which of OpenTelemetry's spans is current: read here, described by the bridge (aperf.otel). */
#include "recorder.h"

void
recorder_follow(Recorder *recorder, PyObject *bridge, PyObject *context_var, PyObject *span_key,
                PyObject *mute_key)
{
    bool is_off = bridge == NULL;
    Py_XSETREF(recorder->context_var, Py_XNewRef(context_var));
    Py_XSETREF(recorder->span_key, Py_XNewRef(span_key));
    Py_XSETREF(recorder->mute_key, Py_XNewRef(mute_key));
    Py_XSETREF(recorder->bridge, Py_XNewRef(bridge));
    if (is_off && recorder->outers != NULL) {
        PyDict_Clear(recorder->outers);
    }
}

void
recorder_forget_outer(Recorder *recorder, uint64_t id)
{
    if (LIKELY(PyDict_GET_SIZE(recorder->outers) == 0)) {
        return;
    }
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    if (number == NULL || PyDict_DelItem(recorder->outers, number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
}

/* Looks whether OpenTelemetry is imported by now, if it was not before. */
static int
is_there(Recorder *recorder)
{
    if (recorder->context_var != NULL) {
        return 1;
    }
    PyObject *modules = PyImport_GetModuleDict();
    if (PyDict_Check(modules) &&
        PyDict_GetItemWithError(modules, recorder->state->otel_name) == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *answer = PyObject_CallMethodOneArg(recorder->bridge, recorder->state->names.find,
                                                 (PyObject *)recorder);
    if (answer == NULL) {
        return -1;
    }
    Py_DECREF(answer);
    return recorder->context_var != NULL;
}

/* Reads the span out of what OpenTelemetry's variable holds, and drops that. NULL without an
 * exception: there is none. */
static PyObject *
span_in(const Recorder *recorder, PyObject *values)
{
    PyObject *span = NULL;
    if (values != NULL && PyDict_Check(values) && PyDict_GET_SIZE(values) > 0) {
        span = Py_XNewRef(PyDict_GetItemWithError(values, recorder->span_key));
    }
    Py_XDECREF(values);
    return span == Py_None ? (Py_DECREF(span), NULL) : span;
}

/* Returns what OpenTelemetry's variable holds in a context, or in the one that is current here. */
static PyObject *
values_of(const Recorder *recorder, PyObject *context)
{
    if (context != NULL && context != Py_None) {
        return PyObject_CallMethodOneArg(context, recorder->state->names.get,
                                         recorder->context_var);
    }
    PyObject *values = NULL;
    (void)PyContextVar_Get(recorder->context_var, NULL, &values);
    return values;
}

/* Returns the span in a context, or the one that is current here. */
static PyObject *
span_of(const Recorder *recorder, PyObject *context)
{
    PyObject *values = values_of(recorder, context);
    return values == NULL ? NULL : span_in(recorder, values);
}

/* Says whether nobody is to be told of what is made in a context. */
static int
is_muted(const Recorder *recorder, PyObject *values)
{
    if (recorder->mute_key == NULL || values == NULL || !PyDict_Check(values) ||
        PyDict_GET_SIZE(values) == 0) {
        return 0;
    }
    PyObject *value = PyDict_GetItemWithError(values, recorder->mute_key);
    if (value == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return PyObject_IsTrue(value);
}

/* Remembers what the bridge says of a task, or that it says nothing. Takes over `outer`. */
static int
remember(Recorder *recorder, PyObject *number, PyObject *outer)
{
    int result = 0;
    if (outer == NULL) {
        return -1;
    }
    if (PyTuple_Check(outer) && PyTuple_GET_SIZE(outer) > 0) {
        result = PyDict_SetItem(recorder->outers, number, outer) < 0 ? -1 : 1;
    }
    else if (PyDict_Contains(recorder->outers, number) == 1) {
        result = PyDict_DelItem(recorder->outers, number);
    }
    Py_DECREF(outer);
    return result;
}

/* Says whether a new task is in the trace of the span that it inherits: the bridge's third word. */
static bool
is_nested(PyObject *outer)
{
    return outer != NULL && PyTuple_Check(outer) && PyTuple_GET_SIZE(outer) > 2 &&
           PyTuple_GET_ITEM(outer, 2) == Py_True;
}

int
recorder_inherit(Recorder *recorder, Birth *birth)
{
    PyObject *context = birth->context;
    int result = is_there(recorder);
    if (result <= 0) {
        return result;
    }
    PyObject *values = values_of(recorder, context);
    int muted = is_muted(recorder, values);
    if (muted < 0) {
        Py_XDECREF(values);
        return -1;
    }
    birth->flags |= muted ? BIRTH_SUPPRESSED : 0;
    PyObject *span = span_in(recorder, values);
    if (span == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *number = PyLong_FromUnsignedLongLong(birth->id);
    PyObject *maker = PyLong_FromUnsignedLongLong(birth->creator);
    bool given = context != NULL && context != Py_None;
    PyObject *may_write = birth->owned && !given && !muted ? Py_True : Py_False;
    bool nested = false;
    result = -1;
    if (number != NULL && maker != NULL) {
        PyObject *outer =
            PyObject_CallMethodObjArgs(recorder->bridge, recorder->state->names.born,
                                       (PyObject *)recorder, number, span, maker, may_write, NULL);
        nested = is_nested(outer);
        result = remember(recorder, number, outer);
    }
    Py_XDECREF(number);
    Py_XDECREF(maker);
    Py_DECREF(span);
    return result < 0 ? -1 : nested;
}

int
recorder_begin(Recorder *recorder, uint64_t id)
{
    if (PyDict_GET_SIZE(recorder->outers) == 0) {
        return 0;
    }
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    PyObject *seen =
        number == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(recorder->outers, number));
    int result = PyErr_Occurred() ? -1 : 0;
    if (seen != NULL) {
        PyObject *outer = PyObject_CallMethodObjArgs(recorder->bridge, recorder->state->names.begin,
                                                     (PyObject *)recorder, number, seen, NULL);
        result = remember(recorder, number, outer);
    }
    Py_XDECREF(seen);
    Py_XDECREF(number);
    return result < 0 ? -1 : 0;
}

/* Tells the bridge that another span is current in a task; says whether it remembers one. */
static int
tell(Recorder *recorder, PyObject *number, PyObject *span, PyObject *seen)
{
    PyObject *outer = PyObject_CallMethodObjArgs(
        recorder->bridge, recorder->state->names.moved, (PyObject *)recorder, number,
        span == NULL ? Py_None : span, seen == NULL ? Py_None : seen, NULL);
    return remember(recorder, number, outer);
}

/* Compares a task's span with the one seen last. Says whether one is known now. */
static int
compare(Recorder *recorder, uint64_t id, PyObject *span)
{
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    if (number == NULL) {
        return -1;
    }
    PyObject *seen = Py_XNewRef(PyDict_GetItemWithError(recorder->outers, number));
    PyObject *before = seen == NULL ? NULL : PyTuple_GET_ITEM(seen, 0);
    before = before == Py_None ? NULL : before;
    int result = span != NULL;
    if (span != before) {
        result = tell(recorder, number, span, seen);
    }
    Py_XDECREF(seen);
    Py_DECREF(number);
    return result;
}

int
recorder_look(Recorder *recorder, Entry *entry, PyObject *task)
{
    PyObject *context = NULL;
    if (task != NULL) {
        context = PyObject_CallMethodNoArgs(task, recorder->state->names.get_context);
        if (context == NULL) {
            return -1;
        }
    }
    PyObject *span = span_of(recorder, context);
    Py_XDECREF(context);
    if (span == NULL && PyErr_Occurred()) {
        return -1;
    }
    if (LIKELY(span == NULL && PyDict_GET_SIZE(recorder->outers) == 0)) {
        return 0;
    }
    uint64_t id = entry->id;
    int result = 0;
    if (span != NULL || entry->is_inside || entry->first) {
        result = compare(recorder, id, span);
    }
    if (entry->id == id && result >= 0) {
        entry->is_inside = result > 0;
    }
    Py_XDECREF(span);
    return result < 0 ? -1 : 0;
}

int
recorder_look_into(Recorder *recorder, uint64_t id, PyObject *task)
{
    PyObject *method;
    int result = recorder->context_var == NULL
                     ? 0
                     : optional_attr(task, recorder->state->names.get_context, &method);
    if (result <= 0) {
        return result;
    }
    PyObject *context = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    if (context == NULL) {
        return -1;
    }
    PyObject *span = span_of(recorder, context);
    Py_DECREF(context);
    if (span == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    result = compare(recorder, id, span);
    Py_DECREF(span);
    return result;
}

int
recorder_look_as(Recorder *recorder, uint64_t owner)
{
    int result = recorder->bridge == NULL ? 0 : is_there(recorder);
    if (result <= 0) {
        return result;
    }
    PyObject *span = span_of(recorder, NULL);
    if (span == NULL && PyErr_Occurred()) {
        return -1;
    }
    const Ring *ring = PyThread_tss_get(&recorder->ring_key);
    Entry *entry = ring == NULL ? NULL : (Entry *)ring->entry;
    if (ring != NULL && ring->current == owner) {
        result = compare(recorder, owner, span);
        if (entry != NULL && entry->id == owner && result >= 0) {
            entry->is_inside = result > 0;
        }
    }
    else if (span != NULL) {
        PyObject *number = PyLong_FromUnsignedLongLong(owner);
        PyObject *outer =
            number == NULL
                ? NULL
                : PyObject_CallMethodObjArgs(recorder->bridge, recorder->state->names.moved,
                                             (PyObject *)recorder, number, span, Py_None, NULL);
        result = outer == NULL ? -1 : 0;
        Py_XDECREF(outer);
        Py_XDECREF(number);
    }
    Py_XDECREF(span);
    return result < 0 ? -1 : 0;
}
