/* Sites: the places in code that records refer to, each known by a small number.
 *
 * A site is a sequence of frames, innermost first, each a code object with the offset at which it
 * stands (-1: its beginning), plus the type of the awaitable at its end and some hints. Whoever
 * suspends at the same place again gets the same number, so a record needs four bytes for all that.
 * The table holds references: an address must not be reused while a record names its site.
 */
#ifndef APERF_SITES_H
#define APERF_SITES_H

#include "compat.h"

/* Above this, new sites get number 0 ("somewhere") until old ones are released. */
#define MAX_SITES 65536
/* Frames kept of a chain, innermost first: what a person reads of a stack. */
#define MAX_FRAMES 32

typedef struct {
    PyObject *code; /* borrowed, except in a Site */
    Py_ssize_t lasti;
} Frame;

typedef struct {
    uint64_t hash;
    PyTypeObject *awaited; /* or NULL */
    uint32_t number;
    uint32_t last_used; /* the epoch */
    int hint;
    int length;
    Frame frames[];
} Site;

typedef struct {
    Site **by_key; /* both open addressing, linear probing, at most half full */
    Site **by_number;
    size_t mask;
    size_t count;
    uint32_t epoch;
    uint32_t next;
} Sites;

int sites_init(Sites *sites);
void sites_free(Sites *sites);
int sites_traverse(Sites *sites, visitproc visit, void *arg);

/* Returns the number of a site, a new one for one not seen before, 0 when there are too many; -1
 * with MemoryError set. At most MAX_FRAMES frames. */
int64_t sites_intern(Sites *sites, const Frame *frames, int length, PyTypeObject *awaited,
                     int hint);

/* Returns a site by its number, NULL for 0 and for released ones. */
Site *sites_find(const Sites *sites, uint32_t number);

/* Says that a site is in use, though no record names it now. */
void sites_touch(Sites *sites, uint32_t number);

/* Forgets sites not used since the sweep before the last; returns their numbers as a list. */
PyObject *sites_sweep(Sites *sites);

#endif
