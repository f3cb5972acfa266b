#include "chain.h"
#include "frames.h"

#include <string.h>

/* A chain longer than this is not followed further: recursion gone wild, or a cycle. */
#define MAX_DEPTH 1000

/* Asynchronous generators hide the next hop behind helper objects that have no attribute for it.
 * They are told by name, since Python exports none of their types. */
static bool
is_helper(PyObject *object)
{
    const char *name = Py_TYPE(object)->tp_name;
    if (name[0] != 'a' && name[0] != 'c') {
        return false; /* mostly: _asyncio.FutureIter */
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
