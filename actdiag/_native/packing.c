/* See packing.h. What comes out is read by native.pack; the units' formulas are those of summary.units_of. */
#include "packing.h"

#include <math.h>
#include <string.h>

#define FIELDS 5 /* mean, std, std_across, highest, lowest */
#define SKIP 8   /* bins that are looked at together */

typedef struct {
    char *data;
    size_t used, room;
} Buffer;

enum { LOG_LENGTHS, BINS, COUNTS, LINEAR_LENGTHS, LINEAR_PLACES, LINEAR_COUNTS, UNIT_COUNTS, SEEN, NARROW, WIDE, BUFFERS };

/* Return where `size` more bytes may be written; NULL without memory. */
static void *more(Buffer *buffer, size_t size) {
    if (buffer->used + size > buffer->room) {
        size_t room = 2 * (buffer->used + size);
        char *data = PyMem_Realloc(buffer->data, room);
        if (!data) return NULL;
        buffer->data = data, buffer->room = room;
    }
    return buffer->data + buffer->used;
}

static int put(Buffer *buffer, const void *value, size_t size) {
    void *place = more(buffer, size);
    if (!place) return -1;
    memcpy(place, value, size);
    buffer->used += size;
    return 0;
}

/* Write down the bins that are not empty, and how many they are. */
static int put_bins(const uint32_t *histogram, int size, Buffer *lengths, Buffer *bins, Buffer *counts) {
    uint16_t *number = more(bins, sizeof *number * (size_t)size);
    uint32_t *count = more(counts, sizeof *count * (size_t)size);
    int64_t kept = 0;
    if (!number || !count) return -1;
    for (int start = 0; start < size; start += SKIP) {
        uint32_t any = 0;
        for (int i = 0; i < SKIP; i++) any |= histogram[start + i];
        if (!any) continue;
        for (int bin = start; bin < start + SKIP; bin++)
            if (histogram[bin]) number[kept] = (uint16_t)bin, count[kept++] = histogram[bin];
    }
    bins->used += sizeof *number * (size_t)kept, counts->used += sizeof *count * (size_t)kept;
    return put(lengths, &kept, sizeof kept);
}

static double std_of(const double *sums, int64_t units, int64_t u) {
    double n = sums[N * units + u], first = sums[FIRST * units + u];
    double m2 = sums[SECOND * units + u] - first * (first / n);
    return sqrt((m2 > 0.0 ? m2 : 0.0) / n);
}

/* Fill (6, units): the finite values of each and its fields. */
static void find_units(const Block *block, int64_t samples, double *found) {
    int64_t units = block->header[UNITS];
    const double *sums = block->sums, *across = block->across ? block->across : sums;
    for (int64_t u = 0; u < units; u++) {
        double n = sums[N * units + u];
        found[u] = n;
        found[units + u] = sums[PIVOT * units + u] + sums[FIRST * units + u] / n;
        found[2 * units + u] = std_of(sums, units, u);
        found[3 * units + u] = samples < 2 ? NAN : std_of(across, units, u);
        found[4 * units + u] = n > 0.0 ? sums[HIGHEST * units + u] : NAN;
        found[5 * units + u] = n > 0.0 ? sums[LOWEST * units + u] : NAN;
    }
}

/* Whether float32 keeps the magnitude of every field, see table._as_float32: then they are rounded to it. */
static int narrow_fields(double *fields, int64_t n, float *narrow) {
    int lost = 0;
    for (int64_t i = 0; i < n; i++) {
        float value = narrow[i] = (float)fields[i];
        lost |= (value == 0.0f && fields[i] != 0.0) || value == INFINITY || value == -INFINITY;
    }
    if (lost) return 0;
    for (int64_t i = 0; i < n; i++) fields[i] = narrow[i];
    return 1;
}

static int are_equal(const double *x, int64_t n) {
    int uneven = 0;
    for (int64_t i = 1; i < n; i++) uneven |= x[i] != x[0];
    return n > 0 && !uneven;
}

static int put_units(const Block *block, int64_t samples, Buffer *buffers) {
    int64_t units = block->header[UNITS];
    size_t fields = FIELDS * (size_t)units, whole = fields + (size_t)units;
    double *found = more(&buffers[WIDE], 8 * whole), seen = NAN;
    float *narrow = more(&buffers[NARROW], 4 * fields);
    if (!found || !narrow) return -1;
    find_units(block, samples, found);
    if (narrow_fields(found + units, FIELDS * units, narrow) && are_equal(found, units))
        seen = found[0], buffers[NARROW].used += 4 * fields;
    else buffers[WIDE].used += 8 * whole;
    return put(&buffers[UNIT_COUNTS], &units, sizeof units) || put(&buffers[SEEN], &seen, sizeof seen) ? -1 : 0;
}

static int put_row(PyObject *state, Buffer *buffers) {
    static const int64_t none = -1;
    Block block;
    Facts facts;
    if (take_state(state, &block, &facts)) return -1;
    int failed = put_bins(block.log, LOG_BINS, buffers + LOG_LENGTHS, buffers + BINS, buffers + COUNTS);
    if (block.linear)
        failed |= put_bins(block.linear, LINEAR_BINS, buffers + LINEAR_LENGTHS, buffers + LINEAR_PLACES,
                           buffers + LINEAR_COUNTS);
    else failed |= put(buffers + LINEAR_LENGTHS, &none, sizeof none);
    if (!failed) failed = put_units(&block, facts.samples, buffers);
    if (failed) PyErr_NoMemory();
    return failed ? -1 : 0;
}

static PyObject *as_tuple(const Buffer *buffers) {
    PyObject *parts = PyTuple_New(BUFFERS);
    for (int i = 0; parts && i < BUFFERS; i++) {
        PyObject *bytes = PyBytes_FromStringAndSize(buffers[i].data, (Py_ssize_t)buffers[i].used);
        if (!bytes) Py_CLEAR(parts);
        else PyTuple_SET_ITEM(parts, i, bytes);
    }
    return parts;
}

const char pack_doc[] =
    "pack(states)\n--\n\n"
    "Return as bytes of each state's histogram the number, places and counts of bins that are not empty; the same\n"
    "of its linear one (-1 for none); its units, the values that each saw, NaN where its (6, units) are among the\n"
    "last, float64; (5, units) float32 of the others; those.";

PyObject *pack(PyObject *module, PyObject *const *arguments, Py_ssize_t n) {
    Buffer buffers[BUFFERS] = {{0}};
    PyObject *parts = NULL;
    int failed = 0;
    if (n != 1 || !PyList_Check(arguments[0])) return PyErr_Format(PyExc_TypeError, "expected a list of states");
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(arguments[0]); i++)
        failed = put_row(PyList_GET_ITEM(arguments[0], i), buffers);
    if (!failed) parts = as_tuple(buffers);
    for (int i = 0; i < BUFFERS; i++) PyMem_Free(buffers[i].data);
    return parts;
}
