"""The two figures as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from actdiag.profiles import shown_run
from actdiag.recording import Recording
from actdiag.reporters.base import REPORTERS
from actdiag.types import Diagnosis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@REPORTERS.row("png")
def png_report(recording: Recording, diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return distributions.png and profile.png of the run that stands for the verdict."""
    from actdiag import plots

    run = shown_run(recording, diagnosis)
    return {
        "distributions.png": _png(plots.distributions(run)),
        "profile.png": _png(plots.profile(run)),
    }


def _png(figure: Figure) -> bytes:
    """Return the same bytes for the same figure: no date, no version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
