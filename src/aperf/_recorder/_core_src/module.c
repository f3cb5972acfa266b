/* aperf._recorder._core: the recorder in C. See ../_py for the same in Python, which is the
 * specification, and docs/adr/0004-native-core.md for why it is as it is. */
#include "future_callback.h"
#include "hook.h"
#include "monitor.h"
#include "recorder.h"
#include "step.h"
#include "wrapper.h"

static int
intern_names(Names *names)
{
#define X(name)                                                                                    \
    names->name = PyUnicode_InternFromString(#name);                                               \
    if (names->name == NULL) {                                                                     \
        return -1;                                                                                 \
    }
    NAMES(X)
#undef X
    return 0;
}

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}

/* Makes isinstance(wrapper, collections.abc.Coroutine) true: asyncio asks before it makes a task.
 */
static int
register_coroutine(PyTypeObject *type)
{
    PyObject *abc = PyImport_ImportModule("collections.abc");
    PyObject *coroutine = abc == NULL ? NULL : PyObject_GetAttrString(abc, "Coroutine");
    PyObject *answer =
        coroutine == NULL ? NULL : PyObject_CallMethod(coroutine, "register", "O", type);
    Py_XDECREF(abc);
    Py_XDECREF(coroutine);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

static int
core_exec(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);
    state->no_arguments = PyTuple_New(0);
    state->otel_name = PyUnicode_InternFromString("opentelemetry.trace.propagation");
    if (state->no_arguments == NULL || state->otel_name == NULL ||
        intern_names(&state->names) < 0 || asyncio_init(&state->asyncio) < 0 ||
        add_type(module, &recorder_spec, &state->recorder_type) < 0 ||
        add_type(module, &hook_spec, &state->hook_type) < 0 ||
        add_type(module, &step_spec, &state->step_type) < 0 ||
        add_type(module, &future_callback_spec, &state->future_callback_type) < 0 ||
        add_type(module, &wrapper_spec, &state->wrapper_type) < 0) {
        return -1;
    }
#if PY_VERSION_HEX >= 0x030C0000
    if (add_type(module, &monitor_spec, &state->monitor_type) < 0) {
        return -1;
    }
#endif
    return register_coroutine(state->wrapper_type);
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    ModuleState *state = PyModule_GetState(module);
    Py_VISIT(state->recorder_type);
    Py_VISIT(state->hook_type);
    Py_VISIT(state->step_type);
    Py_VISIT(state->no_arguments);
    Py_VISIT(state->future_callback_type);
    Py_VISIT(state->wrapper_type);
    Py_VISIT(state->monitor_type);
    return asyncio_traverse(&state->asyncio, visit, arg);
}

static int
core_clear(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);
    step_free_kept(state); /* while their type is there */
    Py_CLEAR(state->recorder_type);
    Py_CLEAR(state->hook_type);
    Py_CLEAR(state->step_type);
    Py_CLEAR(state->no_arguments);
    Py_CLEAR(state->otel_name);
    Py_CLEAR(state->future_callback_type);
    Py_CLEAR(state->wrapper_type);
    Py_CLEAR(state->monitor_type);
#define X(name) Py_CLEAR(state->names.name);
    NAMES(X)
#undef X
    asyncio_clear(&state->asyncio);
    return 0;
}

static void
core_free(void *module)
{
    (void)core_clear(module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "aperf._recorder._core",
    .m_doc = "The recorder in C: faster than its twin in Python, of the same behaviour.",
    .m_size = sizeof(ModuleState),
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
