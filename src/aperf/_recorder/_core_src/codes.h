/* What Cold.classify said of code objects, asked once for each.
 *
 * Keyed by address and holding a reference: code objects of equal content from different files
 * compare equal, and an address must not be reused while we hold a verdict on it.
 */
#ifndef APERF_CODES_H
#define APERF_CODES_H

#include "address.h"
#include "compat.h"

/* Verdicts kept; made anew when there are more. Only code made by exec without end comes near. */
#define MAX_CODES 65536

typedef struct {
    PyObject *code;
    int bits;
} Verdict;

typedef struct {
    Verdict *table; /* open addressing, linear probing, at most half full */
    size_t mask;
    size_t count;
} Codes;

int codes_init(Codes *codes);
void codes_free(Codes *codes);

/* Keeps a verdict on a code object that has none yet. */
int codes_add(Codes *codes, PyObject *code, int bits);

/* Returns the verdict, -1 if there is none. */
static inline int
codes_find(const Codes *codes, const void *code)
{
    size_t at = address_hash(code) & codes->mask;
    while (codes->table[at].code != NULL) {
        if (codes->table[at].code == code) {
            return codes->table[at].bits;
        }
        at = (at + 1) & codes->mask;
    }
    return -1;
}

#endif
