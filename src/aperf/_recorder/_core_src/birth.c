/* How tasks become known: born before our eyes, or adopted. */
#include "coroutine.h"
#include "recorder.h"
#include "run.h"

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
    PyObject *code;
    int64_t site = 0;
    if (coroutine_code(recorder, coroutine, &code) < 0) {
        return -1;
    }
    if (code != NULL) {
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

/* Finds out who makes a task where no step of a watched one runs: a task that was running when
 * watching began, or else a plain callback of the loop (a new connection, a timer), which is a
 * flag.
 */
static int
find_creator(Recorder *recorder, Ring *ring, Birth *birth)
{
    int runs = asyncio_loop_runs(&recorder->state->asyncio);
    if (runs <= 0) {
        return runs;
    }
    PyObject *task = PyObject_CallMethodNoArgs(recorder->cold, recorder->state->names.current_task);
    if (task == NULL) {
        return -1;
    }
    Entry *entry = NULL;
    if (task == Py_None) {
        birth->flags |= BIRTH_CALLBACK;
    }
    else if ((entry = recorder_adopt(recorder, ring, task)) != NULL) {
        birth->creator = entry->id;
        birth->root = *entry_root(entry);
    }
    int result = task == Py_None || entry != NULL ? 0 : -1;
    Py_DECREF(task);
    return result;
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

/* Finds the innermost span that is open where a task is made. */
static int
open_span(Recorder *recorder, PyObject *context, OpenSpan *opened)
{
    *opened = (OpenSpan){0};
    if (recorder->span_var == NULL) {
        return 0;
    }
    PyObject *value = span_value(recorder, context);
    if (value == NULL || value == Py_None) {
        Py_XDECREF(value);
        return value == NULL ? -1 : 0;
    }
    PyObject *found =
        PyObject_CallMethodOneArg(recorder->cold, recorder->state->names.open_span, value);
    Py_DECREF(value);
    if (found == NULL) {
        return -1;
    }
    unsigned long long owner, root;
    unsigned int seq;
    int attached;
    int parsed = PyTuple_Check(found) &&
                 PyArg_ParseTuple(found, "KIKp:open_span", &owner, &seq, &root, &attached);
    Py_DECREF(found);
    if (!parsed) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "open_span: expected a tuple (owner, seq, root, is_attached)");
        }
        return -1;
    }
    *opened = (OpenSpan){.owner = owner, .root = root, .seq = seq, .attached = attached};
    return 0;
}

