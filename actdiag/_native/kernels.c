/* The Python side of the kernel: tensors in, blocks of bytes out. See actdiag/statistics/native.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <string.h>

#include "blocks.h"
#include "measure.h"
#include "packing.h"
#include "summary.h"

#define MOST_AXES 64
#define WORTH_A_RELEASE 65536 /* elements from which other threads may run */
#define SMALL_COUNTS (INT64_C(1) << 32)
#define SIZE 5
#define NO_MEMORY "expected a tensor with memory of its own"

static PyObject *name_data_ptr, *name_shape, *name_stride, *name_numel;

typedef struct {
    int axes;
    int64_t sizes[MOST_AXES], steps[MOST_AXES];
    const float *data;
} Strided;

static PyObject *call(PyObject *self, PyObject *name) {
    PyObject *arguments[1] = {self};
    return PyObject_VectorcallMethod(name, arguments, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

static int take_integers(PyObject *tuple, int64_t *found) {
    Py_ssize_t n;
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "expected a tuple of integers, got %s", Py_TYPE(tuple)->tp_name);
        return -1;
    }
    n = PyTuple_GET_SIZE(tuple);
    if (n > MOST_AXES) {
        PyErr_Format(PyExc_ValueError, "expected at most %d axes, got %zd", MOST_AXES, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        found[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
        if (found[i] == -1 && PyErr_Occurred()) return -1;
    }
    return (int)n;
}

static int take_address(PyObject *tensor, const float **data) {
    PyObject *address = call(tensor, name_data_ptr);
    if (!address) return -1;
    *data = PyLong_AsVoidPtr(address);
    Py_DECREF(address);
    if (PyErr_Occurred()) return -1;
    if ((uintptr_t)*data % sizeof(float) == 0) return 0;
    PyErr_SetString(PyExc_ValueError, "expected float32 values at addresses that four divides");
    return -1;
}

static int take_tensor(PyObject *tensor, Strided *found) {
    PyObject *shape = PyObject_GetAttr(tensor, name_shape), *steps = shape ? call(tensor, name_stride) : NULL;
    int axes = -1;
    if (steps) {
        axes = take_integers(shape, found->sizes);
        if (axes >= 0 && take_integers(steps, found->steps) != axes) axes = -1;
        if (axes < 0 && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected as many strides as axes");
    }
    Py_XDECREF(shape);
    Py_XDECREF(steps);
    found->axes = axes;
    return axes < 0 ? -1 : take_address(tensor, &found->data);
}

static int take_axis(PyObject *number, int axes, int *axis) {
    long found = PyLong_AsLong(number);
    if (found == -1 && PyErr_Occurred()) return -1;
    if (found < -axes || found >= axes) {
        PyErr_Format(PyExc_IndexError, "expected an axis of %d, got %ld", axes, found);
        return -1;
    }
    *axis = (int)(found < 0 ? found + axes : found);
    return 0;
}

/* Fold all axes but two into one of positions. Returns whether they lie at even distances. */
static int fold_positions(const Strided *tensor, int batch, int unit, View *view) {
    int even = 1;
    for (int axis = 0; axis < tensor->axes; axis++) {
        int64_t size = tensor->sizes[axis], step = tensor->steps[axis];
        if (axis == batch || axis == unit || size == 1) continue;
        even &= view->positions == 1 || view->position_step == size * step;
        view->positions *= size, view->position_step = step;
    }
    return even;
}

/* Returns 1 where the tensor can be read as it lies, 0 where not, -1 with an error set. */
static int view_of(const Strided *tensor, PyObject *unit_axis, PyObject *batch_axis, View *view, int *unit) {
    int batch = 0, even;
    View whole = {tensor->data, 1, 1, 1, 0, 0, 1};
    *view = whole, *unit = 0;
    if (tensor->axes == 0) return 1;
    view->samples = tensor->sizes[0], view->sample_step = tensor->steps[0];
    if (tensor->axes == 1) return 1;
    if (take_axis(unit_axis, tensor->axes, unit) || take_axis(batch_axis, tensor->axes, &batch)) return -1;
    if (batch == *unit) {
        PyErr_Format(PyExc_ValueError, "expected samples and units on two axes, got both on %d", batch);
        return -1;
    }
    view->samples = tensor->sizes[batch], view->sample_step = tensor->steps[batch];
    view->units = tensor->sizes[*unit], view->unit_step = tensor->steps[*unit];
    even = fold_positions(tensor, batch, *unit, view);
    if (!view->samples || !view->units) view->positions = 1;
    return (even && is_readable(view)) || !view->samples || !view->units || !view->positions;
}

static int take_bounds(PyObject *bounds, double found[2]) {
    if (bounds == Py_None) return 0;
    if (!PyTuple_Check(bounds) || PyTuple_GET_SIZE(bounds) != 2) {
        PyErr_SetString(PyExc_TypeError, "expected bounds as (low, high) or None");
        return -1;
    }
    for (int i = 0; i < 2; i++) found[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(bounds, i));
    return PyErr_Occurred() ? -1 : 1;
}

static void fill(const View *view, const Block *block) {
    if (block->header[ELEMENTS] < WORTH_A_RELEASE) {
        measure(view, block);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    measure(view, block);
    Py_END_ALLOW_THREADS
}

static PyObject *new_block(int64_t units, int64_t flags, Block *block) {
    if (units > PY_SSIZE_T_MAX / 128) return PyErr_NoMemory();
    size_t size = block_size(units, flags);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes) return NULL;
    int64_t *header = memset(PyBytes_AS_STRING(bytes), 0, size);
    header[UNITS] = units, header[FLAGS] = flags;
    *block = block_at(header);
    return bytes;
}

PyDoc_STRVAR(observe_doc, "observe(tensor, unit_axis, batch_axis, bounds)\n--\n\n"
             "Return (unit axis, samples, positions, units, elements, block) of a float32 tensor on the CPU; False\n"
             "where it must be made contiguous before, None where it has no memory or too many elements.");

static PyObject *observe(PyObject *module, PyObject *const *arguments, Py_ssize_t n) {
    Strided tensor;
    View view;
    Block block;
    double bounds[2];
    int unit, readable, bounded;
    int64_t elements, flags;
    if (n != 4) return PyErr_Format(PyExc_TypeError, "expected 4 arguments, got %zd", n);
    if (take_tensor(arguments[0], &tensor)) return NULL;
    readable = view_of(&tensor, arguments[1], arguments[2], &view, &unit);
    bounded = readable < 0 ? -1 : take_bounds(arguments[3], bounds);
    if (bounded < 0) return NULL;
    if (!readable) Py_RETURN_FALSE;
    elements = view.samples * view.positions * view.units;
    if (elements >= SMALL_COUNTS || view.units >= SMALL_COUNTS || (elements && !tensor.data)) Py_RETURN_NONE;
    flags = (view.positions != 1 ? HAS_ACROSS : 0) | (bounded ? HAS_LINEAR : 0);
    PyObject *bytes = new_block(view.units, flags, &block);
    if (!bytes) return NULL;
    block.header[ELEMENTS] = elements;
    if (bounded) block.low = (float)bounds[0], block.factor = (float)(LINEAR_BINS / (bounds[1] - bounds[0]));
    fill(&view, &block);
    find_quantiles(&block);
    return Py_BuildValue("iLLLLN", unit, (long long)view.samples, (long long)view.positions, (long long)view.units,
                         (long long)elements, bytes);
}

static int take_block(PyObject *bytes, Block *block) {
    if (!PyBytes_Check(bytes) || !is_block(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes))) {
        PyErr_Format(PyExc_TypeError, "expected a block that observe() returned, got %s", Py_TYPE(bytes)->tp_name);
        return -1;
    }
    *block = block_at(PyBytes_AS_STRING(bytes));
    return 0;
}

PyDoc_STRVAR(merge_doc, "merge(a, b)\n--\n\nReturn the block of both; None where a count may leave 32 bits.");

static PyObject *merge(PyObject *module, PyObject *const *arguments, Py_ssize_t n) {
    Block a, b, merged;
    if (n != 2) return PyErr_Format(PyExc_TypeError, "expected 2 arguments, got %zd", n);
    if (take_block(arguments[0], &a) || take_block(arguments[1], &b)) return NULL;
    if (a.header[UNITS] != b.header[UNITS])
        return PyErr_Format(PyExc_ValueError, "expected blocks of as many units, got %lld and %lld",
                            (long long)a.header[UNITS], (long long)b.header[UNITS]);
    if (a.header[ELEMENTS] + b.header[ELEMENTS] >= SMALL_COUNTS) Py_RETURN_NONE;
    int64_t across = (a.header[FLAGS] | b.header[FLAGS]) & HAS_ACROSS;
    int64_t linear = a.header[FLAGS] & b.header[FLAGS] & HAS_LINEAR;
    PyObject *bytes = new_block(a.header[UNITS], across | linear, &merged);
    if (!bytes) return NULL;
    merge_blocks(&a, &b, &merged);
    find_quantiles(&merged);
    return bytes;
}

int take_state(PyObject *state, Block *block, Facts *facts) {
    PyObject *saturated;
    if (!PyTuple_Check(state) || PyTuple_GET_SIZE(state) != 7) {
        PyErr_Format(PyExc_TypeError, "expected a TensorState, got %s", Py_TYPE(state)->tp_name);
        return -1;
    }
    if (take_block(PyTuple_GET_ITEM(state, 5), block)) return -1;
    facts->samples = PyLong_AsLongLong(PyTuple_GET_ITEM(state, 1));
    facts->positions = PyLong_AsLongLong(PyTuple_GET_ITEM(state, 2));
    saturated = PyTuple_GET_ITEM(state, 6);
    facts->saturated = saturated == Py_None ? (double)NAN : PyFloat_AsDouble(saturated);
    return PyErr_Occurred() ? -1 : 0;
}

PyDoc_STRVAR(describe_doc, "describe(states, dies)\n--\n\n"
             "Return as bytes the numbers of each state's row, in the order of schema.COUNTED.");

static PyObject *describe(PyObject *module, PyObject *const *arguments, Py_ssize_t n) {
    Block block;
    Facts facts;
    if (n != 2 || !PyList_Check(arguments[0]) || !PyList_Check(arguments[1]) ||
        PyList_GET_SIZE(arguments[0]) != PyList_GET_SIZE(arguments[1]))
        return PyErr_Format(PyExc_TypeError, "expected a list of states and one of as many truth values");
    Py_ssize_t rows = PyList_GET_SIZE(arguments[0]);
    PyObject *numbers = PyByteArray_FromStringAndSize(NULL, rows * NUMBERS * 8);
    if (!numbers) return NULL;
    for (Py_ssize_t i = 0; i < rows; i++) {
        facts.dies = PyObject_IsTrue(PyList_GET_ITEM(arguments[1], i));
        if (facts.dies < 0 || take_state(PyList_GET_ITEM(arguments[0], i), &block, &facts)) {
            Py_DECREF(numbers);
            return NULL;
        }
        summarise(&block, &facts, (double *)PyByteArray_AS_STRING(numbers) + i * NUMBERS);
    }
    return numbers;
}

/* Take the address and the number of the values of a contiguous tensor. */
static int take_flat(PyObject *tensor, const float **x, int64_t *n) {
    PyObject *number = call(tensor, name_numel);
    if (!number) return -1;
    *n = PyLong_AsLongLong(number);
    Py_DECREF(number);
    if (PyErr_Occurred() || take_address(tensor, x)) return -1;
    if (*n >= 0 && (*x || !*n)) return 0;
    PyErr_SetString(PyExc_ValueError, NO_MEMORY);
    return -1;
}

/* Units along the first axis, elements, rms, NaN count and Inf count. */
static int take_size(PyObject *tensor, double found[SIZE]) {
    Strided taken;
    int64_t elements = 1, counts[3];
    double sum;
    if (take_tensor(tensor, &taken)) return -1;
    for (int axis = taken.axes - 1; axis >= 0; axis--) {
        if (elements && taken.sizes[axis] != 1 && taken.steps[axis] != elements) {
            PyErr_SetString(PyExc_ValueError, "expected a contiguous tensor");
            return -1;
        }
        elements *= taken.sizes[axis];
    }
    if (elements && !taken.data) {
        PyErr_SetString(PyExc_ValueError, NO_MEMORY);
        return -1;
    }
    if (elements < WORTH_A_RELEASE) sum = sum_of_squares(taken.data, elements, counts);
    else {
        Py_BEGIN_ALLOW_THREADS
        sum = sum_of_squares(taken.data, elements, counts);
        Py_END_ALLOW_THREADS
    }
    found[0] = taken.axes ? (double)taken.sizes[0] : 1.0, found[1] = (double)elements;
    found[2] = sqrt(sum / (double)counts[0]);
    found[3] = (double)counts[1], found[4] = (double)counts[2];
    return 0;
}

PyDoc_STRVAR(sizes_doc, "sizes(tensors)\n--\n\n"
             "Return as float64 bytes, for each contiguous float32 tensor of a list: its length along the first axis,\n"
             "elements, rms over the finite ones, NaN count and Inf count.");

static PyObject *sizes(PyObject *module, PyObject *const *arguments, Py_ssize_t n) {
    if (n != 1 || !PyList_Check(arguments[0])) return PyErr_Format(PyExc_TypeError, "expected a list of tensors");
    Py_ssize_t rows = PyList_GET_SIZE(arguments[0]);
    PyObject *found = PyByteArray_FromStringAndSize(NULL, rows * SIZE * 8);
    if (!found) return NULL;
    for (Py_ssize_t i = 0; i < rows; i++)
        if (take_size(PyList_GET_ITEM(arguments[0], i), (double *)PyByteArray_AS_STRING(found) + i * SIZE)) {
            Py_DECREF(found);
            return NULL;
        }
    return found;
}

PyDoc_STRVAR(outside_doc, "outside(tensor, below, above)\n--\n\n"
             "Count contiguous float32 values below `below` or above `above`.");

static PyObject *outside(PyObject *module, PyObject *const *arguments, Py_ssize_t n) {
    const float *x;
    int64_t elements;
    double below, above;
    if (n != 3) return PyErr_Format(PyExc_TypeError, "expected 3 arguments, got %zd", n);
    below = PyFloat_AsDouble(arguments[1]), above = PyFloat_AsDouble(arguments[2]);
    if (PyErr_Occurred() || take_flat(arguments[0], &x, &elements)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    elements = count_outside(x, elements, (float)below, (float)above);
    Py_END_ALLOW_THREADS
    return PyLong_FromLongLong(elements);
}

static PyObject *name_instructions(PyObject *module, PyObject *nothing) { return PyUnicode_FromString(instructions()); }

static PyMethodDef methods[] = {
    {"observe", (PyCFunction)(void (*)(void))observe, METH_FASTCALL, observe_doc},
    {"merge", (PyCFunction)(void (*)(void))merge, METH_FASTCALL, merge_doc},
    {"describe", (PyCFunction)(void (*)(void))describe, METH_FASTCALL, describe_doc},
    {"pack", (PyCFunction)(void (*)(void))pack, METH_FASTCALL, pack_doc},
    {"sizes", (PyCFunction)(void (*)(void))sizes, METH_FASTCALL, sizes_doc},
    {"outside", (PyCFunction)(void (*)(void))outside, METH_FASTCALL, outside_doc},
    {"instructions", name_instructions, METH_NOARGS, "Return the instruction set in use."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "actdiag._kernels", "Statistics of a float32 tensor in one visit.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void) {
    name_data_ptr = PyUnicode_InternFromString("data_ptr"), name_shape = PyUnicode_InternFromString("shape");
    name_stride = PyUnicode_InternFromString("stride"), name_numel = PyUnicode_InternFromString("numel");
    if (!name_data_ptr || !name_shape || !name_stride || !name_numel) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (!module || PyModule_AddIntConstant(module, "LAYOUT", LAYOUT)) return NULL;
    return module;
}
