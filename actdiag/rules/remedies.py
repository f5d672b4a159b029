"""What to do, in terms of the run: its own flags where it is the tool's network, its modules elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actdiag.activations import Activation, activation
from actdiag.coverage import within
from actdiag.initialisers import initialiser
from actdiag.numerals import numeral
from actdiag.rules.base import Run
from actdiag.tables import Table

REASONS = {
    "step": "its derivative is 0 wherever it exists, so no gradient passes it",
    "sigmoid": "its derivative is at most 1/4, so every layer shrinks the gradient and the differences "
    "between samples",
    "softplus": "its output is never negative, so its mean grows until all samples look alike",
}
"""Why no initialiser suits an activation, by the activation's name."""
LATER_REMEDY = (
    "Training brought it about, not the start: lower the learning rate, warm it up, or clip gradients."
)
"""What to do about what the first recorded step did not show."""
SAME_VARIANCE = 1.1
"""Two variances within this factor are the same recipe: gains are quoted to two digits."""


def even_out_or_later(run: Run, rows: Table) -> str:
    """Return `even_out` of the start, and at later steps what to do about training."""
    return even_out(run, rows) if run.step is None else LATER_REMEDY


def even_out(run: Run, rows: Table, alike: bool = False) -> str:
    """Return what keeps signal and gradient at one size from layer to layer.

    Args:
        run: where it is needed.
        rows: of the layers concerned.
        alike: samples become alike, against which a norm over the batch alone helps.
    """
    if run.spec is None:
        return f"{initialise_modules(run, rows)} {_norm_or_residual(run, rows, alike)}"
    return _replace_activation(run.spec) or match_init(run.spec) or _restructure(run.spec)


def _norm_or_residual(run: Run, rows: Table, alike: bool) -> str:
    """Return what to put into a model of the user's own.

    Sigmoid and its kin make samples alike: a LayerNorm keeps each sample's size, and they stay alike.
    """
    acts = set(run.hidden[run.hidden.among("layer", set(rows["layer"]))]["activation_after"])
    unsuited = {act for act in acts if activation(act).partner is None}
    when = "Or" if acts == unsuited else "Where they are so already,"
    if acts == {"step"}:
        return f"{when} add residual connections."
    norm = "a BatchNorm (not a LayerNorm)" if alike or unsuited - {"step"} else "a norm"
    return f"{when} put {norm} before each activation, or add residual connections."


def match_init(spec: Mapping[str, Any]) -> str:
    """Return how to give the weights the variance their activation needs; "" where they have it."""
    act = activation(str(spec["act"]))
    if act.partner is None:
        return ""
    width = int(spec["width"])
    chosen, partner = initialiser(str(spec["init"])), initialiser(act.partner)
    has, needs = chosen.variance(width, width, spec.get("gain")), partner.variance(width, width)
    same = needs / SAME_VARIANCE < has < needs * SAME_VARIANCE
    if chosen.distribution != "constant" and (same or has != has):
        return ""
    return (
        f"Use --init {act.partner}, the usual one for {act.name}: at width {width} its Var[w] is "
        f"{numeral(needs)} ({partner.source}), and that of {spec['init']} {numeral(has)}."
    )


def initialise_modules(run: Run, rows: Table) -> str:
    """Return which modules of a model of the user's own to initialise, and what to replace."""
    modules = run.hidden[run.hidden.among("layer", set(rows["layer"]))]
    pairs = list(modules.each("name", "activation_after"))
    partners = {act: activation(act).partner for _, act in pairs}
    suited = [f"{within(name, 60)} ({act}: {partners[act]})" for name, act in pairs if partners[act]]
    parts = [f"Initialise {_first(suited)}."] if suited else []
    for act in (act for act, partner in partners.items() if partner is None):
        names = [within(name, 60) for name, after in pairs if after == act]
        parts.append(f"Replace {act} behind {_first(names)}: {_reason(act)}.")
    return " ".join(parts)


def _first(words: list[str]) -> str:
    more = f" and {len(words) - 4} more" if len(words) > 4 else ""
    return ", ".join(words[:4]) + more


def _reason(name: str) -> str:
    return REASONS.get(name, "no initializer is made for it")


def _replace_activation(spec: Mapping[str, Any]) -> str:
    act: Activation = activation(str(spec["act"]))
    if act.partner is not None:
        return ""
    return (
        f"Replace {act.name}: {_reason(act.name)}. "
        "Take --act tanh --init xavier, or --act relu --init he_normal."
    )


def _restructure(spec: Mapping[str, Any]) -> str:
    """Return what is left where the initialiser is right: the network itself."""
    fewer = f"fewer layers (--depth {max(int(spec['depth']) // 2, 1)})"
    if spec["norm"] != "none":
        change = fewer if spec["residual"] else f"--residual, or {fewer}"
    elif spec["residual"]:
        change = f"--norm batch, because each residual sum adds to the signal; or {fewer}"
    else:
        change = f"--norm batch, --residual, or {fewer}"
    return f"{spec['init']} is the usual initializer for {spec['act']} already: use {change}."


def against_death(run: Run, rows: Table) -> str:
    """Return what keeps the units of these layers from being dead."""
    if run.spec is None:
        return "Start biases at 0 and weights with mean 0, lower the learning rate, or use a leaky ReLU."
    if run.spec["bias"]:
        return f"Use --bias 0: {run.spec['bias']:g} shifts the preactivations. Or take --act leaky_relu."
    if str(run.spec["act"]) == "step":
        return even_out(run, rows)
    return f"{even_out(run, rows)} Or take --act leaky_relu, which cannot die."
