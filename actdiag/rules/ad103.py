"""AD103: a layer's gradient is exactly zero."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from actdiag.coverage import some
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import against_death, even_out
from actdiag.tables import Table, stacked
from actdiag.types import Finding, Severity

STEP = "the derivative of step is 0 wherever it exists"
HEAD_LEARNS = "; the head alone learns, from features that are never trained"
UNDERFLOW = "it underflowed, falling below the smallest number of its format"
MASKED = "dropout left no way open on this batch, or the gradient underflowed"
CUT = "the graph is cut: detach(), no_grad() or an output that is not used"
FIND_THE_CUT = "Find what cuts the graph behind them; if it is meant to be so, use requires_grad_(False)."


@register
@dataclass(frozen=True)
class ZeroGradient(Rule):
    """Find hidden layers that receive no gradient at all, though they ask for one.

    What it measures:
        Whether every element of dLoss/dPreactivation is exactly 0 in a hidden layer. Vanishing (AD101) is
        another word: a small gradient still has a direction.

    Why it matters:
        Such a layer never moves. The causes differ: an activation without derivative (step), weights that are
        all zero, a layer whose units are all dead or saturated, dropout that leaves no unit, or a gradient
        below the smallest number of its format. One case is harmless: a head (or the end of a residual
        branch) that starts at zero while what lies before it does not. It moves in the first step, and then
        lets gradient through; that is reported as info. A norm whose scale starts at zero is the same. In a
        few layers of step units the head alone may learn something from what random weights make of the
        input: that is a warning, and the layers are not trained all the same.

    What to do:
        Remove the cause the finding names.

    References:
        Zhang, Dauphin & Ma 2019 (zero-initialised heads and branches); Micikevicius et al. 2018 (underflow).
    """

    code: ClassVar[str] = "AD103"
    name: ClassVar[str] = "zero-gradient"
    title: ClassVar[str] = "hidden layers receive a gradient of exactly zero"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act step --init he"
    good: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act tanh --init xavier"
    calibrated: ClassVar[bool] = False

    contrast: float = threshold(
        0.016,
        "above it the head of a network of step units learns: a warning, else an error; "
        "calibrated (benchmarks/verdicts.md): by their head alone, networks of step units reach 35 to 42% "
        "accuracy on ten classes at depth 4 (0.023), 25 to 31% at 5 (0.011) and 20% at 6",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Look for layers that no gradient reaches, for rows of zeros, and for what made them."""
        without = unreached(run)
        if without:
            yield self._no_gradient(run, without)
            return
        rows = finite(run.hidden_at(run.backward))
        zero = rows[rows["rms"] == 0]
        if not zero:
            return
        gate = _opening_gate(run, zero)
        cause, remedy = (gate, "Nothing: look again after the first step.") if gate else _cause(run, zero)
        blocked = _blocks_the_way(rows)
        if cause == STEP and self._head_learns(run):
            cause, blocked = cause + HEAD_LEARNS, False
        yield self.finding(
            run,
            Severity.INFO if gate else Severity.ERROR if blocked else Severity.WARNING,
            zero,
            f"The gradient is exactly zero in {len(zero)} of {len(rows)} hidden layers: {cause}.",
            remedy,
            measured=0.0,
            expected="> 0",
            threshold=0.0,
            threshold_source="exact: a gradient of zero moves nothing",
        )

    def _head_learns(self, run: Run) -> bool:
        """Return whether what random step units pass on still tells near samples from far ones.

        Two signals of step units have the correlation 1/2 + arcsin(c) / pi where those before had c; the
        product of this map's slopes is what is left of a difference.
        """
        inputs = run.at("input")
        if set(run.hidden["activation_after"]) != {"step"} or not inputs:
            return False
        c, left = float(inputs["correlation"][0]), 1.0
        for _ in run.chain:
            left /= math.pi * math.sqrt(max(1.0 - c * c, 1e-12))
            c = 0.5 + math.asin(c) / math.pi
        return left > self.contrast

    def _no_gradient(self, run: Run, rows: Table) -> Finding:
        """Report layers whose graph is cut: training code sees `grad is None` there."""
        cause, remedy = _cause(run, rows, CUT)
        remedy = FIND_THE_CUT if cause == CUT else remedy
        mild = run.spec is None
        if cause == STEP and self._head_learns(run):
            cause, mild = cause + HEAD_LEARNS, True
        return self.finding(
            run,
            Severity.WARNING if mild else Severity.ERROR,
            rows,
            f"No gradient reaches {len(rows)} of {len(run.hidden)} hidden layers, though they are trainable: "
            f"{cause}.",
            remedy,
            measured=0.0,
            expected="> 0",
            threshold=0.0,
            threshold_source="exact: a layer without a gradient does not move",
        )


