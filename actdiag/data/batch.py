"""A batch, and how one is drawn from a whole data set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from actdiag.errors import ActdiagError, UsageError
from actdiag.types import RunSpec

_LARGEST = torch.finfo(torch.float32).max
_MOST_CLASSES = 1000
_BLOCK = 4096


@dataclass(frozen=True)
class Batch:
    """The samples of one scan, on the CPU.

    Attributes:
        inputs: `(batch, features)`, float32; float64 where real data meet a float64 spec.
        targets: `(batch,)` int64, class numbers 0 to classes - 1.
        classes: number of classes.
        note: what the reader should know of the draw, normally empty.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    classes: int
    note: str = ""


def data_generator(seed: int) -> torch.Generator:
    """Return the generator of the data stream for `seed`.

    Its state comes from sha256("data <seed>"), so that data do not correlate with weights that are
    drawn from `seed` itself, or with data of a neighbouring seed.
    """
    digest = hashlib.sha256(f"data {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def draw_batch(spec: RunSpec, inputs: torch.Tensor, targets: torch.Tensor) -> Batch:
    """Draw `spec.batch` samples without replacement from a whole data set.

    Args:
        spec: the run; its data, batch, classes, standardise, dtype and seed count here.
        inputs: `(samples, features)`, any real dtype.
        targets: `(samples,)` int64, class numbers from 0.

    Raises:
        UsageError: `spec.classes` below what the data hold.
        ActdiagError: inputs beyond float32, NaN or infinite; class numbers that are none.
    """
    _check_range(spec.data, inputs)
    classes = _count_classes(spec, targets)
    chosen = torch.randperm(len(inputs), generator=data_generator(spec.seed))[: spec.batch]
    values = inputs[chosen].to(torch.float64)
    if spec.standardise:
        centre, scale = column_moments(inputs)
        values = (values - centre) / scale
    dtype = torch.float64 if spec.dtype == "float64" else torch.float32
    return Batch(values.to(dtype), targets[chosen], classes, _note(spec, len(inputs)))


def column_moments(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each column's mean and population standard deviation, `(features,)` float64.

    A constant column has its value as centre and an infinite scale, so that `(x - centre) / scale` is 0.

    >>> centre, scale = column_moments(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    >>> centre.tolist(), scale.tolist()
    ([2.0, 7.0], [1.0, inf])
    """
    samples = len(inputs)
    blocks = [inputs[start : start + _BLOCK] for start in range(0, samples, _BLOCK)]
    zeros = torch.zeros(inputs.shape[1], dtype=torch.float64)
    mean = sum((block.to(torch.float64).sum(0) for block in blocks), zeros) / samples
    squares = sum(((block.to(torch.float64) - mean).square().sum(0) for block in blocks), zeros)
    deviation = (squares / samples).sqrt()
    low, high = inputs.aminmax(dim=0)
    # The mean of equal floats can be off by one rounding: only the extremes tell a constant column.
    constant = (low == high) | (deviation == 0)
    return torch.where(constant, low.to(torch.float64), mean), deviation.masked_fill(constant, torch.inf)


def _check_range(data: str, inputs: torch.Tensor) -> None:
    low, high = (float(extreme) for extreme in inputs.aminmax())
    largest = max(abs(low), abs(high))
    if not largest <= _LARGEST:
        sample, feature = (~(inputs.abs() <= _LARGEST)).nonzero()[0].tolist()
        raise ActdiagError(
            f"the inputs of '{data}' must be finite numbers that float32 holds (up to {_LARGEST:.2g}), "
            f"got {float(inputs[sample, feature]):.2g} in sample {sample}, feature {feature}, from 0: "
            "clean or rescale them"
        )


def _count_classes(spec: RunSpec, targets: torch.Tensor) -> int:
    held = int(targets.max()) + 1
    if spec.classes is not None and spec.classes < held:
        raise UsageError(
            f"'{spec.data}' holds classes 0 to {held - 1}, got classes {spec.classes}: "
            f"give at least {held} or leave --classes out"
        )
    if spec.classes is None and held > max(_MOST_CLASSES, len(targets)):
        raise ActdiagError(
            f"the targets of '{spec.data}' must be class numbers from 0, got {held - 1} among "
            f"{len(targets)} samples: number the classes, or give --classes {held} if it is meant"
        )
    return spec.classes or held


def _note(spec: RunSpec, samples: int) -> str:
    if spec.batch <= samples:
        return ""
    return f"{spec.data} has {samples} samples: batch is {samples}, not {spec.batch}"
