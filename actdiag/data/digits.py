"""scikit-learn's handwritten digits: 1797 samples, 8 x 8 pixels of 0 to 16, 10 classes."""

from __future__ import annotations

import torch

from actdiag.data.batch import Batch, draw_batch
from actdiag.errors import ActdiagError
from actdiag.types import RunSpec


def load(spec: RunSpec, parameter: str = "") -> Batch:
    """Draw a batch of the digits, inputs `(batch, 64)`.

    Raises:
        ActdiagError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ActdiagError("data 'digits' needs scikit-learn: pip install 'actdiag[data]'") from error
    inputs, targets = load_digits(return_X_y=True)
    return draw_batch(spec, torch.tensor(inputs), torch.tensor(targets, dtype=torch.int64))
