#include "entries.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_SIZE   64
#define SLAB_SIZE    4096 /* and where slabs begin: an entry's address tells its slab */
#define SLAB_ENTRIES 100
#define CACHE_LINE   64

struct Slab {
    union {
        Slab *next;
        char padding[CACHE_LINE]; /* no entry lies across two cache lines */
    };
    Entry entries[SLAB_ENTRIES];
    uint64_t roots[SLAB_ENTRIES];
};

static_assert(sizeof(Entry) == 32, "half a cache line");
static_assert(sizeof(Slab) <= SLAB_SIZE, "a slab holds entries and roots");

int
entries_init(Entries *entries)
{
    *entries = (Entries){.mask = FIRST_SIZE - 1};
    entries->table = PyMem_Calloc(FIRST_SIZE, sizeof(Entry *));
    if (entries->table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
entries_free(Entries *entries)
{
    while (entries->slabs != NULL) {
        Slab *slab = entries->slabs;
        entries->slabs = slab->next;
        free(slab);
    }
    PyMem_Free(entries->table);
    *entries = (Entries){0};
}

static void
insert(Entries *entries, Entry *entry)
{
    size_t at = address_hash(entry->key) & entries->mask;
    while (entries->table[at] != NULL) {
        at = (at + 1) & entries->mask;
    }
    entries->table[at] = entry;
}

static int
grow(Entries *entries)
{
    size_t size = entries->mask + 1;
    Entry **old = entries->table;
    Entry **table = PyMem_Calloc(size * 2, sizeof(Entry *));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    entries->table = table;
    entries->mask = size * 2 - 1;
    for (size_t at = 0; at < size; at++) {
        if (old[at] != NULL) {
            insert(entries, old[at]);
        }
    }
    PyMem_Free(old);
    return 0;
}

static int
add_slab(Entries *entries)
{
    Slab *slab = aligned_alloc(SLAB_SIZE, SLAB_SIZE);
    if (slab == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(slab, 0, SLAB_SIZE);
    slab->next = entries->slabs;
    entries->slabs = slab;
    for (size_t i = SLAB_ENTRIES; i-- > 0;) {
        slab->entries[i].next_free = entries->free;
        entries->free = &slab->entries[i];
    }
    return 0;
}

uint64_t *
entry_root(Entry *entry)
{
    Slab *slab = (Slab *)((uintptr_t)entry & ~(uintptr_t)(SLAB_SIZE - 1));
    return &slab->roots[entry - slab->entries];
}

Entry *
entries_add(Entries *entries, const void *key, uint64_t id, int64_t since_ns)
{
    if ((entries->count + 1) * 2 > entries->mask + 1 && grow(entries) < 0) {
        return NULL;
    }
    if (entries->free == NULL && add_slab(entries) < 0) {
        return NULL;
    }
    Entry *entry = entries->free;
    entries->free = entry->next_free;
    *entry = (Entry){.key = key, .id = id, .since_ns = since_ns, .first = true};
    *entry_root(entry) = 0;
    insert(entries, entry);
    entries->count++;
    return entry;
}

/* Closes the gap at `at` by moving back what was put behind it only because it was taken. */
static void
close_gap(Entries *entries, size_t at)
{
    Entry **table = entries->table;
    size_t mask = entries->mask;
    for (size_t next = (at + 1) & mask; table[next] != NULL; next = (next + 1) & mask) {
        size_t home = address_hash(table[next]->key) & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            table[at] = table[next];
            at = next;
        }
    }
    table[at] = NULL;
}

void
entries_remove(Entries *entries, Entry *entry)
{
    size_t at = address_hash(entry->key) & entries->mask;
    while (entries->table[at] != entry) {
        at = (at + 1) & entries->mask;
    }
    close_gap(entries, at);
    entries->count--;
    entry->id = 0;
    entry->next_free = entries->free;
    entries->free = entry;
}
