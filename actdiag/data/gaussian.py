"""White noise: the data for which the theory of random networks is written."""

from __future__ import annotations

import torch

from actdiag.data.batch import Batch, data_generator
from actdiag.types import RunSpec

_CLASSES = 10


def load(spec: RunSpec, parameter: str = "") -> Batch:
    """Draw inputs `x_ij ~ N(0, 1)`, `(batch, features)`, and uniform labels, `(batch,)`.

    Features default to the width, classes to 10. The stream is `data_generator(spec.seed)`. Independent
    features of variance 1 are white in expectation, so `spec.standardise` changes nothing.

    >>> load(RunSpec(width=4, batch=3)).inputs.shape
    torch.Size([3, 4])
    """
    generator = data_generator(spec.seed)
    classes = spec.classes or _CLASSES
    inputs = torch.randn(spec.batch, spec.features or spec.width, generator=generator)
    return Batch(inputs, torch.randint(classes, (spec.batch,), generator=generator), classes)
