/* How tasks become known: born before our eyes, or adopted. */
#include "frames.h"
#include "recorder.h"
#include "run.h"

/* ----------------------------------------------------------------------------------------- text */

static void
text_set(Text *text, const char *bytes, Py_ssize_t length)
{
    text->length = length < MAX_TEXT ? (size_t)length : MAX_TEXT;
    memcpy(text->bytes, bytes, text->length);
}

int
text_from(Text *text, PyObject *string)
{
    if (PyUnicode_IS_COMPACT_ASCII(string)) {
        text_set(text, (const char *)PyUnicode_1BYTE_DATA(string), PyUnicode_GET_LENGTH(string));
        return 0;
    }
    PyObject *encoded = PyUnicode_AsEncodedString(string, "utf-8", "replace");
    if (encoded == NULL) {
        return -1;
    }
    text_set(text, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded));
    Py_DECREF(encoded);
    return 0;
}

/* Reads the name of a task, also of one that a foreign factory made. */
static int
name_of(Recorder *recorder, PyObject *task, Text *text)
{
    ModuleState *state = recorder->state;
    unsigned long long number = asyncio_default_name(&state->asyncio, task);
    if (number != 0) {
        text->length = (size_t)PyOS_snprintf(text->bytes, MAX_TEXT, "Task-%llu", number);
        return 0;
    }
    text->length = 0;
    PyObject *get_name, *name, *string;
    int found = optional_attr(task, state->names.get_name, &get_name);
    if (found <= 0) {
        return found;
    }
    name = PyObject_CallNoArgs(get_name);
    Py_DECREF(get_name);
    if (name == NULL) {
        return -1;
    }
    string = PyObject_Str(name);
    Py_DECREF(name);
    if (string == NULL) {
        return -1;
    }
    int result = text_from(text, string);
    Py_DECREF(string);
    return result;
}

/* FNV-1a: tells whether a name has changed without keeping it. */
static uint32_t
text_hash(const Text *text)
{
    uint32_t hash = 2166136261u;
    for (size_t at = 0; at < text->length; at++) {
        hash = (hash ^ (unsigned char)text->bytes[at]) * 16777619u;
    }
    return hash;
}

/* ----------------------------------------------------------------------------------- coroutines */

/* Looks up an attribute that must be a code object: 1 found, 0 not, -1 error. */
static int
code_attribute(PyObject *object, PyObject *name, PyObject **code)
{
    int found = optional_attr(object, name, code);
    if (found > 0 && !PyCode_Check(*code)) {
        Py_CLEAR(*code);
        return 0;
    }
    return found;
}

/* Finds the code object of a coroutine or generator, a new reference; NULL for others. */
static int
code_of(Recorder *recorder, PyObject *coroutine, PyObject **code)
{
    if (is_suspendable(coroutine) && has_frame(coroutine)) {
        *code = Py_XNewRef(suspended_code(coroutine));
        return 0;
    }
    const Names *names = &recorder->state->names;
    int found = code_attribute(coroutine, names->cr_code, code);
    if (found == 0) {
        found = code_attribute(coroutine, names->gi_code, code);
    }
    return found < 0 ? -1 : 0;
}

/* Says what a wrapper, not started yet, is going to run; 0 if that is known or does not matter. */
static int
look_through(Recorder *recorder, PyObject *coroutine, PyObject **code)
{
    int bits = recorder_code_bits(recorder, *code);
    if (bits <= 0 || !(bits & CODE_WRAPPER)) {
        return bits < 0 ? -1 : 0;
    }
    PyObject *inner =
        PyObject_CallMethodOneArg(recorder->cold, recorder->state->names.look_through, coroutine);
    if (inner == NULL) {
        return -1;
    }
    if (PyCode_Check(inner)) {
        Py_SETREF(*code, inner);
    }
    else {
        Py_DECREF(inner);
    }
    return 0;
}

static int
attribute_is_true(PyObject *object, PyObject *name, int otherwise)
{
    PyObject *value;
    int found = optional_attr(object, name, &value);
    if (found <= 0) {
        return found < 0 ? -1 : otherwise;
    }
    int truth = PyObject_IsTrue(value);
    Py_DECREF(value);
    return truth;
}

/* Says whether a coroutine has run already (unknown kinds: yes). */
static int
is_started(Recorder *recorder, PyObject *coroutine)
{
    const Names *names = &recorder->state->names;
    PyObject *frame;
    int found = optional_attr(coroutine, names->cr_frame, &frame);
    if (found <= 0) {
        return found < 0 ? -1 : 1;
    }
    int is_gone = frame == Py_None;
    Py_DECREF(frame);
    if (is_gone) {
        return 1;
    }
    int suspended = attribute_is_true(coroutine, names->cr_suspended, 1);
    return suspended != 0 ? suspended : attribute_is_true(coroutine, names->cr_running, 0);
}

/* --------------------------------------------------------------------------------------- births */

