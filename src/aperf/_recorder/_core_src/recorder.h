/* The recorder: rings by thread, the live tasks, the tables. ../_py/recorder.py is the
 * specification.
 */
#ifndef APERF_RECORDER_H
#define APERF_RECORDER_H

#include "chain.h"
#include "clock.h"
#include "codes.h"
#include "entries.h"
#include "ring.h"
#include "sites.h"
#include "state.h"
#include "text.h"

typedef struct {
    PyObject_HEAD
    PyObject *module; /* kept until the very end: it owns the state */
    ModuleState *state;
    PyObject *cold;        /* answers rare questions; see ../_cold.py */
    PyObject *span_var;    /* the ContextVar of user spans, or NULL */
    PyObject *bridge;      /* knows OpenTelemetry's spans, or NULL while nobody cares */
    PyObject *context_var; /* holds OpenTelemetry's context, NULL while that is not imported */
    PyObject *span_key;    /* under which the current span is found in it */
    PyObject *mute_key;    /* under which it says that nothing is to be told, or NULL */
    PyObject *outers;      /* what the bridge knows of tasks, by their number */
    PyObject *moved;       /* roots of tasks that went on in another trace, by their number */
    char descent;          /* an enum Descent */
    char armed;
    char nesting; /* suspensions are followed by a CHAIN */
    long long stack_min_ns;
    Py_ssize_t internal_errors;
    uint64_t ids;
    Clock clock;
    Entries entries;
    Codes codes;
    Sites sites;
    Py_tss_t ring_key; /* of each thread's ring */
    Ring **rings;
    Py_ssize_t ring_count;
    uint64_t ring_slots;
} Recorder;

/* Who is the parent of a task. */
enum Descent {
    DESCENT_RULES = 0, /* whoever made it, unless a plain callback did */
    DESCENT_CHILD = 1, /* whoever made it, and whatever the callback inherited */
    DESCENT_OWN = 2,   /* nobody: each task begins a trace */
};

/* A task that is being made. */
typedef struct {
    uint64_t id;
    int64_t t_ns;
    PyObject *coroutine;
    uint64_t creator; /* number of the task that makes it, 0 for none */
    const Text *name;
    PyObject *context; /* that it was explicitly given; may be NULL or None */
    bool owned;        /* if it was given none, it will have one of its own */
    int flags;         /* a set of BirthFlag */
    uint64_t root;     /* what its trace begins with, once it is recorded */
} Birth;

/* A user span that is open. */
typedef struct {
    uint64_t owner; /* 0: none is */
    uint64_t root;
    uint32_t seq;
    bool attached; /* by the very callback that looks */
} OpenSpan;

/* recorder.c */
extern PyType_Spec recorder_spec;

/* Takes the exception that our own code raised. It is counted, and after a few the recorder
 * disarms. What is no Exception was raised by a signal handler that ran inside our code: it is the
 * program's, and is raised there as soon as the interpreter gets to it. */
void recorder_fault(Recorder *recorder);

/* Makes this thread's ring; a loop's is large, and takes the place of a small one. */
Ring *recorder_make_ring(Recorder *recorder, bool loop);

/* Tells the reader that a ring is half full. */
void recorder_call_reader(Recorder *recorder, Ring *ring);

/* Writes an event without a second slot, at the present time. */
void recorder_put(Recorder *recorder, Ring *ring, enum Kind kind, uint64_t a);

/* Returns the ring of a thread that runs a loop. */
static inline Ring *
recorder_ring(Recorder *recorder)
{
    Ring *ring = PyThread_tss_get(&recorder->ring_key);
    if (LIKELY(ring != NULL && ring_size(ring) >= recorder->ring_slots)) {
        return ring;
    }
    return recorder_make_ring(recorder, true);
}

static inline bool
recorder_write(Recorder *recorder, Ring *ring, const Slot *first, const void *rest, size_t size)
{
    bool written = ring_put(ring, first, rest, size);
    if (UNLIKELY(ring_needs_reader(ring))) {
        recorder_call_reader(recorder, ring);
    }
    return written;
}

