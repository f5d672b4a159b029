"""AD302: the weights' variance is not the one that the activation behind them needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

from actdiag.activations import Activation, activation
from actdiag.coverage import some
from actdiag.initialisers import initialiser
from actdiag.numerals import interval, numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold, times
from actdiag.rules.recipes import is_same, spelled
from actdiag.rules.remedies import initialise_modules, match_init
from actdiag.tables import Table
from actdiag.theory import critical_variance, exact_gain, second_moment, second_slope
from actdiag.types import Finding, Severity

LARGEST = 1e280
"""Of a second moment along the chain: the square of an activation's parameter times it stays in float64."""
NOTICED = math.log10(1.5)
"""Decades of change from which on it is told."""


@dataclass(frozen=True)
class Weights:
    """The weights of one hidden layer.

    Attributes:
        layer: its number.
        module: its name.
        act: the activation behind it.
        variance: Var[w].
        fan_in: what a unit sums over.
        fan_out: units that an input goes to.
        count: how many weights there are.
        needed: the critical Var[w] fan_in; NaN where no variance suits.
    """

    layer: int
    module: str
    act: Activation
    variance: float
    fan_in: int
    fan_out: int
    count: int
    needed: float

    @property
    def ratio(self) -> float:
        """Return Var[w] fan_in over what the activation needs."""
        return self.variance * self.fan_in / self.needed

    @property
    def follows_its_recipe(self) -> bool:
        """Return whether the variance is one that is made for the activation.

        That is its own initialiser's, its gain's (exact, or torch's), or the critical one by fan_out.
        """
        gains = (exact_gain(self.act), self.act.torch_gain)
        meant = [self.needed / self.fan_out, *(gain**2 / self.fan_in for gain in gains if gain)]
        if self.act.partner is not None:
            meant.append(initialiser(self.act.partner).variance(self.fan_in, self.fan_out))
        return any(is_same(self.variance, each, self.count) for each in meant)


