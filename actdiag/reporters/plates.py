"""The plates of a comparison's page: for each activation its classic figure and its depth profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from actdiag.comparisons import Comparison, Sheet
from actdiag.reporters.families import SLOTS, Series, family_chart, series_of
from actdiag.reporters.networks import Network
from actdiag.reporters.strips import layer_numbers

QUANTITIES = (
    ("rms", "rms of the activation"),
    ("std_across", "std_across: are samples still apart?"),
    ("gradient norm", "norm of a sample's gradient"),
)
_OPEN = 3
"""Plates that are unfolded at first."""
_FEW = 4
"""Lines with which theory is drawn for all of them."""


@dataclass(frozen=True)
class Chart:
    """A depth profile of a family: id of its frame, what it shows, the drawing, ids of its lines."""

    name: str
    heading: str
    drawing: Markup
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Plate:
    """One activation in one matrix.

    Attributes:
        name: unique in the page.
        label: what sets its matrix apart.
        act: the activation.
        members: initialiser, its slot and the network.
        columns: heads of the histograms' columns.
        charts: the depth profiles.
        few: whether theory is shown without being asked for.
        opened: whether it is unfolded at first.
    """

    name: str
    label: str
    act: str
    members: tuple[tuple[str, int, Network], ...]
    columns: Markup
    charts: tuple[Chart, ...]
    few: bool
    opened: bool

    @property
    def lines(self) -> frozenset[str]:
        """Return the ids of all lines."""
        return frozenset(name for chart in self.charts for name in chart.lines)

    @property
    def shown(self) -> Network:
        """Return the network that has the most columns."""
        return max((member for _, _, member in self.members), key=lambda member: len(member.layers))


def plates(comparison: Comparison, networks: Mapping[str, Network]) -> list[Plate]:
    """Return the plates, matrix by matrix."""
    found = [
        plate for place, sheet in enumerate(comparison.sheets) for plate in _plates(sheet, networks, place)
    ]
    return [replace(plate, opened=number < _OPEN) for number, plate in enumerate(found)]


def plate_of(found: Sequence[Plate]) -> dict[int, Plate]:
    """Return the plate that each network is on, by the network's number."""
    return {member.number: plate for plate in found for _, _, member in plate.members}


def _plates(sheet: Sheet, networks: Mapping[str, Network], place: int) -> Iterator[Plate]:
    for row, act in enumerate(sheet.acts):
        cells = ((slot, init, sheet.cells.get((act, init))) for slot, init in enumerate(sheet.inits))
        members = tuple(
            (init, slot % SLOTS, networks[cell.runs[0]]) for slot, init, cell in cells if cell is not None
        )
        name = f"{place}-{row}"
        ran = [(init, slot, member) for init, slot, member in members if member.ran]
        charts = tuple(_charts(name, ran)) if ran else ()
        layers = max((member.layers for _, _, member in members), key=len)
        yield Plate(name, sheet.label, act, members, layer_numbers(layers), charts, len(ran) <= _FEW, False)


def _charts(name: str, members: list[tuple[str, int, Network]]) -> Iterator[Chart]:
    for letter, (quantity, heading) in zip("fsb", QUANTITIES, strict=True):
        series = []
        for init, slot, member in members:
            profile = member.backward if letter == "b" else member.forward
            curves = series_of(profile, quantity)
            if curves is not None and curves[0].layers.size:
                series.append(Series(f"{letter}{member.number}", slot, init, *curves))
        scale = members[0][2].backward.scale if letter == "b" else 1.0
        drawing = family_chart(f"{letter}{name}", heading, series, scale, backward=letter == "b")
        yield Chart(f"{letter}{name}", heading, drawing, tuple(each.name for each in series))
