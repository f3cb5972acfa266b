/* Where a suspended task stands. */
#include "frames.h"
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

/* Asks for the verdicts that are missing. What we ask runs Python code, so we hold on to what the
 * chain lends us. */
static int
classify_chain(Recorder *recorder, const Chain *chain)
{
    int bits = 0;
    PyObject *codes[MAX_FRAMES];
    for (int i = 0; i < chain->length; i++) {
        codes[i] = Py_NewRef(suspended_code(chain_link(chain, i)));
    }
    for (int i = 0; i < chain->length && bits >= 0; i++) {
        bits = recorder_code_bits(recorder, codes[i]);
    }
    for (int i = 0; i < chain->length; i++) {
        Py_DECREF(codes[i]);
    }
    return bits < 0 ? -1 : 0;
}

/* Returns the index of the innermost link that runs the user's code, the length if there is none,
 * -1 if a verdict is missing. */
static inline int
find_user(const Recorder *recorder, const Chain *chain)
{
    for (int i = 0; i < chain->length; i++) {
        int bits = codes_find(&recorder->codes, suspended_code(chain_link(chain, i)));
        if (bits < 0) {
            return -1;
        }
        if (bits & CODE_USER) {
            return i;
        }
    }
    return chain->length;
}

/* Returns the number of the site that the innermost `near` links of a chain make, and the one at
 * `far`, if that lies beyond. */
static inline int64_t
intern_chain(Sites *sites, const Chain *chain, int near, int far, PyTypeObject *awaited, int hint)
{
    SiteKey key;
    key.awaited = awaited;
    key.hint = hint;
    key.length = far < near ? far + 1 : near + 1;
    for (int i = 0; i < key.length; i++) {
        key.places[i] = suspended_place(chain_link(chain, i < near ? i : far));
    }
    const Site *site = sites_find(sites, &key, NULL);
    if (LIKELY(site != NULL)) {
        return site->number;
    }
    Frame frames[MAX_FRAMES];
    for (int i = 0; i < key.length; i++) {
        frames[i] = suspended_frame(chain_link(chain, i < near ? i : far));
    }
    return sites_add(sites, &key, frames);
}

int64_t
recorder_site_of(Recorder *recorder, PyObject *coroutine, PyObject *waiter, bool *whole)
{
    Chain chain;
    chain_walk(&chain, coroutine);
    int user = find_user(recorder, &chain);
    if (UNLIKELY(user < 0)) {
        if (classify_chain(recorder, &chain) < 0) {
            return -1;
        }
        user = find_user(recorder, &chain); /* -1 again: the table was made anew just now */
    }
    /* The nearest frames tell what a library built from, say, an event; the user's tells the place,
     * or, where there is none, the outermost. */
    int far = user >= 0 && user < chain.length ? user : chain.length - 1;
    *whole = chain.length <= NEAR + 1 && far == chain.length - 1;
    int hint = 0;
    if (user == 0 && chain.length > 0) {
        /* What a future's callbacks tell is read only where frames and type do not tell it. */
        hint = asyncio_callback_hints(&recorder->state->asyncio, waiter);
    }
    PyTypeObject *awaited = waiter == Py_None ? NULL : Py_TYPE(waiter);
    return intern_chain(&recorder->sites, &chain, NEAR, far, awaited, hint);
}

int64_t
recorder_full_site(Recorder *recorder, uint32_t site, const Chain *chain)
{
    const Site *known = sites_resolve(&recorder->sites, site);
    int hint = known == NULL ? 0 : known->hint;
    PyTypeObject *awaited = known == NULL ? NULL : known->awaited;
    return intern_chain(&recorder->sites, chain, MAX_FRAMES, chain->length - 1, awaited,
                        hint | HINT_FULL);
}

int64_t
recorder_whole_site(Recorder *recorder, uint32_t number)
{
    Sites *sites = &recorder->sites;
    Site *site = sites_resolve(sites, number);
    if (site == NULL) {
        return 0;
    }
    Site *full = sites_resolve(sites, site->full);
    if (LIKELY(full != NULL)) {
        full->last_used = sites->epoch;
        return full->number;
    }
    int64_t interned =
        sites_intern(sites, site->frames, site->length, site->awaited, site->hint | HINT_FULL);
    if (interned > 0) {
        site->full = (uint32_t)interned;
    }
    return interned;
}