/* Gives what has no code object a name instead. */
static int64_t
name_site(Recorder *recorder, PyObject *coroutine)
{
    const Names *names = &recorder->state->names;
    PyObject *name;
    int found = optional_attr(coroutine, names->__qualname__, &name);
    if (found == 0) {
        name = PyObject_GetAttr((PyObject *)Py_TYPE(coroutine), names->__qualname__);
    }
    if (name == NULL) {
        return -1;
    }
    PyObject *number = PyObject_CallMethodOneArg(recorder->cold, names->name, name);
    Py_DECREF(name);
    if (number == NULL) {
        return -1;
    }
    long long site = PyLong_AsLongLong(number);
    Py_DECREF(number);
    return site;
}

/* Returns the site of the coroutine's code; where there is none, a name and BIRTH_UNCODED. */
static int64_t
birth_site(Recorder *recorder, PyObject *coroutine, int *flags)
{
    PyObject *code = NULL;
    if (code_of(recorder, coroutine, &code) < 0) {
        return -1;
    }
    int64_t site = 0;
    if (code != NULL) {
        if (look_through(recorder, coroutine, &code) < 0) {
            Py_DECREF(code);
            return -1;
        }
        Frame beginning = {code, -1};
        site = sites_intern(&recorder->sites, &beginning, 1, NULL, 0);
        Py_DECREF(code);
    }
    if (site == 0) {
        *flags |= BIRTH_UNCODED;
        site = name_site(recorder, coroutine);
    }
    return site;
}

/* Says whether a plain callback of a running loop makes the task, as a flag: a new connection, a
 * timer. */
static int
made_by_callback(Recorder *recorder, uint64_t creator, int flags)
{
    if (creator != 0 || flags != 0) {
        return 0;
    }
    int runs = asyncio_loop_runs(&recorder->state->asyncio);
    return runs > 0 ? BIRTH_CALLBACK : runs;
}

/* Reads what the span variable holds in a context, or in the current one. */
static PyObject *
span_value(Recorder *recorder, PyObject *context)
{
    if (context == NULL || context == Py_None) {
        PyObject *value = NULL;
        (void)PyContextVar_Get(recorder->span_var, Py_None, &value);
        return value;
    }
    return PyObject_CallMethodOneArg(context, recorder->state->names.get, recorder->span_var);
}

/* Fills in the innermost span that is open where a task is made. */
static int
open_span(Recorder *recorder, PyObject *context, BirthDetail *detail)
{
    if (recorder->span_var == NULL) {
        return 0;
    }
    PyObject *value = span_value(recorder, context);
    if (value == NULL || value == Py_None) {
        Py_XDECREF(value);
        return value == NULL ? -1 : 0;
    }
    PyObject *pair =
        PyObject_CallMethodOneArg(recorder->cold, recorder->state->names.open_span, value);
    Py_DECREF(value);
    if (pair == NULL) {
        return -1;
    }
    unsigned long long owner;
    unsigned int seq;
    int parsed = PyTuple_Check(pair) ? PyArg_ParseTuple(pair, "KI:open_span", &owner, &seq) : 0;
    Py_DECREF(pair);
    if (!parsed) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "open_span: expected a tuple (owner, seq)");
        }
        return -1;
    }
    detail->span_owner = owner;
    detail->span_seq = seq;
    return 0;
}

int
recorder_birth(Recorder *recorder, Ring *ring, uint64_t id, int64_t t_ns, PyObject *coroutine,
               uint64_t creator, const Text *name, PyObject *context, int flags)
{
    struct {
        BirthDetail detail;
        char rest[MAX_TEXT - sizeof(((BirthDetail *)0)->name)];
    } payload = {0};
    int by_callback = made_by_callback(recorder, creator, flags);
    int64_t site = by_callback < 0 ? -1 : birth_site(recorder, coroutine, &flags);
    if (site < 0 || open_span(recorder, context, &payload.detail) < 0) {
        return -1;
    }
    size_t inside = sizeof(payload.detail.name);
    size_t behind = name->length > inside ? name->length - inside : 0;
    payload.detail.name_length = (uint32_t)name->length;
    memcpy(payload.detail.name, name->bytes, name->length - behind);
    memcpy(payload.rest, name->bytes + inside, behind);
    size_t size = sizeof(BirthDetail) + behind;
    Slot first = {
        .t_ns = (uint64_t)t_ns,
        .kind = KIND_BIRTH,
        .slots = (uint8_t)(1 + (size + SLOT_SIZE - 1) / SLOT_SIZE),
        .flags = (uint16_t)(flags | by_callback),
        .ref = (uint32_t)site,
        .a = id,
        .b = creator,
    };
    recorder_write(recorder, ring, &first, &payload, size);
    return 0;
}

void
recorder_name(Recorder *recorder, Ring *ring, uint64_t id, const Text *name)
{
    Slot first = {
        .t_ns = (uint64_t)clock_now(&recorder->clock),
        .kind = KIND_NAME,
        .slots = (uint8_t)(1 + (name->length + SLOT_SIZE - 1) / SLOT_SIZE),
        .a = id,
    };
    recorder_write(recorder, ring, &first, name->bytes, name->length);
}

