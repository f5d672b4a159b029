"""The figures as PNG: two of a run, three of a comparison."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actdiag.comparisons import Comparison, is_comparison
from actdiag.profiles import shown_run
from actdiag.recording import Recording
from actdiag.reporters.base import REPORTERS
from actdiag.types import Diagnosis

if TYPE_CHECKING:
    from actdiag.plots import Picture


@REPORTERS.row("png")
def png_report(recording: Recording, diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return distributions.png and profile.png of the run that stands for the verdict.

    Of a comparison they show all its networks, and matrix.png comes first. What does not fit on a page goes
    on in distributions-2.png and so on.
    """
    from actdiag import plots

    if is_comparison(recording):
        comparison = Comparison(recording, diagnosis)
        return {
            **_pages("matrix", plots.matrix(comparison)),
            **_pages("distributions", plots.classic(comparison)),
            **_pages("profile", plots.depths(comparison)),
        }
    run = shown_run(recording, diagnosis)
    return {
        **_pages("distributions", [plots.distributions(run)]),
        **_pages("profile", [plots.profile(run)]),
    }


def _pages(name: str, pictures: Sequence[Picture]) -> dict[str, bytes]:
    """Return the same bytes for the same pictures, by file name."""
    return {
        f"{name}-{number}.png" if number > 1 else f"{name}.png": _png(picture)
        for number, picture in enumerate(pictures, start=1)
    }


def _png(picture: Picture) -> bytes:
    """Draw a picture: no date, no version."""
    from actdiag.plots import styled

    buffer = io.BytesIO()
    with styled():
        picture.figure().savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