/* The same for one slot, the case that must be cheap. */
static inline bool
recorder_write_slot(Recorder *recorder, Ring *ring, Slot slot)
{
    if (LIKELY(ring_is_easy(ring))) {
        ring_put_easily(ring, slot);
        return true;
    }
    return recorder_write(recorder, ring, &slot, NULL, 0);
}

/* Records that a task is gone without having finished. */
void recorder_abandon(Recorder *recorder, Ring *ring, uint64_t id);

/* context.c: which of OpenTelemetry's spans is current; -1 with an exception set */

/* Takes notice of OpenTelemetry's spans from now on; NULL for what is not there. */
void recorder_follow(Recorder *recorder, PyObject *bridge, PyObject *context_var,
                     PyObject *span_key, PyObject *mute_key);

/* Records the span that a new task has in its context; says whether it is in that one's trace. Sets
 * BIRTH_SUPPRESSED if the context says so. */
int recorder_inherit(Recorder *recorder, Birth *birth);

/* Records a task's current span if it is not the one seen last. `task`: an eager one, seen from
 * outside of its context, else NULL. */
int recorder_look(Recorder *recorder, Entry *entry, PyObject *task);

/* Records the span in the context of a task that is about to be adopted (Python 3.12+); says
 * whether there is one. */
int recorder_look_into(Recorder *recorder, uint64_t id, PyObject *task);

/* Records the current span if a task or thread is new in it. */
int recorder_look_as(Recorder *recorder, uint64_t owner);

/* Lets a task that has inherited a span begin to run, in its own context. */
int recorder_begin(Recorder *recorder, uint64_t id);

/* Forgets what was known of a task. */
void recorder_forget_outer(Recorder *recorder, uint64_t id);

/* place.c: where a task stands */

/* Returns what Cold.classify says of a code object; -1 with an exception set. */
int recorder_code_bits(Recorder *recorder, PyObject *code);

/* Returns the site at which a suspended task stands: its innermost frames and the user's; and
 * whether these are all that its await chain has. */
int64_t recorder_site_of(Recorder *recorder, PyObject *coroutine, PyObject *waiter, bool *whole);

/* Returns the site of a suspended task with its whole chain, the awaitable as seen at suspend. */
int64_t recorder_full_site(Recorder *recorder, uint32_t site, const Chain *chain);

/* The same without a walk, where the site holds the whole chain already; 0 if it cannot be told. */
int64_t recorder_whole_site(Recorder *recorder, uint32_t site);

/* descent.c: which trace a task is in; -1 with an exception set */

/* Notes in which trace a new task is. `opened`: the innermost user span that is open where it is
 * made; `nested`: it is in a trace of OpenTelemetry's. */
int recorder_descend(Recorder *recorder, const Ring *ring, Birth *birth, const OpenSpan *opened,
                     bool nested);

/* Reads what the trace begins with in which the task is that runs on this thread. */
int recorder_root(Recorder *recorder, const Ring *ring, uint64_t *root);

/* birth.c: how tasks become known; -1 or NULL with an exception set */

/* Records that a task was made, and finds out its root. */
int recorder_birth(Recorder *recorder, Ring *ring, Birth *birth);

/* Records the name of a task whose birth was recorded without one. */
void recorder_name(Recorder *recorder, Ring *ring, uint64_t id, const Text *name);

/* Records a task's name if it has another one by now: before 3.13, asyncio gives it late. */
int recorder_rename(Recorder *recorder, Ring *ring, Entry *entry, PyObject *task);

/* Records what is known of a new task once create_task has returned it. `eager`: its birth was
 * recorded already, because it may have run a step by now. */
int recorder_born(Recorder *recorder, Ring *ring, PyObject *task, const Pending *made, bool eager,
                  PyObject *context);

/* Makes a new live task known under its address; whoever lived there before is gone. */
Entry *recorder_bind(Recorder *recorder, Ring *ring, PyObject *key, uint64_t id, int64_t since_ns,
                     uint64_t root);

/* Returns the entry of a task that is being scheduled: known, being born, or to be adopted. */
Entry *recorder_entry_at_wake(Recorder *recorder, Ring *ring, PyObject *task);

/* Makes a task known that lives already, and records where it is suspended. */
Entry *recorder_adopt(Recorder *recorder, Ring *ring, PyObject *task);

#endif
