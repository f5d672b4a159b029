"""Which remedies to try: those that fit the activations and the layers that were seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from actdiag import theory
from actdiag.activations import Activation, activation
from actdiag.remedying.drawing import Draw, Law, partner_law
from actdiag.remedying.products import Product
from actdiag.remedying.remedies import Remedy
from actdiag.remedying.restructuring import INSTEAD, Exchange, Norm
from actdiag.remedying.seeing import Rescale, standardise, unit_variance
from actdiag.types import Diagnosis, Finding, Severity

TREATED = ("AD1", "AD2", "AD3", "AD4", "AD9")
"""Beginnings of the codes that a start of another kind may cure: gradients, activations, weights, numbers."""
SAME = 1.02
"""Two gains within this factor are one remedy."""


def treatable(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Return the errors and warnings that a remedy here may cure."""
    return tuple(
        found
        for found in diagnosis.findings
        if found.severity is not Severity.INFO and found.code.startswith(TREATED)
    )


def starts(layers: Sequence[Product]) -> list[Remedy]:
    """Return the remedies that keep the network: other weights for these layers, in order of the signal."""
    if not layers:
        return []
    named = _kinds(layers)
    drawn = [
        _draw(layers, "initialiser", f"the initialiser made for {named}",
              "He et al. 2015; Glorot & Bengio 2010", partner_law),
        _draw(layers, "gain", f"the gain that keeps the variance behind {named} exactly",
              "E[phi(z)^2] by quadrature", lambda act: Law("normal", exact(act))),
        _draw(layers, "critical", f"the variance on the edge of chaos for {named}",
              "Schoenholz et al. 2017; Hayou et al. 2019", critical_law),
        _draw(layers, "orthogonal", f"orthogonal weights with the exact gain for {named}", "Saxe et al. 2014",
              lambda act: Law("orthogonal", exact(act))),
    ]  # fmt: skip
    made = any(each.act is not None and each.act.partner for each in layers)
    return [*_distinct(drawn if made else drawn[1:]), *_rescaled(layers)]


def norms(layers: Sequence[Product]) -> list[Remedy]:
    """Return the remedy that puts norms before the activations, [] where all have one."""
    bare = tuple(each for each in layers if each.act is not None and not each.normed)
    if not bare:
        return []
    draw = _draw(layers, "", "", "", partner_law)
    return [Norm("norm", "a norm before each activation", "Ioffe & Szegedy 2015; Ba et al. 2016", bare, draw)]


def exchanges(layers: Sequence[Product]) -> list[Remedy]:
    """Return the remedy that replaces activations no initialiser suits, [] where there are none."""
    replaced = tuple(each for each in layers if each.act_module and each.act and each.act.name in INSTEAD)
    if not replaced:
        return []
    old = {each.act.name for each in replaced if each.act is not None}

    def law(act: Activation | None) -> Law:
        return partner_law(successor(act)) if act is not None and act.name in old else partner_law(act)

    names = ", ".join(f"{INSTEAD[name]} in the place of {name}" for name in sorted(old))
    return [Exchange("activation", names, "Glorot & Bengio 2010", replaced, _draw(layers, "", "", "", law))]


def successor(act: Activation) -> Activation:
    """Return what takes an activation's place."""
    return activation(INSTEAD[act.name])


def exact(act: Activation | None) -> float:
    """Return the gain that keeps the second moment of the preactivations; 1 for a head."""
    return 1.0 if act is None else theory.exact_gain(act)


def critical_law(act: Activation | None) -> Law:
    """Return the law with the variance that mean-field theory asks for; the partner's where they agree."""
    partner = partner_law(act)
    gain = math.nan if act is None else theory.critical_variance(act) ** 0.5
    same = math.isnan(gain) or 1.0 / SAME < gain / partner.gain < SAME
    return partner if same else Law("normal", gain)


def _draw(
    layers: Sequence[Product], name: str, title: str, source: str, law: Callable[[Activation | None], Law]
) -> Draw:
    return Draw(name, title, source, tuple((each, law(each.act)) for each in layers))


def _rescaled(layers: Sequence[Product]) -> list[Remedy]:
    """Return LSUV, and where all layers have a bias, the start that centres each unit as well."""
    if any(each.calls > 1 for each in layers):
        return []
    lsuv = Rescale(
        "lsuv", "orthogonal weights, each layer scaled to variance 1 on a batch",
        "Mishkin & Matas 2016", tuple(layers), unit_variance,
    )  # fmt: skip
    centred = Rescale(
        "data-dependent",
        "orthogonal weights and biases that give each unit mean 0 and variance 1 on a batch",
        "Salimans & Kingma 2016; Krähenbühl et al. 2016", tuple(layers), standardise,
    )  # fmt: skip
    return [lsuv, centred] if all(each.biased for each in layers) else [lsuv]


def _distinct(draws: Sequence[Draw]) -> list[Draw]:
    """Leave out a draw whose every law another one before it has, within 2% of the gain."""
    kept: list[Draw] = []
    for draw in draws:
        if not any(_alike(draw, other) for other in kept):
            kept.append(draw)
    return kept


def _alike(one: Draw, other: Draw) -> bool:
    pairs = zip(one.laws, other.laws, strict=True)
    return all(
        mine.kind == theirs.kind and 1.0 / SAME < mine.gain / theirs.gain < SAME
        for (_, mine), (_, theirs) in pairs
    )


def _kinds(layers: Sequence[Product]) -> str:
    return ", ".join(sorted({each.act.name for each in layers if each.act is not None})) or "linear layers"
