/* Text as records hold it: UTF-8, cut to MAX_TEXT bytes. */
#ifndef APERF_TEXT_H
#define APERF_TEXT_H

#include "layout.h"
#include "state.h"

typedef struct {
    size_t length;
    char bytes[MAX_TEXT];
} Text;

/* Copies a str; -1 with an exception set. */
int text_from(Text *text, PyObject *string);

/* Copies the name of a task, also of one that a foreign factory made; -1 with an exception set. */
int text_from_name(Text *text, const ModuleState *state, PyObject *task);

/* FNV-1a, its upper 31 bits: tells whether a name has changed without keeping it. */
uint32_t text_hash(const Text *text);

#endif
