/* The clock: system time that only goes forward, read from the processor's counter where that can
 * be trusted.
 *
 * Reading the counter takes 10 ns where clock_gettime takes 26, and a suspension needs the time
 * thrice. It is trusted where the processor says that it runs at a constant rate in all states. Its
 * rate is learnt by comparing it with CLOCK_MONOTONIC, and corrected from then on at least every
 * 2^32 ticks (1 to 4 s) and at each drain, so that both stay within microseconds of each other:
 * other parts of aperf use time.monotonic_ns().
 *
 * Whoever reads the clock holds the GIL, hence no atomics.
 */
#ifndef APERF_CLOCK_H
#define APERF_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#    define APERF_HAVE_TSC 1
#    include <x86intrin.h>
#else
#    define APERF_HAVE_TSC 0
#endif

typedef enum {
    CLOCK_MANUAL,   /* stands still until it is set */
    CLOCK_SYSTEM,   /* clock_gettime for good */
    CLOCK_LEARNING, /* clock_gettime until the counter's rate is known */
    CLOCK_COUNTER,
} ClockMode;

typedef struct {
    ClockMode mode;
    uint64_t ticks;  /* the counter at the last comparison */
    int64_t ns;      /* our time at the last comparison */
    uint64_t rate;   /* ns per tick since then, times 2^32 */
    int64_t true_ns; /* CLOCK_MONOTONIC at the last comparison */
} Clock;

void clock_init(Clock *clock, bool manual);

/* Compares with CLOCK_MONOTONIC, unless that was done lately. */
void clock_adjust(Clock *clock);

/* Returns the time where it takes more than the counter. */
int64_t clock_read(Clock *clock);

static inline int64_t
clock_now(Clock *clock)
{
#if APERF_HAVE_TSC
    if (__builtin_expect(clock->mode == CLOCK_COUNTER, 1)) {
        uint64_t passed = __rdtsc() - clock->ticks;
        if (__builtin_expect(passed >> 32 == 0, 1)) {
            return clock->ns + (int64_t)(passed * clock->rate >> 32);
        }
    }
#endif
    return clock_read(clock);
}

#endif
