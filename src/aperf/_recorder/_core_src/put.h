/* Recorder.put: any event, from Python. */
#ifndef APERF_PUT_H
#define APERF_PUT_H

#include "compat.h"

PyObject *put_method(PyObject *recorder, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames);

#define PUT_DOC                                                                                    \
    "put($self, kind, flags, ref, a, b, payload=b'', t_ns=-1)\n--\n\n"                             \
    "Write one event to this thread's ring."

#endif
