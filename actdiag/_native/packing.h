/* The arrays of rows in little room: bins that are not empty, units as float32 where that holds them. */
#ifndef ACTDIAG_PACKING_H
#define ACTDIAG_PACKING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "measure.h"
#include "summary.h"

/* Take what a TensorState (state.py) says beside its block, which is the sixth of its fields. */
int take_state(PyObject *state, Block *block, Facts *facts);

extern const char pack_doc[];
PyObject *pack(PyObject *module, PyObject *const *arguments, Py_ssize_t n);

#endif
