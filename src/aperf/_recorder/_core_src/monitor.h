/* Every await, also those that never suspend: what sys.monitoring calls with awaits="all".
 * ../_py/monitor.py is the specification. Python 3.12 and later. */
#ifndef APERF_MONITOR_H
#define APERF_MONITOR_H

#include "recorder.h"

extern PyType_Spec monitor_spec;

PyObject *monitor_new(Recorder *recorder);

#endif
