#include "chain.h"
#include "frames.h"

#include <string.h>

/* A chain longer than this is not followed further: recursion gone wild, or a cycle. */
#define MAX_DEPTH 1000

/* Coroutines that Cython has compiled, as those of grpc.aio: "_cython_3_2_8.coroutine". */
static bool
is_compiled(const char *name)
{
    return strncmp(name, "_cython_", 8) == 0 && strstr(name, ".coroutine") != NULL;
}

/* Asynchronous generators hide the next hop behind helper objects that have no attribute for it,
 * and compiled coroutines have no frame to be asked. They are told by name, since Python exports
 * none of their types. */
static bool
is_helper(PyObject *object)
{
    const char *name = Py_TYPE(object)->tp_name;
    if (name[0] == '_') {
        return is_compiled(name); /* mostly not: _asyncio.FutureIter */
    }
    if (name[0] != 'a' && name[0] != 'c') {
        return false;
    }
    return strcmp(name, "async_generator_asend") == 0 ||
           strcmp(name, "async_generator_athrow") == 0 || strcmp(name, "anext_awaitable") == 0 ||
           strcmp(name, "coroutine_wrapper") == 0;
}

static int
take_first(PyObject *object, void *found)
{
    if (!is_suspendable(object) && !is_helper(object)) {
        return 0;
    }
    *(PyObject **)found = object;
    return 1;
}

/* Returns what a helper awaits: the garbage collector knows what it refers to. */
static PyObject *
inside_helper(PyObject *object)
{
    PyObject *found = NULL;
    if (is_helper(object) && Py_TYPE(object)->tp_traverse != NULL) {
        (void)Py_TYPE(object)->tp_traverse(object, take_first, &found);
    }
    return found;
}

/* Brings links that were written round and round into their order. */
static void
unroll(Chain *chain, unsigned seen)
{
    PyObject *rolled[MAX_FRAMES];
    memcpy(rolled, chain->links, sizeof(rolled));
    for (unsigned i = 0; i < MAX_FRAMES; i++) {
        chain->links[i] = rolled[(seen + i) % MAX_FRAMES];
    }
}

void
chain_walk(Chain *chain, PyObject *coroutine)
{
    unsigned seen = 0;
    PyObject *awaitable = coroutine;
    for (int depth = 0; awaitable != NULL && depth < MAX_DEPTH; depth++) {
        if (!is_suspendable(awaitable)) {
            awaitable = inside_helper(awaitable);
            continue;
        }
        if (LIKELY(has_frame(awaitable))) {
            chain->links[seen++ % MAX_FRAMES] = awaitable;
        }
        awaitable = suspended_await(awaitable);
    }
    if (UNLIKELY(seen > MAX_FRAMES)) {
        unroll(chain, seen);
        seen = MAX_FRAMES;
    }
    chain->length = (int)seen;
}

/* Replaces a reference by a weak one; -1 with MemoryError set. */
static int
weaken(PyObject **link)
{
    PyObject *weak = PyWeakref_NewRef(*link, NULL);
    if (weak == NULL) {
        return -1;
    }
    Py_SETREF(*link, weak);
    return 0;
}

HeldChain *
chain_hold(PyObject *coroutine)
{
    Chain chain;
    chain_walk(&chain, coroutine);
    size_t size = (size_t)chain.length * sizeof(PyObject *);
    HeldChain *held = PyMem_Malloc(sizeof(HeldChain) + size);
    if (held == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    held->length = chain.length;
    for (int i = 0; i < chain.length; i++) {
        held->links[i] = Py_NewRef(chain.links[i]);
    }
    for (int i = 0; i < chain.length; i++) {
        if (PyAsyncGen_CheckExact(held->links[i]) && weaken(&held->links[i]) < 0) {
            chain_release(held);
            return NULL;
        }
    }
    return held;
}

void
chain_release(HeldChain *held)
{
    for (int i = held->length; i-- > 0;) { /* in the order in which they end by themselves */
        Py_DECREF(held->links[i]);
    }
    PyMem_Free(held);
}

static bool
is_held(PyObject *held, PyObject *link)
{
    if (LIKELY(!PyWeakref_CheckRefExact(held))) {
        return held == link;
    }
    PyObject *target = weak_target(held);
    Py_XDECREF(target);
    return target == link;
}

int
chain_count_kept(const Chain *chain, const HeldChain *held)
{
    int count = 0;
    if (held != NULL) {
        while (count < held->length && count < chain->length &&
               is_held(held->links[count], chain->links[count])) {
            count++;
        }
    }
    return count;
}