@register
@dataclass(frozen=True)
class InitActivationMismatch(Rule):
    """Find hidden layers whose weights do not have the variance that the activation behind them needs.

    What it measures:
        Var[w] x fan_in of the weights as they are stored, against the critical value of the activation that
        follows: the one at which signal and gradient keep their size. Named are the recipes that give the
        number found: He's, Xavier's, LeCun's, torch's default. Where theory says that signal or gradient
        changes by more than `decade` over the chain, or that the signal grows to more than `decade` times the
        input, it is a warning, else worth knowing.

    Why it matters:
        Each layer multiplies the signal by about sqrt(Var[w] fan_in / critical). Over two layers that is
        nothing; over ten, torch's default shrinks a ReLU network's signal 3,000 times.

    What to do:
        Draw the weights with the variance that the activation needs, or put a norm behind each layer: then
        their variance does not matter, and this rule does not judge.

    References:
        LeCun et al. 1998, section 4.6; Glorot & Bengio 2010, eq. 16; He et al. 2015, eq. 10; Poole et al.
        2016 (the edge of chaos).
    """

    code: ClassVar[str] = "AD302"
    name: ClassVar[str] = "init-activation-mismatch"
    title: ClassVar[str] = "the weights' variance does not suit the activation"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act relu --init torch_default"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act relu --init he"

    factor: float = threshold(
        math.sqrt(2.0),
        "beyond it, or its inverse: info; "
        "of the variances: half-way, in logarithms, between He's and LeCun's, neighbouring recipes",
    )
    decade: float = threshold(
        10.0,
        "above it, beside `factor`: a warning; "
        "change of signal or gradient over the chain: one decade, the step between neighbouring learning "
        "rates of the protocol, as in AD101 and AD201",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer's weights with its activation."""
        if run.step is not None:
            raise NotJudged("training has changed the weights")
        layers = _judged(run)
        off = [
            layer
            for layer in layers
            if abs(math.log(layer.ratio)) > math.log(self.factor) and not layer.follows_its_recipe
        ]
        if not off:
            return
        drift = Drift.of([layer for layer in layers if layer.module in run.chain])
        severe = max(abs(drift.signal), abs(drift.gradient), drift.height) > math.log10(self.decade)
        yield self._mismatch(run, off, Severity.WARNING if severe else Severity.INFO, drift)

    def _mismatch(self, run: Run, off: Sequence[Weights], severity: Severity, drift: Drift) -> Finding:
        worst = max(off, key=lambda layer: abs(math.log(layer.ratio)))
        same = [layer for layer in off if is_same(layer.ratio, worst.ratio, layer.count)]
        others = len(off) - len(same)
        more = f" (and {others} more layer{'s have' if others > 1 else ' has'} another)" if others else ""
        named = max(same, key=lambda layer: layer.count)  # most weights: the surest number
        has = f"{spelled(named.variance, named.fan_in, named.fan_out)}{more}"
        return self.finding(
            run,
            severity,
            _rows(run, off),
            f"The weights of {_where(run, same)} have Var[w] = {has}; {named.act.name} keeps signal and "
            f"gradient at one size with {numeral(named.needed)} / fan_in. By theory, biases aside, "
            f"{_spoken(drift)}.",
            _remedy(run, off),
            measured=named.variance * named.fan_in,
            expected=named.needed,
            **self.against("decade" if severity is Severity.WARNING else "factor"),
        )


def _judged(run: Run) -> list[Weights]:
    """Return the hidden layers whose variance matters, by layer.

    Raises:
        NotJudged: there are none, with the reason.
    """
    rows = finite(run.hidden_at("weight"))
    modules = run.modules
    if ((modules["kind"] == "norm") & (modules["calls"] > 0)).any():
        raise NotJudged("norms set the signal's size, whatever the weights' variance")
    joined = modules[modules["kind"] == "product"]["joined"].any()
    if joined if run.spec is None else run.spec["residual"]:
        raise NotJudged("residual sums set the signal's size: no one variance is critical")
    known = list(_known(run, rows))
    if not known:
        raise NotJudged("the fans of no hidden layer's weights are known")
    random = [layer for layer in known if layer.variance > 0]
    if not random:
        raise NotJudged("the weights do not vary")
    random = [layer for layer in random if math.isfinite(layer.variance * layer.fan_in)]
    if not random:
        raise NotJudged("the weights' variance is beyond the numbers that there are")
    suited = [layer for layer in random if math.isfinite(layer.needed)]
    if not suited:
        names = ", ".join(sorted({layer.act.name for layer in random}))
        raise NotJudged(f"no initializer is made for {names}")
    return suited


def _known(run: Run, rows: Table) -> Iterator[Weights]:
    """Yield the hidden layers' weights, of those whose fans are known."""
    numbers = {
        name: rest for name, *rest in rows.first_of_each("module").each("module", "rms", "mean", "count")
    }
    for name, layer, after, fan_in, fan_out in run.hidden.each(
        "name", "layer", "activation_after", "fan_in", "fan_out"
    ):
        if fan_in and fan_out and name in numbers:
            (rms, mean, count), act = numbers[name], activation(after)
            yield Weights(layer, name, act, _variance(rms, mean), fan_in, fan_out, count, _needed(act))


def _variance(rms: float, mean: float) -> float:
    """Return Var[w]; 0 where it is lost in rounding, and of unknown mean taken for 0."""
    variance = rms * rms - (mean * mean if math.isfinite(mean) else 0.0)
    return max(variance, 0.0) if variance > 1e-9 * rms * rms else 0.0


@cache
def _needed(act: Activation) -> float:
    """Return the critical Var[w] fan_in; NaN for those that no initialiser is made for, as sigmoid."""
    return math.nan if act.partner is None else critical_variance(act)


class Drift(NamedTuple):
    """What theory says of a chain of layers, all log10; inputs have second moment 1, biases are 0.

    Attributes:
        signal: rms of the last layer over that of the first.
        gradient: norm at the first layer over that at the last.
        height: largest rms of a layer, over the input's.
    """

    signal: float
    gradient: float
    height: float

    @classmethod
    def of(cls, layers: Sequence[Weights]) -> Drift:
        """Return it for layers one behind the other."""
        q, logs, gradient = 1.0, [], 0.0
        for place, layer in enumerate(layers):
            q = min(max(q * layer.variance * layer.fan_in, 1e-300), LARGEST)
            after = layers[place + 1] if place + 1 < len(layers) else None
            if after is not None:
                slope = second_slope(layer.act, q) * after.variance * after.fan_in
                gradient += math.log10(max(slope, 1e-300))
            q = max(second_moment(layer.act, q), 1e-300)
            logs.append(math.log10(q))
        logs = logs or [0.0]
        return cls(0.5 * (logs[-1] - logs[0]), 0.5 * gradient, 0.5 * max(logs))


def _spoken(drift: Drift) -> str:
    parts = [
        f"{what} {'grows' if change > 0 else 'shrinks'} {_times(change)}"
        for what, change in (("the signal", drift.signal), ("the gradient", drift.gradient))
        if abs(change) > NOTICED
    ]
    told = (
        f"{' and '.join(parts)} over the hidden layers" if parts else "this changes little over so few layers"
    )
    growing = drift.signal > NOTICED and drift.height < drift.signal + 1.0  # by a like factor: said already
    if drift.height <= NOTICED or growing:
        return told
    high = f"the signal reaches {_times(drift.height)} the input"
    return f"{high}; {told}" if parts else high


def _times(change: float) -> str:
    return times(10.0 ** min(abs(change), 300.0))


def _rows(run: Run, layers: Sequence[Weights]) -> Table:
    """Return the modules that some weights belong to."""
    return run.hidden[run.hidden.among("name", {layer.module for layer in layers})]


def _where(run: Run, layers: Sequence[Weights]) -> str:
    if run.spec is None:
        return some([layer.module for layer in layers])
    numbers = [layer.layer for layer in layers]
    return f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {interval(numbers)}"


def _remedy(run: Run, off: Sequence[Weights]) -> str:
    if run.spec is not None and (words := match_init(run.spec)):
        return words
    wanted = dict.fromkeys((layer.act.name, layer.needed) for layer in off)
    needs = " and ".join(f"{numeral(math.sqrt(value))} / sqrt(fan_in) before {act}" for act, value in wanted)
    own = initialise_modules(run, _rows(run, off)) if run.spec is None else ""
    return f"{own} Draw the weights with a standard deviation of {needs}.".strip()