int
recorder_birth(Recorder *recorder, Ring *ring, Birth *birth)
{
    struct {
        BirthDetail detail;
        char rest[MAX_TEXT - sizeof(((BirthDetail *)0)->name)];
    } payload = {0};
    if (birth->creator == 0 && birth->flags == 0 && find_creator(recorder, ring, birth) < 0) {
        return -1;
    }
    OpenSpan opened;
    int64_t site = birth_site(recorder, birth->coroutine, &birth->flags);
    if (site < 0 || open_span(recorder, birth->context, &opened) < 0) {
        return -1;
    }
    int nested = 0;
    if (recorder->bridge != NULL && !(birth->flags & BIRTH_ADOPTED)) {
        nested = recorder_inherit(recorder, birth);
    }
    if (nested < 0 || recorder_descend(recorder, ring, birth, &opened, nested) < 0) {
        return -1;
    }
    const Text *name = birth->name;
    size_t inside = sizeof(payload.detail.name);
    size_t behind = name->length > inside ? name->length - inside : 0;
    payload.detail.span_owner = opened.owner;
    payload.detail.span_seq = opened.seq;
    payload.detail.name_length = (uint32_t)name->length;
    memcpy(payload.detail.name, name->bytes, name->length - behind);
    memcpy(payload.rest, name->bytes + inside, behind);
    size_t size = sizeof(BirthDetail) + behind;
    Slot first = {
        .t_ns = (uint64_t)birth->t_ns,
        .kind = KIND_BIRTH,
        .slots = (uint8_t)(1 + (size + SLOT_SIZE - 1) / SLOT_SIZE),
        .flags = (uint16_t)birth->flags,
        .ref = (uint32_t)site,
        .a = birth->id,
        .b = birth->creator,
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
    PyObject *peeked = asyncio_peek_name(&recorder->state->asyncio, task);
    if (peeked != NULL && PyLong_Check(peeked)) {
        return 0; /* nobody has even asked for it */
    }
    uint64_t id = entry->id;
    Text name;
    if (text_from_name(&name, recorder->state, task) < 0) {
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
recorder_bind(Recorder *recorder, Ring *ring, PyObject *key, uint64_t id, int64_t since_ns,
              uint64_t root)
{
    Entry *before = entries_find(&recorder->entries, key);
    if (before != NULL) {
        recorder_abandon(recorder, ring, before->id);
        entries_remove(&recorder->entries, before);
    }
    Entry *entry = entries_add(&recorder->entries, key, id, since_ns);
    if (entry != NULL) {
        *entry_root(entry) = root;
    }
    return entry;
}

/* Says whether a task has run already; one that tells nothing of its coroutine has not. */
static int
has_begun(Recorder *recorder, PyObject *task)
{
    PyObject *coroutine = asyncio_coro(&recorder->state->asyncio, task);
    if (coroutine == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int started = coroutine_is_started(&recorder->state->names, coroutine);
    Py_DECREF(coroutine);
    return started;
}

/* Writes the step that an eager task may have run inside create_task. */
static int
leave_eager_step(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task, int64_t t_ns,
                 int done)
{
    int begun = done ? 1 : has_begun(recorder, task);
    if (begun <= 0) {
        return begun;
    }
    Run run = {recorder, ring, entry, .t_ns = t_ns, .flags = STEP_EAGER};
    return run_leave(&run, task);
}

int
recorder_born(Recorder *recorder, Ring *ring, PyObject *task, const Pending *made, bool eager,
              PyObject *context)
{
    uint64_t id = made->id;
    int64_t t_ns = made->t_ns;
    Text name;
    if (text_from_name(&name, recorder->state, task) < 0) {
        return -1;
    }
    Birth birth = {
        .id = id,
        .t_ns = t_ns,
        .coroutine = made->coroutine,
        .creator = ring->current,
        .name = &name,
        .context = context,
        .owned = true,
        .root = made->root,
    };
    Entry *entry = entries_find(&recorder->entries, task);
    if (entry != NULL && entry->id > id) {
        /* The factory made more than one task, and this one had to be adopted meanwhile. */
        if (eager) {
            recorder_abandon(recorder, ring, id);
        }
        return 0;
    }
    if (eager) {
        recorder_name(recorder, ring, id, &name);
    }
    else if (recorder_birth(recorder, ring, &birth) < 0) {
        return -1;
    }
    int done = asyncio_done(&recorder->state->asyncio, task);
    if (done < 0) {
        return -1;
    }
    Entry unbound = {.key = task, .id = id, .since_ns = t_ns, .first = true};
    entry = entries_find(&recorder->entries, task);
    if (entry == NULL || entry->id != id) {
        entry = done ? &unbound : recorder_bind(recorder, ring, task, id, t_ns, birth.root);
        if (entry == NULL) {
            return -1;
        }
    }
    else {
        *entry_root(entry) = birth.root; /* bound at a wake-up within create_task */
    }
    entry->name_hash = text_hash(&name);
    if (entry == &unbound && !eager) {
        recorder_forget_outer(recorder, id);
    }
    return eager ? leave_eager_step(recorder, ring, entry, task, t_ns, done) : 0;
}

/* ------------------------------------------------------------------------------------- adoption */

/* Notes where an adopted task is suspended. */
static int
place_adopted(Recorder *recorder, Entry *entry, PyObject *task, PyObject *coroutine)
{
    /* One that runs right now has no wait that could end: its next step counts as its first. */
    int running = coroutine_is_running(&recorder->state->names, coroutine);
    entry->running = running > 0;
    int started = running == 0 ? coroutine_is_started(&recorder->state->names, coroutine) : 0;
    if (running != 0 || started <= 0) {
        return running < 0 || started < 0 ? -1 : 0;
    }
    PyObject *waiter = asyncio_waiter(&recorder->state->asyncio, task);
    if (waiter == NULL) {
        return -1;
    }
    bool whole;
    int64_t site = recorder_site_of(recorder, coroutine, waiter, &whole);
    Py_DECREF(waiter);
    if (site < 0) {
        return -1;
    }
    entry->first = false;
    entry->site = (uint32_t)site;
    entry->whole = whole;
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
    Birth birth = {
        .id = id, .t_ns = now, .coroutine = coroutine, .name = &name, .flags = BIRTH_ADOPTED};
    int inside = coroutine == NULL || text_from_name(&name, recorder->state, task) < 0
                     ? -1
                     : recorder_look_into(recorder, id, task);
    if (inside < 0 || recorder_birth(recorder, ring, &birth) < 0 ||
        place_adopted(recorder, &found, task, coroutine) < 0) {
        Py_XDECREF(coroutine);
        return NULL;
    }
    Py_DECREF(coroutine);
    entry = recorder_bind(recorder, ring, task, id, now, birth.root);
    if (entry != NULL) {
        entry->first = found.first;
        entry->running = found.running;
        entry->name_hash = text_hash(&name);
        entry->site = found.site;
        entry->whole = found.whole;
        entry->is_inside = inside > 0;
    }
    return entry;
}

/* Says whether a task is the one whose birth is under way. Factories may put a coroutine of their
 * own around the one that they were given. */
static int
is_being_born(Recorder *recorder, const Pending *pending, PyObject *task)
{
    PyObject *coroutine = asyncio_coro(&recorder->state->asyncio, task);
    if (coroutine == NULL) {
        return -1;
    }
    int result = 1;
    if (coroutine != pending->coroutine) {
        int started = coroutine_is_started(&recorder->state->names, coroutine);
        if (started == 0) {
            started = coroutine_is_started(&recorder->state->names, pending->coroutine);
        }
        result = started < 0 ? -1 : !started;
    }
    Py_DECREF(coroutine);
    return result;
}

Entry *
recorder_entry_at_wake(Recorder *recorder, Ring *ring, PyObject *task)
{
    Pending birth = ring->pending;
    if (UNLIKELY(birth.coroutine != NULL)) {
        int is_it = is_being_born(recorder, &birth, task);
        if (is_it < 0) {
            return NULL;
        }
        if (is_it) {
            ring->pending.coroutine = NULL;
            return recorder_bind(recorder, ring, task, birth.id, birth.t_ns, birth.root);
        }
    }
    return recorder_adopt(recorder, ring, task);
}
