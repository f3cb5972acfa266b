/* What stands in for `create_task` and `call_soon` on one loop. */
#ifndef APERF_HOOK_H
#define APERF_HOOK_H

#include "recorder.h"

extern PyType_Spec hook_spec;

PyObject *hook_new(Recorder *recorder, PyObject *loop);

#endif
