"""AD305: parameters get no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

from actdiag.coverage import some
from actdiag.rules.ad103 import unreached
from actdiag.rules.base import NotJudged, Rule, Run, register
from actdiag.tables import Table
from actdiag.types import Finding, Severity


@register
@dataclass(frozen=True)
class UnusedParameter(Rule):
    """Find trainable parameters that get no gradient at all while others do.

    What it measures:
        Which parameters with requires_grad had no gradient (None, not zero) at the end of a step in which
        some other parameter had one. Frozen parameters are not unused.

    Why it matters:
        Such a parameter never moves, nor does weight decay move it. It is a warning where its module was
        called: the graph is cut behind it, or its output is not used, and the network is smaller than it
        looks. It is worth knowing only (info) where the module was not called (a head of another task, a
        layer left over) or under no_grad() alone (a teacher, a target network). Under
        DistributedDataParallel each of them is an error of its own.
        Hidden layers of which AD103 knows why no gradient reaches them (a step function, weights of zero,
        dead or saturated units) are left to AD103; a cut graph is left to this rule.

    What to do:
        Find the detach(), the no_grad() or the unused output that cuts the graph. If it is meant to be so,
        freeze the parameters with requires_grad_(False), or remove the module.

    References:
        torch.nn.parallel.DistributedDataParallel, find_unused_parameters.
    """

    code: ClassVar[str] = "AD305"
    name: ClassVar[str] = "unused-parameter"
    title: ClassVar[str] = "trainable parameters get no gradient while others do"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag attach actdiag.examples:cut_graph --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag attach actdiag.examples:healthy --data actdiag.examples:batches"
    calibrated: ClassVar[bool] = False
    once: ClassVar[bool] = True
    of_modules: ClassVar[bool] = True

    def judge(self, run: Run) -> Iterator[Finding]:
        """List the unused parameters: of modules that were called, called under no_grad(), and not called."""
        unused = run.modules[run.modules["unused"] != ""]
        if unused:
            unused = unused[~unused.among("name", _left_to_ad103(run))]
        ran = unused["calls"] > 0
        called, idle = unused[ran & unused["in_graph"]], unused[~ran]
        without = unused[ran & ~unused["in_graph"]]
        if called:
            yield self._unused(
                run,
                Severity.WARNING,
                called,
                "though their modules were called: they will never move",
                "Find the detach(), no_grad() or unused output that cuts the graph behind them; if it is "
                "meant to be so, freeze them with requires_grad_(False), or remove the modules.",
            )
        if without:
            yield self._unused(
                run,
                Severity.INFO,
                without,
                "and their modules were called under no_grad() alone",
                "If it is meant to be so, freeze them with requires_grad_(False).",
            )
        if idle:
            yield self._unused(
                run,
                Severity.INFO,
                idle,
                "and no call of their modules was seen",
                "Call the modules in forward(), or, unless other steps use them, remove them or freeze them "
                "with requires_grad_(False).",
            )

    def _unused(self, run: Run, severity: Severity, modules: Table, why: str, remedy: str) -> Finding:
        names = _parameters(modules)
        are = "parameter gets" if len(names) == 1 else "parameters get"
        finding = self.finding(
            run,
            severity,
            modules,
            f"{len(names)} trainable {are} no gradient while others do, {why}: {some(names)}.",
            remedy,
            measured=len(names),
            expected=0,
            threshold=0,
            threshold_source="exact: a parameter without a gradient does not move",
        )
        return replace(finding, layers=tuple(layer for layer in finding.layers if layer > 0))


def _parameters(modules: Table) -> list[str]:
    """Return the full names of the unused parameters: `encoder.0.weight`."""
    pairs = modules.each("name", "unused")
    return [f"{name}.{own}" if name else own for name, unused in pairs for own in unused.split(", ")]


def _left_to_ad103(run: Run) -> set[str]:
    with suppress(NotJudged):
        return set(unreached(run)["module"])
    return set()