def unreached(run: Run) -> Table:
    """Return the rows of the hidden layers that this rule says no gradient reaches.

    Those behind a cut in the graph, whose parameters are known to be unused, are left to AD305.
    """
    rows = _without_gradient(run)
    if not rows or _cause(run, rows, CUT)[0] != CUT:
        return rows
    unused = run.modules[run.modules["unused"] != ""]
    return rows[~rows.among("module", set(unused["name"]))]


def _without_gradient(run: Run) -> Table:
    """Return a row of each trainable hidden layer without any gradient, if others have one."""
    gradients = stacked([run.at("preactivation_grad"), run.at("weight_grad")])
    rows = run.hidden_at("preactivation" if run.at("preactivation") else "weight")
    if not gradients:
        raise NotJudged("no gradient was recorded")
    reached = set(gradients["module"])
    trainable = set(run.hidden[run.hidden["trainable"] > 0]["name"]) - reached
    return rows[rows.among("module", trainable)]


def _blocks_the_way(rows: Table) -> bool:
    """Return whether the zeros reach down to the first layer, so that nothing goes round them."""
    return bool(rows["rms"][0] == 0)


def _opening_gate(run: Run, zero: Table) -> str:
    """Name the zero weights, and norms of scale zero, that alone stop the gradient and move; "" if none.

    Where several are closed, as a head and the ends of residual branches are, the one that the gradient meets
    first moves in the first step, and the others after it, as long as a signal comes in.
    """
    weights, moves, signals = (_sizes(run.at(kind)) for kind in ("weight", "weight_grad", "preactivation"))
    closed = {name for name, size in weights.items() if size == 0}
    norms, moving = _closed_norms(run)
    if closed & set(zero["module"]) or not (moving or any(moves.get(name, 0.0) > 0 for name in closed)):
        return ""
    follows = run.modules.pairs("name", "follows")
    still = [name for name in closed if not moves.get(name, 0.0) > 0]
    if any(follows[name] and not signals.get(follows[name], 0.0) > 0 for name in still):
        return ""
    return f"the weights of {some(sorted(closed | norms))} start at zero and open in the first step" + (
        "s" if still else ""
    )


def _sizes(rows: Table) -> dict[str, float]:
    """Return the rms by module, of the first row where there are several."""
    return rows.first_of_each("module").pairs("module", "rms")


def _closed_norms(run: Run) -> tuple[set[str], bool]:
    """Return the norms that give zero for a signal, and whether a gradient reaches one of them."""
    norms = set(run.modules[run.modules["kind"] == "norm"]["name"])
    signals = run.at("preactivation")
    given = stacked([run.at("output"), signals])
    zero = given[given.among("module", norms) & (given["rms"] == 0)]
    fed = signals[(signals["rms"] > 0) & ~signals.among("module", norms)]
    closed = set(zero[zero.among("layer", set(fed["layer"]))]["module"])
    reached = stacked([run.at("output_grad"), run.at("preactivation_grad")])
    return closed, bool((reached[reached.among("module", closed)]["rms"] > 0).any())


def _cause(run: Run, zero: Table, otherwise: str = UNDERFLOW) -> tuple[str, str]:
    """Return the reason in words and the remedy, by what is known of the highest layer concerned."""
    top = int(zero["layer"].max())
    above = run.hidden[run.hidden["layer"] >= top]
    if "step" in set(above["activation_after"]):
        return STEP, even_out(run, zero)
    weights = run.at("weight")
    closed = weights[(weights["rms"] == 0) & (weights["layer"] >= top)]
    if closed:
        names = ", ".join(closed["module"][:4])
        return f"all weights of {names} are zero", _random_weights(run, closed)
    activations = run.at("activation")
    at_top = activations[activations["layer"] == top]
    if (at_top["dead_units"] == at_top["units"]).any():
        return f"every unit of layer {top} is dead (see AD203)", against_death(run, zero)
    if (at_top["saturated_fraction"] == 1).any():
        return f"every unit of layer {top} is saturated", even_out(run, zero)
    if otherwise == UNDERFLOW and run.modules.among("kind", ["dropout"]).any():
        return MASKED, f"Lower the dropout probability, or measure more samples. Else: {even_out(run, zero)}"
    return otherwise, even_out(run, zero)


def _random_weights(run: Run, closed: Table) -> str:
    if run.spec is None:
        return f"Initialise {', '.join(closed['module'][:4])} at random."
    return even_out(run, closed)
