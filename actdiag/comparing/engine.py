"""Compare: every spec measured, one recording of all."""

from __future__ import annotations

from collections.abc import Iterable

from actdiag.recording import Recording, concatenate
from actdiag.scanning import scan
from actdiag.types import RunSpec


def compare(specs: Iterable[RunSpec]) -> Recording:
    """Measure networks at initialisation, each as `actdiag.scan` does; return one recording of all runs."""
    return concatenate([scan(spec) for spec in specs])
