#include "asyncio.h"
#include "layout.h"

#include <string.h>

/* ------------------------------------------------------------------------------- asking by name */

int
asyncio_ask_bool(PyObject *future, const char *method)
{
    PyObject *answer = PyObject_CallMethod(future, method, NULL);
    if (answer == NULL) {
        return -1;
    }
    int truth = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return truth;
}

int
asyncio_ask_if_future(const Asyncio *asyncio, PyObject *object, const char *method)
{
    /* asyncio.isfuture() asks the type likewise: objects that invent attributes do not count. */
    int found = type_has(Py_TYPE(object), asyncio->future_mark);
    return found <= 0 ? found : asyncio_ask_bool(object, method);
}

/* Calls a method that must exist, or reads an attribute that may be missing. */
PyObject *
asyncio_ask(PyObject *task, const char *name, bool call)
{
    if (call) {
        return PyObject_CallMethod(task, name, NULL);
    }
    PyObject *value = PyObject_GetAttrString(task, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = Py_NewRef(Py_None);
    }
    return value;
}

int
asyncio_loop_runs(const Asyncio *asyncio)
{
    PyObject *loop = PyObject_CallNoArgs(asyncio->running_loop);
    if (loop == NULL) {
        return -1;
    }
    Py_DECREF(loop);
    return loop != Py_None;
}

/* ---------------------------------------------------------------------------------- the C types */

#define STEPS "aperf._recorder._steps"

/* Returns what a type itself holds under a name, borrowed; NULL unless it is of this kind. */
static PyObject *
own_descriptor(PyTypeObject *type, const char *name, PyTypeObject *kind)
{
    PyObject *descriptor = PyDict_GetItemString(type->tp_dict, name);
    return descriptor != NULL && Py_IS_TYPE(descriptor, kind) ? descriptor : NULL;
}

static getter
find_getter(PyTypeObject *type, const char *name)
{
    PyObject *descriptor = own_descriptor(type, name, &PyGetSetDescr_Type);
    if (descriptor == NULL) {
        return NULL;
    }
    PyGetSetDef *definition = ((PyGetSetDescrObject *)descriptor)->d_getset;
    return definition->closure == NULL ? definition->get : NULL;
}

static PyCFunction
find_method(PyTypeObject *type, const char *name)
{
    PyObject *descriptor = own_descriptor(type, name, &PyMethodDescr_Type);
    if (descriptor == NULL) {
        return NULL;
    }
    PyMethodDef *definition = ((PyMethodDescrObject *)descriptor)->d_method;
    return definition->ml_flags == METH_NOARGS ? definition->ml_meth : NULL;
}

static int
import_object(const char *module_name, const char *name, PyObject **object)
{
    PyObject *module = PyImport_ImportModule(module_name);
    *object = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return *object == NULL ? -1 : 0;
}

/* Imports a type from _steps; None, for asyncio without its C module, leaves NULL. */
static int
import_type(const char *name, PyTypeObject **type)
{
    PyObject *value;
    if (import_object(STEPS, name, &value) < 0) {
        return -1;
    }
    if (!PyType_Check(value)) {
        Py_DECREF(value);
        return 0;
    }
    *type = (PyTypeObject *)value;
    return 0;
}

/* Finds the functions, or gives up on the C types altogether: all or nothing keeps callers simple.
 */
static void
find_functions(Asyncio *asyncio)
{
    if (asyncio->task == NULL) {
        return;
    }
    asyncio->future = (PyTypeObject *)Py_NewRef(asyncio->task->tp_base);
    asyncio->get_coro = find_getter(asyncio->task, "_coro");
    asyncio->get_waiter = find_getter(asyncio->task, "_fut_waiter");
    asyncio->get_exception = find_getter(asyncio->task, "_exception");
    asyncio->done = find_method(asyncio->future, "done");
    asyncio->cancelled = find_method(asyncio->future, "cancelled");
    if (asyncio->step != NULL) {
        asyncio->get_step_task = find_getter(asyncio->step, "__self__");
    }
    if (!asyncio->get_coro || !asyncio->get_waiter || !asyncio->get_exception || !asyncio->done ||
        !asyncio->cancelled || !asyncio->get_step_task) {
        Py_CLEAR(asyncio->future);
        Py_CLEAR(asyncio->task);
    }
}

int
asyncio_init(Asyncio *asyncio)
{
    PyObject *base_loop;
    if (import_type("C_TASK", &asyncio->task) < 0 || import_type("STEP_TYPE", &asyncio->step) < 0 ||
        import_type("PY_TASK", &asyncio->py_task) < 0 ||
        import_object(STEPS, "task_of", &asyncio->task_of) < 0 ||
        import_object("asyncio.events", "_get_running_loop", &asyncio->running_loop) < 0 ||
        import_object("asyncio", "CancelledError", &asyncio->cancelled_error) < 0 ||
        import_object("asyncio", "BaseEventLoop", &base_loop) < 0) {
        return -1;
    }
    asyncio->get_task_factory = PyObject_GetAttrString(base_loop, "get_task_factory");
    Py_DECREF(base_loop);
    if (asyncio->get_task_factory == NULL) {
        return -1;
    }
    asyncio->future_mark = PyUnicode_InternFromString("_asyncio_future_blocking");
    if (asyncio->future_mark == NULL) {
        return -1;
    }
    find_functions(asyncio);
    return 0;
}

