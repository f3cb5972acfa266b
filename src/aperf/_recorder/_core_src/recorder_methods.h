/* What Python calls on a recorder. */
#ifndef APERF_RECORDER_METHODS_H
#define APERF_RECORDER_METHODS_H

#include "compat.h"

extern PyMethodDef recorder_methods[];

#endif
