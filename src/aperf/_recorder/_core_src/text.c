#include "text.h"

static void
set(Text *text, const char *bytes, Py_ssize_t length)
{
    text->length = length < MAX_TEXT ? (size_t)length : MAX_TEXT;
    memcpy(text->bytes, bytes, text->length);
}

int
text_from(Text *text, PyObject *string)
{
    if (PyUnicode_IS_COMPACT_ASCII(string)) {
        set(text, (const char *)PyUnicode_1BYTE_DATA(string), PyUnicode_GET_LENGTH(string));
        return 0;
    }
    PyObject *encoded = PyUnicode_AsEncodedString(string, "utf-8", "replace");
    if (encoded == NULL) {
        return -1;
    }
    set(text, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded));
    Py_DECREF(encoded);
    return 0;
}

/* Calls get_name(), where there is one. */
static int
ask_name(Text *text, const ModuleState *state, PyObject *task)
{
    PyObject *get_name, *name, *string;
    int found = optional_attr(task, state->names.get_name, &get_name);
    if (found <= 0) {
        return found;
    }
    name = PyObject_CallNoArgs(get_name);
    Py_DECREF(get_name);
    if (name == NULL) {
        return -1;
    }
    string = PyObject_Str(name);
    Py_DECREF(name);
    if (string == NULL) {
        return -1;
    }
    int result = text_from(text, string);
    Py_DECREF(string);
    return result;
}

/* Writes "Task-N". By hand: printf would take more time than all else that a birth needs. */
static void
set_default_name(Text *text, unsigned long long number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    memcpy(text->bytes, "Task-", 5);
    text->length = 5;
    while (count > 0) {
        text->bytes[text->length++] = digits[--count];
    }
}

int
text_from_name(Text *text, const ModuleState *state, PyObject *task)
{
    text->length = 0;
    PyObject *name = asyncio_peek_name(&state->asyncio, task);
    if (name == NULL) {
        return ask_name(text, state, task);
    }
    if (PyUnicode_Check(name)) {
        return text_from(text, name);
    }
    /* From 3.12 on, a task without a name of its own holds a number until somebody asks. asyncio
     * would make a str of it and keep that, which takes 300 ns. */
    unsigned long long number = PyLong_AsUnsignedLongLong(name);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    set_default_name(text, number);
    return 0;
}

uint32_t
text_hash(const Text *text)
{
    uint32_t hash = 2166136261u;
    for (size_t at = 0; at < text->length; at++) {
        hash = (hash ^ (unsigned char)text->bytes[at]) * 16777619u;
    }
    return hash >> 2;
}
