/* Where a suspended task stands. */
#include "chain.h"
#include "recorder.h"

static int
classify(Recorder *recorder, PyObject *code)
{
    PyObject *answer =
        PyObject_CallMethodOneArg(recorder->cold, recorder->state->names.classify, code);
    if (answer == NULL) {
        return -1;
    }
    int bits = (int)(PyLong_AsLong(answer) & (CODE_USER | CODE_WRAPPER | CODE_OWN));
    Py_DECREF(answer);
    if (PyErr_Occurred() || codes_add(&recorder->codes, code, bits) < 0) {
        return -1;
    }
    return bits;
}

int
recorder_code_bits(Recorder *recorder, PyObject *code)
{
    int bits = codes_find(&recorder->codes, code);
    return LIKELY(bits >= 0) ? bits : classify(recorder, code);
}

/* Asks for the verdicts that are missing. The chain lends us its code objects; we hold on to them,
 * as what we ask runs Python code. */
static int
classify_chain(Recorder *recorder, const Chain *chain)
{
    int bits = 0;
    for (int i = 0; i < chain->length; i++) {
        Py_INCREF(chain->frames[i].code);
    }
    for (int i = 0; i < chain->length && bits >= 0; i++) {
        bits = recorder_code_bits(recorder, chain->frames[i].code);
    }
    for (int i = 0; i < chain->length; i++) {
        Py_DECREF(chain->frames[i].code);
    }
    return bits < 0 ? -1 : 0;
}

/* Returns the index of the innermost frame of the user's code, the length if there is none, -1 if a
 * verdict is missing. */
static inline int
user_frame(const Recorder *recorder, const Chain *chain)
{
    for (int i = 0; i < chain->length; i++) {
        int bits = codes_find(&recorder->codes, chain->frames[i].code);
        if (bits < 0) {
            return -1;
        }
        if (bits & CODE_USER) {
            return i;
        }
    }
    return chain->length;
}

int64_t
recorder_site_of(Recorder *recorder, PyObject *coroutine, PyObject *waiter)
{
    Chain chain;
    chain_walk(&chain, coroutine);
    int user = user_frame(recorder, &chain);
    if (UNLIKELY(user < 0)) {
        if (classify_chain(recorder, &chain) < 0) {
            return -1;
        }
        user = user_frame(recorder, &chain);
        if (user < 0) {
            user = chain.length; /* the table was made anew just now */
        }
    }
    /* The nearest frames tell what a library built from, say, an event; the user's tells the place,
     * or, where there is none, the outermost. */
    int far = user < chain.length ? user : chain.length - 1;
    int length = far + 1;
    if (far > NEAR) {
        chain.frames[NEAR] = chain.frames[far];
        length = NEAR + 1;
    }
    int hint = 0;
    if (user == 0 && length) {
        /* What a future's callbacks tell is read only where frames and type do not tell it. */
        hint = asyncio_callback_hints(&recorder->state->asyncio, waiter);
    }
    PyTypeObject *awaited = waiter == Py_None ? NULL : Py_TYPE(waiter);
    return sites_intern(&recorder->sites, chain.frames, length, awaited, hint);
}

int64_t
recorder_full_site(Recorder *recorder, uint32_t site, PyObject *coroutine)
{
    Chain chain;
    chain_walk(&chain, coroutine);
    const Site *known = sites_find(&recorder->sites, site);
    int hint = known == NULL ? 0 : known->hint;
    PyTypeObject *awaited = known == NULL ? NULL : known->awaited;
    return sites_intern(&recorder->sites, chain.frames, chain.length, awaited, hint | HINT_FULL);
}
