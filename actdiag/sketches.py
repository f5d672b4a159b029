"""What a figure shows, as numbers and words; `actdiag.drawings` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actdiag.panels import Panel, activation_panels, gradient_panels
from actdiag.recording import Recording
from actdiag.rules.base import Run


@dataclass(frozen=True)
class Row:
    """A row of histograms, one per layer."""

    label: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Histograms:
    """The lectures' figure: rows are initialisers, columns are layers.

    Attributes:
        name: of the file, without its ending.
        heading: above the figure.
        alt: what it shows, in a sentence, for those who do not see it.
        rows: from above.
        gradients: of gradients, not of activations.
    """

    name: str
    heading: str
    alt: str
    rows: tuple[Row, ...]
    gradients: bool = False


@dataclass(frozen=True)
class Series:
    """A line with its points.

    Attributes:
        label: in the legend.
        xs: (points,) where.
        ys: (points,) values; gaps where they are not finite or, on a log axis, not above 0.
        low: (points,) lower end of a shaded band, empty for none.
        high: (points,) upper end.
        theory: predicted: dashed, without points.
        group: series of one group share a colour, as theory and what was measured; "" is the label.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    theory: bool = False
    group: str = ""


@dataclass(frozen=True)
class Chart:
    """One pair of axes."""

    heading: str
    x: str
    y: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Charts:
    """One to four charts side by side.

    Attributes:
        name: of the file, without its ending.
        heading: above the figure.
        alt: what it shows, in a sentence, for those who do not see it.
        charts: from the left.
    """

    name: str
    heading: str
    alt: str
    charts: tuple[Chart, ...]


Sketch = Histograms | Charts


def activations(label: str, recording: Recording) -> Row:
    """Return the histograms of the activations of a recording's first run."""
    return Row(label, tuple(activation_panels(Run.of(recording, recording.runs[0]), one_axis=True)))


def gradients(label: str, recording: Recording) -> Row:
    """Return the histograms of the gradients of a recording's first run."""
    return Row(label, tuple(gradient_panels(Run.of(recording, recording.runs[0]), one_axis=True)))
