/* The live tasks, by address.
 *
 * An address is reused as soon as its task is gone, so an entry has a number as well, which is
 * never used again. Entries live in slabs that are kept until the recorder goes: a Step may hold on
 * to its entry's address, and sees by the number whether it is still the same task's.
 *
 * 32 bytes per entry, 8 for its root and 16 to 32 in the table: at most 72 for a live task.
 */
#ifndef APERF_ENTRIES_H
#define APERF_ENTRIES_H

#include "address.h"
#include "compat.h"

#include <stdbool.h>

typedef struct Entry {
    union {
        const void *key; /* the task's address; not a reference */
        struct Entry *next_free;
    };
    uint64_t id;             /* 0: free */
    int64_t since_ns;        /* when it was suspended, or born */
    uint32_t name_hash : 30; /* of the name that was recorded */
    uint32_t is_inside : 1;  /* `outers` knows a span of OpenTelemetry that is current in it */
    uint32_t chained : 1;    /* a CHAIN says how it is suspended */
    uint32_t site : 29;      /* where it was suspended last, 0 before it ran */
    uint32_t whole : 1;      /* that site holds the whole await chain already */
    uint32_t first : 1;      /* it has not run yet */
    uint32_t running : 1;
} Entry;

typedef struct Slab Slab;

typedef struct {
    Entry **table; /* open addressing, linear probing, at most half full */
    size_t mask;
    size_t count;
    Entry *free;
    Slab *slabs;
} Entries;

int entries_init(Entries *entries);
void entries_free(Entries *entries);

/* Adds an entry under a key that is not there yet; NULL with MemoryError set. */
Entry *entries_add(Entries *entries, const void *key, uint64_t id, int64_t since_ns);
void entries_remove(Entries *entries, Entry *entry);

/* Returns where it is kept what the trace of a task begins with (descent.c): beside the entries,
 * since no step needs it. */
uint64_t *entry_root(Entry *entry);

static inline Entry *
entries_find(const Entries *entries, const void *key)
{
    size_t at = address_hash(key) & entries->mask;
    Entry *entry;
    while ((entry = entries->table[at]) != NULL && entry->key != key) {
        at = (at + 1) & entries->mask;
    }
    return entry;
}

#endif
