/* Hashing of addresses, for the tables keyed by object. */
#ifndef APERF_ADDRESS_H
#define APERF_ADDRESS_H

#include <stdint.h>

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15) /* 2^64 divided by the golden ratio (Knuth 6.4) */

/* Returns a hash whose low bits are well mixed: objects lie 16 bytes apart, often in a row. */
static inline uint64_t
address_hash(const void *address)
{
    uint64_t product = ((uint64_t)(uintptr_t)address >> 4) * GOLDEN;
    return product >> 32;
}

#endif
