"""AD001: modules were not observed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from actdiag.coverage import Coverage, Gap, some
from actdiag.rules.base import Rule, Run, register
from actdiag.types import Finding, Severity

WHOLE_NUMBERS = re.compile(r"(.* is )?(an? )?(bool|u?int\d+)( tensor)?")
REMEDIES = (
    (
        "got a gradient though",
        "Call it through module(x): module.forward(x), or its weight in a function, passes by the hooks.",
    ),
    ("not called", "Call them in forward(), or remove them; nothing, if other steps use them."),
    ("tensors=", "Attach with tensors='all' to see what they return."),
    ("not selected", "Widen select= to see them."),
    ("passive", "Attach without passive=True to see them."),
    ("after attach", "Attach once the model is complete."),
    ("TorchScript|torch.jit", "Attach to the Python module before torch.jit.script or torch.jit.trace."),
    (
        "generator|computed later|looked into",
        "Return tensors, alone or in a tuple, list, dict or dataclass.",
    ),
    ("torch.func", "Run the step without vmap, grad or jvp to see them."),
    ("CUDA graph", "Run the step without a CUDA graph to see them."),
    ("meta|fake", "Give the model values: tensors on the meta device have none."),
    (
        "sparse|complex|nested|quantised",
        "Look at the modules around them: such tensors are not measured.",
    ),
)
"""What to do, by what a reason says."""


@register
@dataclass(frozen=True)
class UnobservedModule(Rule):
    """Find modules whose output could not be seen, or only a part of it.

    What it measures:
        Nothing: it lists the modules, containers left out, of which the recording says that they were not
        observed or that some of their tensors were not, by reason.

    Why it matters:
        No rule can judge what was not seen. It is a warning where a module ran: the verdict may miss
        something there. It is worth knowing only (info) where a module was not called, where the user chose
        not to see it (select=, tensors=, passive=True), and where what is missing are whole numbers, which
        carry no gradient.

    What to do:
        Not called: call it in forward(), or remove it; nothing, if other steps use it. A gradient without a
        call: call it through module(x), not module.forward(x). Not selected: widen select=. Passive: attach
        without passive=True. TorchScript: attach to the Python module before scripting or tracing it.
        Generators and objects of one's own: return tensors in a tuple, list, dict or dataclass. Inside vmap
        or a CUDA graph: run one step without. Sparse, complex, nested tensors: look at the neighbours.

    References:
        torch.nn.Module.register_forward_hook: hooks run when a module is called, not in forward().
    """

    code: ClassVar[str] = "AD001"
    name: ClassVar[str] = "unobserved-module"
    title: ClassVar[str] = "modules were not observed"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag attach actdiag.examples:forgotten_layer --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag attach actdiag.examples:healthy --data actdiag.examples:batches"
    calibrated: ClassVar[bool] = False
    once: ClassVar[bool] = True
    of_modules: ClassVar[bool] = True

    def judge(self, run: Run) -> Iterator[Finding]:
        """List the gaps in the coverage: those that the verdict may suffer from, and the others."""
        coverage = Coverage.of(run.modules)
        blind = [gap for gap in coverage.gaps if not _harmless(gap)]
        known = [gap for gap in coverage.gaps if _harmless(gap)]
        if blind:
            why = "ran and could not be seen in full, so that the verdict may miss something there"
            yield self._missing(run, Severity.WARNING, blind, coverage.total, why)
        if known:
            were = "was" if sum(len(gap.names) for gap in known) == 1 else "were"
            in_full = " in full" if any(gap.partly for gap in known) else ""
            yield self._missing(run, Severity.INFO, known, coverage.total, f"{were} not observed{in_full}")

    def _missing(self, run: Run, severity: Severity, gaps: Sequence[Gap], total: int, what: str) -> Finding:
        names = [name for gap in gaps for name in gap.names]
        counts = [f"{len(gap.names)} " if len(gaps) > 1 else "" for gap in gaps]
        reasons = "; ".join(
            f"{count}{gap.reason} ({some(gap.names)})" for count, gap in zip(counts, gaps, strict=True)
        )
        finding = self.finding(
            run,
            severity,
            run.modules[run.modules.among("name", set(names))],
            f"{len(names)} of {total} modules {what}: {reasons}.",
            " ".join(dict.fromkeys(map(_remedy, gaps))),
            measured=len(names),
            expected=0,
            threshold=0,
            threshold_source="exact: what was not seen is not judged",
        )
        return replace(finding, layers=tuple(layer for layer in finding.layers if layer > 0))


def _harmless(gap: Gap) -> bool:
    """Return whether no signal was missed, or as much as the user chose to miss."""
    return not gap.ran or gap.reason == "it returns no tensor" or _whole_numbers(gap)


def _whole_numbers(gap: Gap) -> bool:
    return all(WHOLE_NUMBERS.fullmatch(part) for part in gap.reason.split("; "))


def _remedy(gap: Gap) -> str:
    if _whole_numbers(gap):
        return "Nothing: whole numbers carry no gradient."
    found = (remedy for words, remedy in REMEDIES if re.search(words, gap.reason))
    return next(found, "Look at the modules before and after.")