int
recorder_rename(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task)
{
    if (asyncio_default_name(&recorder->state->asyncio, task) != 0) {
        return 0; /* nobody has even asked for it */
    }
    uint64_t id = entry->id;
    Text name;
    if (name_of(recorder, task, &name) < 0) {
        return -1;
    }
    uint32_t hash = text_hash(&name);
    if (entry->id == id && entry->name_hash != hash) { /* a foreign task's get_name ran Python */
        entry->name_hash = hash;
        recorder_name(recorder, ring, id, &name);
    }
    return 0;
}

Entry *
recorder_bind(Recorder *recorder, Ring *ring, PyObject *key, uint64_t id, int64_t since_ns)
{
    Entry *before = entries_find(&recorder->entries, key);
    if (before != NULL) {
        recorder_put(recorder, ring, KIND_ABANDON, before->id);
        entries_remove(&recorder->entries, before);
    }
    return entries_add(&recorder->entries, key, id, since_ns);
}

/* Writes the step that an eager task may have run inside create_task. */
static int
leave_eager_step(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task, PyObject *coroutine,
                 int64_t t_ns, int done)
{
    int started = done ? 1 : is_started(recorder, coroutine);
    if (started <= 0) {
        return started;
    }
    Run run = {recorder, ring, entry, .t_ns = t_ns, .flags = STEP_EAGER};
    return run_leave(&run, task);
}

int
recorder_born(Recorder *recorder, Ring *ring, PyObject *task, PyObject *coroutine, uint64_t id,
              int64_t t_ns, bool eager, PyObject *context)
{
    Text name;
    if (name_of(recorder, task, &name) < 0) {
        return -1;
    }
    if (eager) {
        recorder_name(recorder, ring, id, &name);
    }
    else if (recorder_birth(recorder, ring, id, t_ns, coroutine, ring->current, &name, context, 0) <
             0) {
        return -1;
    }
    int done = asyncio_done(&recorder->state->asyncio, task);
    if (done < 0) {
        return -1;
    }
    Entry unbound = {.key = task, .id = id, .since_ns = t_ns, .first = true};
    Entry *entry = entries_find(&recorder->entries, task);
    if (entry == NULL || entry->id != id) {
        entry = done ? &unbound : recorder_bind(recorder, ring, task, id, t_ns);
        if (entry == NULL) {
            return -1;
        }
    }
    entry->name_hash = text_hash(&name);
    return eager ? leave_eager_step(recorder, ring, entry, task, coroutine, t_ns, done) : 0;
}

/* ------------------------------------------------------------------------------------- adoption */

/* Notes where an adopted task is suspended. */
static int
place_adopted(Recorder *recorder, Entry *entry, PyObject *task, PyObject *coroutine)
{
    /* One that runs right now has no wait that could end: its next step counts as its first. */
    int running = attribute_is_true(coroutine, recorder->state->names.cr_running, 0);
    entry->running = running > 0;
    int started = running == 0 ? is_started(recorder, coroutine) : 0;
    if (running != 0 || started <= 0) {
        return running < 0 || started < 0 ? -1 : 0;
    }
    PyObject *waiter = asyncio_waiter(&recorder->state->asyncio, task);
    if (waiter == NULL) {
        return -1;
    }
    int64_t site = recorder_site_of(recorder, coroutine, waiter);
    Py_DECREF(waiter);
    if (site < 0) {
        return -1;
    }
    entry->first = false;
    entry->site = (uint32_t)site;
    return 0;
}

Entry *
recorder_adopt(Recorder *recorder, Ring *ring, PyObject *task)
{
    Entry *entry = entries_find(&recorder->entries, task);
    if (entry != NULL) {
        return entry;
    }
    uint64_t id = ++recorder->ids;
    int64_t now = clock_now(&recorder->clock);
    Text name;
    Entry found = {.first = true};
    PyObject *coroutine = asyncio_coro(&recorder->state->asyncio, task);
    if (coroutine == NULL || name_of(recorder, task, &name) < 0 ||
        recorder_birth(recorder, ring, id, now, coroutine, 0, &name, NULL, BIRTH_ADOPTED) < 0 ||
        place_adopted(recorder, &found, task, coroutine) < 0) {
        Py_XDECREF(coroutine);
        return NULL;
    }
    Py_DECREF(coroutine);
    entry = recorder_bind(recorder, ring, task, id, now);
    if (entry != NULL) {
        entry->first = found.first;
        entry->running = found.running;
        entry->name_hash = text_hash(&name);
        entry->site = found.site;
    }
    return entry;
}

Entry *
recorder_entry_at_wake(Recorder *recorder, Ring *ring, PyObject *task)
{
    Entry *entry = entries_find(&recorder->entries, task);
    const Pending *pending = &ring->pending;
    if (UNLIKELY(pending->coroutine != NULL)) {
        PyObject *coroutine = asyncio_coro(&recorder->state->asyncio, task);
        if (coroutine == NULL) {
            return NULL;
        }
        Py_DECREF(coroutine);
        if (coroutine == pending->coroutine && (entry == NULL || entry->id != pending->id)) {
            return recorder_bind(recorder, ring, task, pending->id, pending->t_ns);
        }
    }
    return LIKELY(entry != NULL) ? entry : recorder_adopt(recorder, ring, task);
}
