"""One network's own part of a comparison's page: what its own report says, in short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from actdiag.comparisons import ORDER, Cell, Comparison, Gain
from actdiag.diagnosis import in_order
from actdiag.numerals import numeral
from actdiag.panels import Panel, activation_panels, gradient_panels
from actdiag.profiles import Profile, backward_profile, forward_profile
from actdiag.reporters.pages import finding_words, layer_rows
from actdiag.reporters.strips import Strip, chosen_layers, strip
from actdiag.rules.base import Run
from actdiag.types import Diagnosis, RunSpec
from actdiag.verdicts import FAILED, NOT_JUDGED


@dataclass(frozen=True)
class Network:
    """A network of a comparison, as the page shows it.

    Attributes:
        number: its place among the networks; part of its ids.
        cell: its draws and their verdict.
        run: the draw that is shown.
        diagnosis: what the rules say of that draw.
        forward: rms and std_across against depth.
        backward: the gradient's norm against depth.
        layers: the numbers of the layers that are shown.
        depth: how many layers there are to show.
        activations: their histograms.
        gradients: the same of the gradients.
    """

    number: int
    cell: Cell
    run: Run
    diagnosis: Diagnosis
    forward: Profile
    backward: Profile
    layers: tuple[int, ...]
    depth: int
    activations: Strip
    gradients: Strip

    @property
    def anchor(self) -> str:
        """Return the id that links lead to."""
        return f"r{self.number}"

    @property
    def ran(self) -> bool:
        """Return whether there is anything measured to show."""
        return self.cell.verdict != FAILED

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return what the recording says of the shown draw."""
        return self.run.facts

    @property
    def command(self) -> list[str]:
        """Return the command line that runs it alone, in parts that should not be broken."""
        command = self.facts.get("command") or RunSpec(**self.facts["spec"]).command()
        return str(command).split(" --")

    @property
    def votes(self) -> str:
        """Return what the draws say and which is shown; "" where there is one."""
        if len(self.cell.runs) == 1:
            return ""
        ordered = sorted(self.cell.votes.items(), key=lambda vote: (-vote[1], -ORDER.index(vote[0])))
        told = "; ".join(f"{count} of {len(self.cell.runs)} draws: {verdict}" for verdict, count in ordered)
        return f"{told}. Shown: seed {self.facts['spec']['seed']}." if self.ran else f"{told}."

    @property
    def agreement(self) -> str:
        """Return how many draws got the verdict, where not all did."""
        count = self.cell.votes[self.cell.verdict]
        return "" if count == len(self.cell.runs) else f"{count}/{len(self.cell.runs)}"

    @cached_property
    def findings(self) -> list[dict[str, Any]]:
        """Return the findings in order; a remedy that was told before is left out."""
        found = in_order(self.diagnosis.findings)
        told = [finding.remedy for finding in found]
        return [
            {**finding_words(finding), "again": finding.remedy in told[:place]}
            for place, finding in enumerate(found)
        ]

    @property
    def reasons(self) -> list[str]:
        """Return why nothing could be judged, each reason once."""
        if self.cell.verdict != NOT_JUDGED:
            return []
        return list(dict.fromkeys(outcome.reason for outcome in self.diagnosis.skipped))

    @property
    def table(self) -> dict[str, Any]:
        """Return the table of the shown layers, the input and the head."""
        last = int(self.facts["spec"]["depth"]) + 1
        return layer_rows(self.run, {0, *self.layers, last})

    @property
    def gains(self) -> list[tuple[str, str, str]]:
        """Return quantity, measured gain and expected gain, "" for what is not known."""
        named = (
            ("activation's rms, up", self.cell.size),
            ("std_across, up", self.cell.signal),
            ("gradient's norm, down", self.cell.gradient),
        )
        return [(name, *_both(gain)) for name, gain in named]


def network(comparison: Comparison, cell: Cell, number: int) -> Network:
    """Return a network's part, its numbers taken from the draw that stands for it."""
    run = comparison.run(cell)
    activations, gradients = activation_panels(run, one_axis=True), gradient_panels(run, one_axis=True)
    layers = [panel.layer for panel in activations or gradients]
    chosen = chosen_layers(layers)
    return Network(
        number,
        cell,
        run,
        comparison.judged(cell.shown),
        forward_profile(run),
        backward_profile(run),
        tuple(chosen),
        len(layers),
        strip(f"a{number}", _only(activations, chosen)),
        strip(f"g{number}", _only(gradients, chosen)),
    )


def sources(parts: Iterable[Network]) -> dict[str, tuple[str, str]]:
    """Return, by what is said of where a threshold comes from, an id for it and whose threshold it is."""
    found: dict[str, tuple[str, str]] = {}
    for finding in (finding for part in parts for finding in part.diagnosis.findings):
        source = str(finding.evidence.get("threshold_source", ""))
        if source:
            found.setdefault(source, (f"t{len(found)}", f"{finding.name} ({finding.code})"))
    return found


def _only(panels: list[Panel], layers: list[int]) -> list[Panel]:
    return [panel for panel in panels if panel.layer in layers]


def _both(gain: Gain) -> tuple[str, str]:
    measured, expected = (
        "" if value != value else f"\u00d7{numeral(value, padded=True)}"
        for value in (gain.measured, gain.expected)
    )
    return measured, expected