int
asyncio_traverse(Asyncio *asyncio, visitproc visit, void *arg)
{
    Py_VISIT(asyncio->future);
    Py_VISIT(asyncio->task);
    Py_VISIT(asyncio->step);
    Py_VISIT(asyncio->py_task);
    Py_VISIT(asyncio->task_of);
    Py_VISIT(asyncio->running_loop);
    Py_VISIT(asyncio->get_task_factory);
    Py_VISIT(asyncio->cancelled_error);
    return 0;
}

void
asyncio_clear(Asyncio *asyncio)
{
    Py_CLEAR(asyncio->future);
    Py_CLEAR(asyncio->task);
    Py_CLEAR(asyncio->step);
    Py_CLEAR(asyncio->py_task);
    Py_CLEAR(asyncio->task_of);
    Py_CLEAR(asyncio->running_loop);
    Py_CLEAR(asyncio->get_task_factory);
    Py_CLEAR(asyncio->cancelled_error);
    Py_CLEAR(asyncio->future_mark);
}

/* ------------------------------------------------------------------------------------ callbacks */

static int
task_to_wake(Asyncio *asyncio, PyObject *callback, PyObject **task)
{
    PyMethodDef *method = ((PyCFunctionObject *)callback)->m_ml;
    PyObject *self = PyCFunction_GET_SELF(callback);
    if (method != asyncio->wakeup) {
        if (strcmp(method->ml_name, "task_wakeup") != 0 || self == NULL ||
            !asyncio_is_c_task(asyncio, self)) {
            return 0;
        }
        asyncio->wakeup = method;
    }
    *task = Py_NewRef(self);
    return 1;
}

/* A bound method of a task written in Python. */
static int
python_task(Asyncio *asyncio, PyObject *callback, PyObject **task)
{
    if (!PyObject_TypeCheck(PyMethod_GET_SELF(callback), asyncio->py_task)) {
        return 0;
    }
    *task = PyObject_CallOneArg(asyncio->task_of, callback);
    if (*task == Py_None) {
        Py_CLEAR(*task);
        return 0;
    }
    return *task == NULL ? -1 : 1;
}

int
asyncio_task_of(Asyncio *asyncio, PyObject *callback, PyObject **task)
{
    PyTypeObject *type = Py_TYPE(callback);
    if (type == asyncio->step && asyncio->get_step_task != NULL) {
        *task = asyncio->get_step_task(callback, NULL);
        return *task == NULL ? -1 : 1;
    }
    if (type == &PyCFunction_Type) {
        return task_to_wake(asyncio, callback, task);
    }
    if (type == &PyMethod_Type) {
        return python_task(asyncio, callback, task);
    }
    return 0;
}

/* ----------------------------------------------------------------------- what only a look tells */

static int
stop_at_name(PyObject *object, void *found)
{
    if (!PyLong_CheckExact(object) && !PyUnicode_Check(object)) {
        return 0;
    }
    *(PyObject **)found = object;
    return 1;
}

PyObject *
asyncio_peek_name(const Asyncio *asyncio, PyObject *task)
{
    /* Nothing else that a task holds before its name is an int or a str. */
    PyObject *name = NULL;
    if (asyncio->task != NULL && Py_IS_TYPE(task, asyncio->task)) {
        (void)asyncio->task->tp_traverse(task, stop_at_name, &name);
    }
    return name;
}

static int
hint_of(PyObject *callback)
{
    if (!PyFunction_Check(callback)) {
        return 0;
    }
    PyObject *name = ((PyFunctionObject *)callback)->func_qualname;
    if (PyUnicode_CompareWithASCIIString(name, "shield.<locals>._outer_done_callback") == 0) {
        return HINT_SHIELD;
    }
    if (PyUnicode_CompareWithASCIIString(name, "_chain_future.<locals>._call_check_cancel") == 0) {
        return HINT_EXECUTOR;
    }
    return 0;
}

/* A future holds its first callback itself, and further ones in a list of (callback, context). */
static int
collect_hints(PyObject *object, void *hints)
{
    if (!PyList_CheckExact(object)) {
        *(int *)hints |= hint_of(object);
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(object); i++) {
        PyObject *item = PyList_GET_ITEM(object, i);
        if (PyTuple_CheckExact(item) && PyTuple_GET_SIZE(item) == 2) {
            *(int *)hints |= hint_of(PyTuple_GET_ITEM(item, 0));
        }
    }
    return 0;
}

int
asyncio_callback_hints(const Asyncio *asyncio, PyObject *waiter)
{
    /* Looking as the garbage collector does: `_callbacks` would build a list. */
    int hints = 0;
    if (asyncio->future != NULL && Py_IS_TYPE(waiter, asyncio->future)) {
        (void)asyncio->future->tp_traverse(waiter, collect_hints, &hints);
    }
    return hints;
}
