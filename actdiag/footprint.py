"""How much memory a network of the tool's own takes, before it is built: counted, not measured."""

from __future__ import annotations

from actdiag.activations import activation
from actdiag.types import RunSpec

KEEP_OUTPUT = frozenset(("linear", "relu", "sigmoid", "step", "tanh"))
"""Activations whose derivative torch takes of their output, which the next layer keeps anyway."""
LAYER, CELL, WORKER = 150_000, 150_000, 300_000_000
"""Bytes, measured: of modules, hooks and rows of a layer; of a compared network; of a worker, roughly."""
COMPARED = 9_500
"""Bytes, measured, of each layer of a compared network."""
GIVEN_BACK = 32 * 2**20
"""Bytes of a block; glibc keeps smaller ones for itself when they are free again."""
SCATTERED = 8
"""Tensors of each layer, measured, that are lost among such blocks where the C kernel cannot read."""
_SIZES = {"bfloat16": 2, "float32": 4, "float64": 8}


def parameters(spec: RunSpec, features: int, classes: int) -> int:
    """Return the number of weights and biases of a spec's network.

    >>> parameters(RunSpec(depth=2, width=8), 4, 3)
    139
    """
    if not spec.depth:
        return (features + 1) * classes
    units = activation(spec.act).pieces * spec.width
    return (features + 1 + (spec.depth - 1) * (spec.width + 1)) * units + (spec.width + 1) * classes


def run_bytes(spec: RunSpec, features: int, classes: int) -> int:
    """Return about how many bytes it takes to build a network, run it forward and backward, and record it.

    Weights are drawn in float32; then there are weights and gradients in the spec's type. Of each layer,
    autograd keeps what its parts need for their derivatives, (batch, width) each.

    Args:
        spec: of the network.
        features: of its inputs.
        classes: of its outputs.
    """
    size = _SIZES[spec.dtype]
    weights = max(4, 2 * size) * parameters(spec, features, classes)
    of_units, of_inputs = size * spec.batch * spec.width, (size + 4 * (size != 4)) * spec.batch * features
    kept = kept_tensors(spec) + SCATTERED * (size != 4 and of_units < GIVEN_BACK)
    return int(
        weights
        + of_inputs
        + of_units * (kept * spec.depth + 2)
        + 3 * size * spec.batch * classes
        + spec.depth * LAYER
    )


def kept_tensors(spec: RunSpec) -> float:
    """Return how many tensors of a hidden layer autograd keeps."""
    act = activation(spec.act)
    own = 1 if act.name in KEEP_OUTPUT else 1 + act.pieces
    return own + (spec.norm != "none") + 1.25 * (spec.dropout > 0.0) + spec.residual


def grid_bytes(cells: int, depth: int, workers: int = 1) -> int:
    """Return about how many bytes the results of compared networks take, and the workers that measure them.

    Args:
        cells: networks.
        depth: of the shallowest.
        workers: processes beside this one; 1 is none.
    """
    return cells * (CELL + depth * COMPARED) + (workers > 1) * workers * WORKER
