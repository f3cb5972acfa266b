#include "sites.h"

#define FIRST_SIZE 256
/* A sweep spares tables smaller than this. */
#define SPARED 4096

static int
renew(Sites *sites, size_t size)
{
    Site **by_key = PyMem_Calloc(size, sizeof(Site *));
    Site **by_number = PyMem_Calloc(size, sizeof(Site *));
    if (by_key == NULL || by_number == NULL) {
        PyMem_Free(by_key);
        PyMem_Free(by_number);
        PyErr_NoMemory();
        return -1;
    }
    sites->by_key = by_key;
    sites->by_number = by_number;
    sites->mask = size - 1;
    sites->count = 0;
    return 0;
}

static void
free_site(Site *site)
{
    for (int i = 0; i < site->length; i++) {
        Py_DECREF(site->frames[i].code);
    }
    Py_XDECREF(site->awaited);
    PyMem_Free(site);
}

int
sites_init(Sites *sites)
{
    *sites = (Sites){.next = 1};
    return renew(sites, FIRST_SIZE);
}

void
sites_free(Sites *sites)
{
    Sites old = *sites;
    *sites = (Sites){0};
    for (size_t at = 0; old.by_number != NULL && at <= old.mask; at++) {
        if (old.by_number[at] != NULL) {
            free_site(old.by_number[at]);
        }
    }
    PyMem_Free(old.by_key);
    PyMem_Free(old.by_number);
}

int
sites_traverse(Sites *sites, visitproc visit, void *arg)
{
    for (size_t at = 0; sites->by_number != NULL && at <= sites->mask; at++) {
        if (sites->by_number[at] != NULL) {
            Py_VISIT(sites->by_number[at]->awaited); /* code objects are not collected */
        }
    }
    return 0;
}

static void
insert(Sites *sites, Site *site)
{
    size_t at = site->hash & sites->mask;
    while (sites->by_key[at] != NULL) {
        at = (at + 1) & sites->mask;
    }
    sites->by_key[at] = site;
    at = site->number & sites->mask;
    while (sites->by_number[at] != NULL) {
        at = (at + 1) & sites->mask;
    }
    sites->by_number[at] = site;
    sites->count++;
}

/* Moves all sites to tables of another size. */
static int
resize(Sites *sites, size_t size)
{
    Sites old = *sites;
    if (renew(sites, size) < 0) {
        return -1;
    }
    for (size_t at = 0; at <= old.mask; at++) {
        if (old.by_number[at] != NULL) {
            insert(sites, old.by_number[at]);
        }
    }
    PyMem_Free(old.by_key);
    PyMem_Free(old.by_number);
    return 0;
}

int64_t
sites_add(Sites *sites, const SiteKey *key, const Frame *frames)
{
    if (sites->count >= MAX_SITES) {
        return 0;
    }
    if ((sites->count + 1) * 2 > sites->mask + 1 && resize(sites, (sites->mask + 1) * 2) < 0) {
        return -1;
    }
    Site *site = PyMem_Malloc(sizeof(Site) + (size_t)key->length * sizeof(Frame));
    if (site == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *site = (Site){
        .hash = site_key_hash(key),
        .awaited = (PyTypeObject *)Py_XNewRef(key->awaited),
        .number = sites->next++,
        .last_used = sites->epoch,
        .hint = key->hint,
        .length = key->length,
    };
    for (int i = 0; i < key->length; i++) {
        site->frames[i] = (Frame){Py_NewRef(frames[i].code), frames[i].lasti};
    }
    insert(sites, site);
    return site->number;
}

int64_t
sites_intern(Sites *sites, const Frame *frames, int length, PyTypeObject *awaited, int hint)
{
    SiteKey key = {.awaited = awaited, .hint = hint, .length = length};
    for (int i = 0; i < length; i++) {
        key.places[i] = place_of(frames[i]);
    }
    const Site *site = sites_find(sites, &key, frames);
    return site != NULL ? site->number : sites_add(sites, &key, frames);
}

Site *
sites_resolve(const Sites *sites, uint32_t number)
{
    size_t at = number & sites->mask;
    Site *site;
    while ((site = sites->by_number[at]) != NULL && site->number != number) {
        at = (at + 1) & sites->mask;
    }
    return site;
}

void
sites_touch(Sites *sites, uint32_t number)
{
    Site *site = sites_resolve(sites, number);
    if (site != NULL) {
        site->last_used = sites->epoch;
    }
}

/* Appends the numbers of the sites to be forgotten, in ascending order. */
static int
list_old(const Sites *sites, PyObject *numbers)
{
    for (size_t at = 0; at <= sites->mask; at++) {
        Site *site = sites->by_number[at];
        if (site != NULL && site->last_used + 2 < sites->epoch) {
            PyObject *number = PyLong_FromUnsignedLong(site->number);
            int failed = number == NULL || PyList_Append(numbers, number) < 0;
            Py_XDECREF(number);
            if (failed) {
                return -1;
            }
        }
    }
    return PyList_Sort(numbers);
}

PyObject *
sites_sweep(Sites *sites)
{
    PyObject *numbers = PyList_New(0);
    sites->epoch++;
    if (numbers == NULL || sites->count < SPARED) {
        return numbers;
    }
    Sites kept = *sites;
    if (list_old(sites, numbers) < 0 || renew(&kept, sites->mask + 1) < 0) {
        Py_DECREF(numbers);
        return NULL;
    }
    Sites old = *sites;
    for (size_t at = 0; at <= old.mask; at++) {
        Site *site = old.by_number[at];
        if (site != NULL && site->last_used + 2 >= sites->epoch) {
            insert(&kept, site);
            old.by_number[at] = NULL;
        }
    }
    *sites = kept;
    sites_free(&old); /* last, when the new tables stand: it may run somebody's code */
    return numbers;
}
