#include "codes.h"

#define FIRST_SIZE 256

static int
renew(Codes *codes, size_t size)
{
    Verdict *table = PyMem_Calloc(size, sizeof(Verdict));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *codes = (Codes){.table = table, .mask = size - 1};
    return 0;
}

int
codes_init(Codes *codes)
{
    *codes = (Codes){0};
    return renew(codes, FIRST_SIZE);
}

void
codes_free(Codes *codes)
{
    /* Taken out first: the last reference to a code object may run somebody's callback. */
    Codes old = *codes;
    *codes = (Codes){0};
    for (size_t at = 0; old.table != NULL && at <= old.mask; at++) {
        Py_XDECREF(old.table[at].code);
    }
    PyMem_Free(old.table);
}

static void
insert(Codes *codes, Verdict verdict)
{
    size_t at = address_hash(verdict.code) & codes->mask;
    while (codes->table[at].code != NULL) {
        at = (at + 1) & codes->mask;
    }
    codes->table[at] = verdict;
    codes->count++;
}

static int
grow(Codes *codes)
{
    Codes old = *codes;
    if (renew(codes, (old.mask + 1) * 2) < 0) {
        return -1;
    }
    for (size_t at = 0; at <= old.mask; at++) {
        if (old.table[at].code != NULL) {
            insert(codes, old.table[at]);
        }
    }
    PyMem_Free(old.table);
    return 0;
}

static int
start_anew(Codes *codes)
{
    Codes old = *codes;
    if (renew(codes, FIRST_SIZE) < 0) {
        return -1;
    }
    codes_free(&old);
    return 0;
}

int
codes_add(Codes *codes, PyObject *code, int bits)
{
    if (codes->count >= MAX_CODES && start_anew(codes) < 0) {
        return -1;
    }
    if (codes_find(codes, code) >= 0) {
        return 0; /* somebody else's code ran meanwhile and asked, too */
    }
    if ((codes->count + 1) * 2 > codes->mask + 1 && grow(codes) < 0) {
        return -1;
    }
    insert(codes, (Verdict){Py_NewRef(code), bits});
    return 0;
}
