#define _POSIX_C_SOURCE 199309L /* clock_gettime, under -std=c11 */

#include "clock.h"

#include <time.h>

#if APERF_HAVE_TSC
#    include <cpuid.h>
#endif

/* The rate is first learnt over this time: reading both clocks is uncertain by some 50 ns. */
#define LEARN_NS 20000000
/* Later comparisons are at least so far apart, for the same reason. */
#define ADJUST_NS 50000000
/* Whoever is wrong by more than this was suspended, moved to another machine, or lied. */
#define MAX_DRIFT_NS 1000000

static int64_t
system_ns(void)
{
    struct timespec now;
#ifdef CLOCK_UPTIME_RAW
    clock_gettime(CLOCK_UPTIME_RAW, &now); /* what time.monotonic_ns() reads on macOS */
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#if APERF_HAVE_TSC

typedef struct {
    uint64_t ticks;
    int64_t ns;
} Reading;

static bool
counter_is_invariant(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx & 1u << 8);
}

/* Reads both clocks at the same moment: the best of three attempts, since any can be interrupted.
 */
static Reading
read_both(void)
{
    Reading best = {0, 0};
    uint64_t shortest = UINT64_MAX;
    for (int attempt = 0; attempt < 3; attempt++) {
        uint64_t before = __rdtsc();
        int64_t ns = system_ns();
        uint64_t took = __rdtsc() - before;
        if (took < shortest) {
            shortest = took;
            best = (Reading){before + took / 2, ns};
        }
    }
    return best;
}

/* Compares, measures the rate anew, and closes the gap: at once where we are late, and where we are
 * early by running slower for a second, for time must not go backwards. */
static void
compare(Clock *clock, Reading now)
{
    uint64_t passed = now.ticks - clock->ticks;
    int64_t passed_ns = now.ns - clock->true_ns;
    if (passed >> 48 || passed_ns <= 0) {
        clock->mode = CLOCK_SYSTEM;
        return;
    }
    uint64_t rate = (uint64_t)(((unsigned __int128)passed_ns << 32) / passed);
    int64_t ns = now.ns;
    if (clock->mode == CLOCK_COUNTER) {
        int64_t ours = clock->ns + (int64_t)((unsigned __int128)passed * clock->rate >> 32);
        int64_t early = ours - now.ns;
        if (early > 0) {
            ns = ours;
            rate -= (uint64_t)((unsigned __int128)rate * (uint64_t)early / 1000000000);
        }
        if (early > MAX_DRIFT_NS || early < -MAX_DRIFT_NS) {
            clock->mode = CLOCK_SYSTEM;
        }
    }
    else {
        /* Below 1 GHz the product in clock_now() would overflow. */
        clock->mode = rate >> 32 ? CLOCK_SYSTEM : CLOCK_COUNTER;
    }
    clock->ticks = now.ticks;
    clock->ns = ns;
    clock->rate = rate;
    clock->true_ns = now.ns;
}

#endif

void
clock_init(Clock *clock, bool manual)
{
    *clock = (Clock){.mode = manual ? CLOCK_MANUAL : CLOCK_SYSTEM};
#if APERF_HAVE_TSC
    if (!manual && counter_is_invariant()) {
        Reading now = read_both();
        clock->mode = CLOCK_LEARNING;
        clock->ticks = now.ticks;
        clock->true_ns = now.ns;
    }
#endif
}

void
clock_adjust(Clock *clock)
{
#if APERF_HAVE_TSC
    if (clock->mode == CLOCK_COUNTER) {
        Reading now = read_both();
        if (now.ns - clock->true_ns >= ADJUST_NS) {
            compare(clock, now);
        }
    }
#else
    (void)clock;
#endif
}

int64_t
clock_read(Clock *clock)
{
    if (clock->mode == CLOCK_MANUAL) {
        return clock->ns;
    }
    int64_t now = system_ns();
#if APERF_HAVE_TSC
    bool learnt = clock->mode == CLOCK_LEARNING && now - clock->true_ns >= LEARN_NS;
    if (learnt || clock->mode == CLOCK_COUNTER) {
        compare(clock, read_both());
        now = clock->ns;
    }
#endif
    return now < clock->ns ? clock->ns : now;
}
