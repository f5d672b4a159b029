"""Data for one scan: a batch of inputs and class numbers, drawn from the source that the spec names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from actdiag.data.batch import Batch
from actdiag.sources import SOURCES, check_features, parse_source
from actdiag.types import RunSpec

__all__ = ["SOURCES", "Batch", "load_batch"]


def load_batch(spec: RunSpec) -> Batch:
    """Return the batch that `spec.data` names: inputs `(batch, features)`, targets `(batch,)`.

    The same spec draws the same batch. Of real data, the columns are standardised over the whole data
    set (`spec.standardise`) and `spec.batch` samples are drawn without replacement.

    Raises:
        UsageError: an unknown source, or features or classes that do not agree with real data.
        ActdiagError: data that cannot be read.

    >>> batch = load_batch(RunSpec(width=20, batch=8))
    >>> tuple(batch.inputs.shape), tuple(batch.targets.shape), batch.classes
    ((8, 20), (8,), 10)
    """
    source, parameter = parse_source(spec.data)
    check_features(spec.data, spec.features)
    load: Callable[[RunSpec, str], Batch] = import_module(f"actdiag.data.{source.module}").load
    return load(spec, parameter)
