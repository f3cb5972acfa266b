/* Sites: the places in code that records refer to, each known by a small number.
 *
 * A site is a sequence of frames, innermost first, each a code object with the offset at which it
 * stands (-1: its beginning), plus the type of the awaitable at its end and some hints. Whoever
 * suspends at the same place again gets the same number, so a record needs four bytes for all that.
 * The table holds references: an address must not be reused while a record names its site.
 */
#ifndef APERF_SITES_H
#define APERF_SITES_H

#include "address.h"
#include "compat.h"

#include <stdbool.h>

/* Above this, new sites get number 0 ("somewhere") until old ones are released. */
#define MAX_SITES 65536
/* Frames kept of a chain, innermost first: what a person reads of a stack. */
#define MAX_FRAMES 32

typedef struct {
    PyObject *code; /* borrowed, except in a Site */
    Py_ssize_t lasti;
} Frame;

/* A frame in one word: the address of its code object plus the offset. Real offsets lie within the
 * object, so no other code object alive can give the same. */
typedef uintptr_t Place;

static inline Place
place_of(Frame frame)
{
    return (Place)frame.code + (Place)frame.lasti;
}

/* What tells sites apart. */
typedef struct {
    PyTypeObject *awaited; /* or NULL; borrowed */
    int hint;
    int length;
    Place places[MAX_FRAMES];
} SiteKey;

typedef struct {
    uint64_t hash;
    PyTypeObject *awaited; /* or NULL */
    uint32_t number;
    uint32_t last_used; /* the epoch */
    uint32_t full;      /* the same with HINT_FULL, once it was asked for; see place.c */
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

/* Adds a site; returns its number, 0 when there are too many, -1 with MemoryError set. */
int64_t sites_add(Sites *sites, const SiteKey *key, const Frame *frames);

/* Returns the number of a site with these frames, at most MAX_FRAMES; see sites_add. */
int64_t sites_intern(Sites *sites, const Frame *frames, int length, PyTypeObject *awaited,
                     int hint);

/* Returns a site by its number, NULL for 0 and for released ones. */
Site *sites_resolve(const Sites *sites, uint32_t number);

/* Says that a site is in use, though no record names it now. */
void sites_touch(Sites *sites, uint32_t number);

/* Forgets sites not used since the sweep before the last; returns their numbers as a list. */
PyObject *sites_sweep(Sites *sites);

static inline uint64_t
site_key_hash(const SiteKey *key)
{
    uint64_t hash = (uintptr_t)key->awaited + (uint64_t)key->hint;
    for (int i = 0; i < key->length; i++) {
        hash = (hash ^ key->places[i]) * GOLDEN;
        hash ^= hash >> 32;
    }
    return hash;
}

/* `frames` may be NULL where the places are known to be those of real frames. */
static inline bool
site_has_key(const Site *site, const SiteKey *key, const Frame *frames)
{
    if (site->awaited != key->awaited || site->hint != key->hint || site->length != key->length) {
        return false;
    }
    for (int i = 0; i < key->length; i++) {
        if (place_of(site->frames[i]) != key->places[i] ||
            (frames != NULL && site->frames[i].code != frames[i].code)) {
            return false;
        }
    }
    return true;
}

/* Returns the site with this key, which is in use from now on; NULL if there is none. */
static inline Site *
sites_find(const Sites *sites, const SiteKey *key, const Frame *frames)
{
    uint64_t hash = site_key_hash(key);
    size_t at = hash & sites->mask;
    Site *site;
    while ((site = sites->by_key[at]) != NULL) {
        if (site->hash == hash && site_has_key(site, key, frames)) {
            site->last_used = sites->epoch;
            return site;
        }
        at = (at + 1) & sites->mask;
    }
    return NULL;
}

#endif
