"""How far a network's Jacobian is from an isometry: measured on request, kept with the recording."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from actdiag.batches import ModelBatch
from actdiag.errors import ActdiagError
from actdiag.importing import one_line
from actdiag.jacobians import between, jacobian_of, mean_square, passes, singular_values
from actdiag.recording import Recording
from actdiag.rules.base import Run

STEPS = 64
"""Lanczos steps, each a product with J and one with J^T: the largest singular value is found in a few."""
PROBES = 32
"""Random vectors for the mean square, where the singular values are not all found."""
SAMPLES = 4
"""Samples whose Jacobians are looked at, the first ones of the batch."""


@dataclass(frozen=True)
class Jacobian:
    """Singular values of dz_last/dz_first, between two hidden layers' preactivations; medians over samples.

    Attributes:
        first: the first hidden layer's module.
        last: the last one's.
        layers: how many layers lie between them: 1 for neighbours.
        samples: how many samples were looked at.
        largest: the largest singular value.
        smallest: the smallest one, 0 below rounding error; where not `complete`, only a bound from above.
        mean_square: mean of the squared singular values: 1 for an isometry, chi^layers in mean-field theory.
        top_share: share of the sum of squares that the largest alone has.
        complete: all singular values were found.
    """

    first: str
    last: str
    layers: int
    samples: int
    largest: float
    smallest: float
    mean_square: float
    top_share: float
    complete: bool

    @property
    def condition(self) -> float:
        """Return the condition number, largest / smallest; at least so much where not complete."""
        return self.largest / self.smallest if self.smallest else math.inf

    @property
    def per_layer(self) -> float:
        """Return the mean square per layer, mean_square^(1 / layers): chi in mean-field theory."""
        return float(self.mean_square ** (1.0 / self.layers))


def of_chain(
    model: nn.Module, batch: ModelBatch, recording: Recording, samples: int = SAMPLES, steps: int = STEPS
) -> Jacobian:
    """Return the Jacobian of the longest chain of hidden layers that a recording of the model found.

    Raises:
        ActdiagError: fewer than two hidden layers, or derivatives that do not exist or are not finite.
    """
    chain = Run.of(recording, recording.runs[0]).chain
    if len(chain) < 2:
        raise ActdiagError("a Jacobian between layers needs two hidden layers on one chain")
    try:
        start, end = between(model, batch, chain[0], chain[-1])
        count = min(samples, len(start), len(end))
        if not count:
            raise ActdiagError("a Jacobian needs a sample, and the batch has none")
        if not all(bool(part[:count].isfinite().all()) for part in (start, end)):
            raise ActdiagError("the preactivations are not finite, so there is no Jacobian to speak of")
        if not passes(end, start):
            raise ActdiagError(f"no gradient passes from '{chain[-1]}' back to '{chain[0]}'")
        found = [_of_sample(start, end, sample, steps) for sample in range(count)]
    except ActdiagError:
        raise
    except Exception as error:  # an operation without a second derivative, a layer that is no module
        place = f"between '{chain[0]}' and '{chain[-1]}'"
        raise ActdiagError(f"no Jacobian {place}: {one_line(error)}") from error
    largest, smallest, square, share = (
        statistics.median(each[place] for each in found) for place in range(4)
    )
    complete = all(each[4] for each in found)
    return Jacobian(chain[0], chain[-1], len(chain) - 1, count, largest, smallest, square, share, complete)


def _of_sample(start: Any, end: Any, sample: int, steps: int) -> tuple[float, float, float, float, bool]:
    """Return one sample's largest, smallest, mean square, top share, and whether all values were found."""
    matrix = jacobian_of(end, start, sample)
    values = singular_values(matrix, steps)
    size = min(matrix.rows, matrix.columns)
    complete = len(values) == size
    square = float(values.square().mean()) if complete else mean_square(matrix, PROBES)
    largest = float(values[0])
    share = min(largest**2 / (size * square), 1.0) if square else 0.0
    return largest, float(values[-1]), square, share, complete


def with_jacobian(recording: Recording, model: nn.Module, batch: ModelBatch) -> Recording:
    """Return the recording of one run with the numbers of its Jacobian, or the reason why there are none."""
    (run,) = recording.runs
    try:
        found: dict[str, Any] = asdict(of_chain(model, batch, recording))
    except ActdiagError as error:
        found = {"reason": str(error)}
    runs = {run: {**recording.meta["runs"][run], "jacobian": found}}
    return replace(recording, meta={**recording.meta, "runs": runs})
