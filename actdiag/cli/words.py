"""What `actdiag theory` says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from actdiag.theory import FixedPoint, Moments
from actdiag.types import RunSpec

REACH = 6.0
"""Depth scales over which a network still trains: Schoenholz et al. 2017, section 5."""
LAYER_NOTE = """\
rms z, rms a: preactivation and activation. std across: how much a unit varies from sample to sample.
correlation: of two samples' activations. gradient: norm of a sample's dLoss/dz, relative to the last layer's.
chi: by which its square changes from the next layer to this one."""
_PHASES = {
    "ordered": "ordered: samples become alike with depth, and gradients shrink on their way down",
    "chaotic": "chaotic: near samples part with depth, and gradients grow on their way down",
    "critical": "critical, on the edge of chaos: gradients neither shrink nor grow exponentially",
}
_GROWING = "chaotic: the signal grows from layer to layer, and gradients grow on their way down"
_NO_GRADIENT = "no gradient passes: the derivative is 0"


def title(spec: RunSpec) -> str:
    """Return the network in one line."""
    parts = [spec.act, spec.init, f"{spec.depth} x {spec.width}"]
    parts += [f"gain {spec.gain}"] if spec.gain is not None else []
    parts += [f"bias {spec.bias:g}"] if spec.bias is not None else []
    parts += [f"{spec.norm} norm {spec.norm_place}"] if spec.norm != "none" else []
    parts += [f"dropout {spec.dropout:g}"] if spec.dropout else []
    parts += ["residual"] if spec.residual else []
    return ", ".join(parts) + ": predicted for wide layers and inputs with second moment 1"


def layer_rows(found: Sequence[Moments]) -> list[dict[str, float]]:
    """Return the table: one row for each hidden layer."""
    return [
        {
            "layer": moments.layer,
            "rms z": moments.preactivation.rms,
            "rms a": moments.activation.rms,
            "std across": moments.activation.std_across,
            "correlation": round(moments.activation.correlation, 12) + 0.0,
            "zero": moments.activation.zero_fraction,
            "saturated": moments.activation.saturated_fraction,
            "chi": moments.chi,
            "gradient": _norm(moments.log_gradient),
        }
        for moments in found
    ]


def _norm(log_square: float) -> float:
    return math.exp(0.5 * log_square) if log_square < 1400.0 else math.inf


def limit_lines(limit: FixedPoint | str, spec: RunSpec) -> list[str]:
    """Return where a chain of such layers ends, in words."""
    if isinstance(limit, str):
        return [f"no limit: {limit}"]
    lines = [_phase(limit), f"  {_numbers(limit)}"]
    lines += [f"  signal: {_signal(limit)}", f"  gradient: {_gradient(limit, spec.depth)}"]
    if not limit.stable and limit.q_star not in (0.0, math.inf):
        lines += [
            f"  unstable: this gain keeps E[z^2] = {limit.q_star:.4g}, but a deviation grows "
            f"{limit.slope_q:.3f} times a layer, and every finite width deviates"
        ]
    return lines


def _phase(point: FixedPoint) -> str:
    if point.chi_1 == 0.0 and point.c_star < 1.0:
        return _NO_GRADIENT
    return _GROWING if point.phase == "chaotic" and point.q_star == math.inf else _PHASES[point.phase]


def _numbers(point: FixedPoint) -> str:
    c_star = "of each pair its own" if math.isnan(point.c_star) else f"{point.c_star:.6g}"
    return (
        f"sigma_w^2 {point.sigma_w2:.6g}, sigma_b^2 {point.sigma_b2:.6g}: q* {point.q_star:.6g}, "
        f"c* {c_star}, chi_1 {point.chi_1:.6g}"
    )


def _signal(point: FixedPoint) -> str:
    if point.q_star == 0.0:
        return "the preactivation dies out" + _pace(point.slope_q)
    if point.q_star == math.inf:
        return "the preactivation grows without end" + _pace(point.slope_q)
    if math.isnan(point.c_star):
        return "samples keep their correlation"
    if point.xi_c == math.inf:
        return "two samples tend to one correlation slower than exponentially: any depth is reached"
    return (
        f"two samples' correlation tends to c* with depth scale xi_c = {point.xi_c:.3g}: "
        f"told apart down to about layer {max(1, round(REACH * point.xi_c))} (6 xi_c)"
    )


def _pace(slope: float) -> str:
    return (
        ", slower than exponentially"
        if abs(slope - 1.0) < 1e-6
        else f", its square {slope:.4g} times a layer"
    )


def _gradient(point: FixedPoint, depth: int) -> str:
    if point.chi_1 == 0.0:
        return "none passes a layer"
    if point.xi_grad == math.inf:
        return "keeps its norm, up to what the first layers change"
    way = "shrinks" if point.chi_1 < 1.0 else "grows"
    power = 0.5 * (depth - 1) * math.log10(point.chi_1)
    return (
        f"its square {way} e times in xi_grad = {point.xi_grad:.3g} layers, at this rate its norm by "
        f"a factor of 10^{power:.1f} over {depth} layers"
    )


def edge_lines(edge: FixedPoint | str) -> list[str]:
    """Return the edge of chaos in words."""
    if isinstance(edge, str):
        return [edge]
    gain = math.sqrt(edge.sigma_w2)
    return [
        f"edge of chaos at sigma_b = {math.sqrt(edge.sigma_b2):.6g}: sigma_w = {gain:.6g}, "
        f"fan_in Var[w] = sigma_w^2 = {edge.sigma_w2:.6g}",
        f"  {_numbers(edge)}",
        f"  --gain {gain:.6g} with lecun, and with xavier where fan_in = fan_out",
        f"  xi_q {edge.xi_q:.4g}, xi_c {edge.xi_c:.4g}, xi_grad {edge.xi_grad:.4g}",
    ]


def plain(value: Any) -> Any:
    """Return values that JSON can hold: NaN as None, infinities as words."""
    if is_dataclass(value) and not isinstance(value, type):
        extra = {"phase": value.phase, "stable": value.stable} if isinstance(value, FixedPoint) else {}
        return plain({**asdict(value), **extra})
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
