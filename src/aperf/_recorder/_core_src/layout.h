/* What a record looks like in the ring. ../_layout.py is the specification. */
#ifndef APERF_LAYOUT_H
#define APERF_LAYOUT_H

#include <assert.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "records are little-endian; on this machine aperf runs in pure Python"
#endif

enum Kind {
    KIND_STEP = 1,
    KIND_WIDE = 2,
    KIND_BIRTH = 3,
    KIND_NAME = 4,
    KIND_ABANDON = 5,
    KIND_FAILURE = 6,
    KIND_MORE = 7,
    KIND_OPEN = 8,
    KIND_CLOSE = 9,
    KIND_EVENT = 10,
    KIND_ATTRIBUTE = 11,
    KIND_JOB = 12,
    KIND_CALL = 13,
    KIND_LOST = 14,
    KIND_IN_CALL = 15,
    KIND_CHAIN = 16,
    KIND_PLOT = 17,
    KIND_MESSAGE = 18,
    KIND_FRAME = 19,
    KIND_IMAGE = 20,
    KIND_LOCK = 21,
    KIND_MEMORY = 22,
    KIND_GPU = 23,
    KIND_SAMPLE = 24,
    KIND_CONTEXT = 25,
    KIND_SUBMIT = 26,
};

/* Kinds that may use the last eighth of the ring: without them the others could not be understood.
 * So may the step that ends a task. */
#define URGENT_KINDS                                                                               \
    (1u << KIND_BIRTH | 1u << KIND_NAME | 1u << KIND_ABANDON | 1u << KIND_OPEN |                   \
     1u << KIND_CLOSE | 1u << KIND_LOST | 1u << KIND_CONTEXT)

enum StepFlag {
    STEP_FIRST = 1,
    STEP_DONE = 2,
    STEP_FAILED = 4,
    STEP_CANCELLED = 8,
    STEP_EAGER = 16,
    STEP_WAIT_CANCELLED = 32,
};

enum BirthFlag {
    BIRTH_ADOPTED = 1,
    BIRTH_UNCODED = 2,
    BIRTH_CALLBACK = 4,
    BIRTH_SUPPRESSED = 8,
};

enum CallFlag {
    CALL_SUSPENDED = 1,
    CALL_FAILED = 2,
    CALL_CANCELLED = 4,
};

enum Hint {
    HINT_FULL = 1,
    HINT_SHIELD = 2,
    HINT_EXECUTOR = 4,
};

/* Frames kept of every wait, besides the user's. */
#define NEAR 4

/* Bits of Cold.classify. */
enum CodeBit {
    CODE_USER = 1,
    CODE_WRAPPER = 2,
    CODE_OWN = 4,
};

/* The first slot of an event. */
typedef struct {
    uint64_t t_ns;
    uint8_t kind;
    uint8_t slots;
    uint16_t flags;
    uint32_t ref;
    union {
        struct {
            uint64_t a;
            uint64_t b;
        };
        struct { /* of a STEP */
            uint32_t task;
            uint32_t waker;
            uint32_t ready_ns;
            uint32_t busy_ns;
        };
    };
} Slot;

/* The second slot of a WIDE step. */
typedef struct {
    uint64_t ready_ns;
    uint64_t busy_ns;
    uint64_t unused[2];
} WideTimes;

/* The second slot of a CALL and an IN_CALL. */
typedef struct {
    uint64_t duration_ns;
    uint64_t parent_seq;
    uint64_t parent_start_ns;
    uint64_t unused;
} CallDetail;

/* The second slot of a BIRTH; the rest of the name goes on in further slots. */
typedef struct {
    uint64_t span_owner;
    uint32_t span_seq;
    uint32_t name_length;
    char name[16];
} BirthDetail;

#define SLOT_SIZE   sizeof(Slot)
#define MAX_SLOTS   8
#define MAX_PAYLOAD ((MAX_SLOTS - 1) * SLOT_SIZE)
#define MAX_TEXT    128 /* bytes of a name */

static_assert(sizeof(Slot) == 32, "a slot has 32 bytes");
static_assert(sizeof(WideTimes) == sizeof(Slot), "the second slot of a WIDE");
static_assert(sizeof(CallDetail) == sizeof(Slot), "the second slot of a CALL");
static_assert(sizeof(BirthDetail) == sizeof(Slot), "the second slot of a BIRTH");

#endif
