/* Which trace a task is in, as far as that can be known before the records are read: by its root,
 * what the trace begins with (see ../../_ids.py). The same is worked out from the records
 * (aperf._pipeline), and must come out the same.
 */
#include "recorder.h"

/* Tasks with larger numbers have no root, those in a trace of OpenTelemetry's neither. */
#define MAX_ROOT ((uint64_t)1 << 40)

static inline uint64_t
root_of_its_own(uint64_t id)
{
    return id < MAX_ROOT ? id : 0;
}

/* Replaces the root of a task that went on in another trace meanwhile. */
static int
follow_move(Recorder *recorder, uint64_t id, uint64_t *root)
{
    if (LIKELY(PyDict_GET_SIZE(recorder->moved) == 0)) {
        return 0;
    }
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    PyObject *moved = number == NULL ? NULL : PyDict_GetItemWithError(recorder->moved, number);
    Py_XDECREF(number);
    if (moved == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    *root = PyLong_AsUnsignedLongLong(moved);
    return *root == (uint64_t)-1 && PyErr_Occurred() ? -1 : 0;
}

int
recorder_root(Recorder *recorder, const Ring *ring, uint64_t *root)
{
    uint64_t id = ring->current;
    Entry *entry = (Entry *)ring->entry;
    *root = 0;
    if (id == 0) {
        return 0;
    }
    if (entry != NULL && entry->id == id) {
        *root = *entry_root(entry);
    }
    else if (ring->pending.id == id) { /* it runs within create_task */
        *root = ring->pending.root;
    }
    return follow_move(recorder, id, root);
}

int
recorder_descend(Recorder *recorder, const Ring *ring, Birth *birth, const OpenSpan *opened,
                 bool nested)
{
    uint64_t creator = birth->creator;
    bool by_callback = (birth->flags & BIRTH_CALLBACK) != 0;
    if (nested || birth->flags & BIRTH_SUPPRESSED) {
        birth->root = 0;
    }
    else if (recorder->descent == DESCENT_OWN) {
        birth->root = root_of_its_own(birth->id);
    }
    else if (opened->owner != 0 && (creator == 0 || opened->owner == creator)) {
        bool inherited = by_callback && !opened->attached && recorder->descent != DESCENT_CHILD;
        birth->root = inherited ? root_of_its_own(birth->id) : opened->root;
    }
    else if (creator == 0) {
        birth->root = root_of_its_own(birth->id);
    }
    else if (creator == ring->current) {
        return recorder_root(recorder, ring, &birth->root);
    }
    else { /* it was adopted just now, and its root is there already */
        return follow_move(recorder, creator, &birth->root);
    }
    return 0;
}
