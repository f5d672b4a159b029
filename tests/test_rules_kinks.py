"""AD104, AD205 and AD207 on made-up numbers and on networks: what must not fire first, then what must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from judging import found, reason, silent
from recordings import NAN, Layer, chained, made_up, with_module

from actdiag import RunSpec, check, scan
from actdiag.diagnosis import diagnose
from actdiag.examples import Functional, batches, pruned, uneven
from actdiag.recording import Recording
from actdiag.rules.ad205 import RELU
from actdiag.types import Severity


def speeds(*values: float, **rest: object) -> Recording:
    """Return a chain whose weights have an rms of 1 and gradients of these."""
    return made_up([Layer(weight_grad=value) for value in values], **rest)  # type: ignore[arg-type]


def test_uneven_a_factor_of_nine_is_healthy() -> None:
    silent("AD104", speeds(1, 1, 1, 9, 1, 1))
    silent("AD104", speeds(1, 1, 1, 1 / 9, 1, 1))


def test_uneven_a_slope_is_no_kink() -> None:
    """AD101 and AD102 speak of it: a hundred times a layer."""
    silent("AD104", speeds(*(100.0**power for power in range(-8, 0))))
    silent("AD104", speeds(*(100.0**-power for power in range(8))))


def test_uneven_the_first_layer_has_the_scale_of_the_data() -> None:
    silent("AD104", speeds(1e6, 1, 1, 1, 1))


def test_uneven_a_change_of_width_is_no_kink() -> None:
    """At He's variance ||dW|| / ||W|| goes with sqrt(fan_in / fan_out): 64 to 4,096 units and back."""
    recording = speeds(1, 1, 1 / 8, 8, 1, 1)
    for name, fans in (("layer3.linear", (64, 4096)), ("layer4.linear", (4096, 64))):
        recording = with_module(recording, name, fan_in=fans[0], fan_out=fans[1])
    silent("AD104", recording)
    assert found("AD104", speeds(1, 1, 1 / 8, 8, 1, 1)).layers == (3, 4)


def test_uneven_takes_three_layers_behind_the_first() -> None:
    assert "at least four hidden layers" in reason("AD104", speeds(1, 1e6, 1))


@pytest.mark.parametrize("layer", [Layer(weight=0.0), Layer(weight_grad=0.0)])
def test_uneven_zeros_are_another_rules(layer: Layer) -> None:
    assert "AD103" in reason("AD104", made_up([Layer(), Layer(), layer, Layer(), Layer()]))


def test_uneven_one_layer_is_named_and_not_its_neighbours() -> None:
    finding = found("AD104", speeds(1, 1, 1, 2e4, 1, 1, 1))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (4,))
    assert finding.modules == ("layer4.linear",)
    assert finding.evidence["measured"] == pytest.approx(2e4)
    assert "layer 4 learn 2e4 times faster than those before and behind it" in finding.message
    assert "slower" in found("AD104", speeds(1, 1, 1, 5e-5, 1, 1, 1)).message


def test_uneven_less_than_three_decades_is_worth_knowing_only() -> None:
    assert found("AD104", speeds(1, 1, 1, 11, 1, 1)).severity is Severity.INFO
    assert found("AD104", speeds(1, 1, 1, 999, 1, 1)).severity is Severity.INFO
    assert found("AD104", speeds(1, 1, 1, 1001, 1, 1)).severity is Severity.WARNING


def test_uneven_other_networks_are_told_only() -> None:
    recording = with_module(speeds(1, 1, 1, 1e5, 1, 1, own=False), "layer3.linear", type="Conv2d")
    assert found("AD104", recording).severity is Severity.INFO


def test_uneven_a_rescaled_pair_of_relu_layers() -> None:
    """Weights times 1/5 and 5: the same function, gradients times 5 and 1/5, so speeds 25 and 1/25."""
    inputs, targets = batches()
    plain, off = Functional(depth=5), uneven()
    assert np.allclose(plain(inputs).detach(), off(inputs).detach(), atol=1e-5)
    finding, other = check(off, inputs, targets).findings
    assert (finding.code, finding.layers) == ("AD104", (3, 4))
    assert (other.code, other.severity, other.layers) == ("AD302", Severity.INFO, (3, 4))
    assert 1 / finding.evidence["measured"] == pytest.approx(
        25 * math.sqrt(25), rel=0.8
    )  # 25 over sqrt(1/25)
    assert not check(plain, inputs, targets).findings


def shifted(share: float, **rest: object) -> Recording:
    """Return one layer with mean^2 = share x variance."""
    layer = Layer(activation=math.sqrt(1 + share), mean=math.sqrt(share))
    return made_up([Layer(), layer], **rest)  # type: ignore[arg-type]


def test_shift_what_a_relu_has_is_not_told() -> None:
    """E[relu]^2 / Var[relu] by Monte Carlo, whatever the variance."""
    z = np.maximum(3.0 * np.random.default_rng(0).normal(size=1_000_000), 0)
    assert z.mean() ** 2 / z.var() == pytest.approx(RELU, rel=0.01)
    silent("AD205", shifted(RELU))
    silent("AD205", shifted(1.4))


def test_shift_the_sign_does_not_matter() -> None:
    assert found("AD205", made_up([Layer(activation=1.0, mean=-0.999)])).layers == (1,)
    silent("AD205", made_up([Layer(activation=1.0, mean=-0.3)]))


def test_shift_what_a_norm_takes_off_is_none() -> None:
    recording = made_up([Layer(activation=1.0, mean=0.99, output=1.0)])
    rows = recording.rows
    rows.loc[rows["tensor"] == "output", "mean"] = 0.0
    silent("AD205", recording)


def test_shift_a_batch_norm_behind_the_next_product_takes_it_off() -> None:
    spec = RunSpec(depth=4, width=64, act="sigmoid", init="xavier", norm="batch")
    (finding,) = (f for f in diagnose(scan(spec)).findings if f.code == "AD205")
    assert finding.layers == (4,)  # the head has no norm


def test_shift_no_signal_is_not_judged() -> None:
    assert "no signal" in reason("AD205", made_up([Layer(activation=0.0)]))


def test_shift_half_a_decade_above_a_relu_is_told() -> None:
    """Never more: networks with nothing else to find train."""
    silent("AD205", shifted(1.47))
    finding = found("AD205", shifted(4.7))
    assert (finding.severity, finding.layers) == (Severity.INFO, (2,))
    assert finding.evidence["measured"] == pytest.approx(4.7)
    assert "a mean of 2.17, 91% of their rms" in finding.message


def test_shift_a_bias_is_named() -> None:
    assert "--bias 0" in found("AD205", shifted(9.0, spec={"bias": 3.0})).remedy


def test_shift_of_a_sigmoid_network_is_that_of_the_normal_integral() -> None:
    """Layer 1 has z ~ N(0, 1): E[sigmoid] = 1/2 and Var = 0.0434 (scipy.integrate.quad)."""
    from scipy import integrate, special, stats

    power = integrate.quad(lambda z: special.expit(z) ** 2 * stats.norm.pdf(z), -12, 12)[0]
    spec = RunSpec(depth=1, width=512, features=512, act="sigmoid", init="xavier", batch=512)
    (finding,) = (f for f in diagnose(scan(spec)).findings if f.code == "AD205")
    assert finding.evidence["measured"] == pytest.approx(0.25 / (power - 0.25), rel=0.05)


def constant(units: float, **rest: object) -> Recording:
    return made_up([Layer(), Layer(constant_units=units, units=100, **rest)], act="hardtanh")  # type: ignore[arg-type]


def test_constant_dead_units_are_another_rules() -> None:
    silent("AD207", constant(30.0, dead_units=30.0))


def test_constant_a_whole_layer_is_another_rules() -> None:
    silent("AD207", constant(100.0))
    silent("AD207", constant(100.0, dead_units=60.0))


def test_constant_by_rounding_is_another_rules() -> None:
    """Of samples that can hardly be told apart, some units agree to the last digit: AD206 speaks of it."""
    silent("AD207", constant(60.0, std_across=1e-7))
    assert found("AD207", constant(60.0, std_across=0.06)).severity is Severity.WARNING


def test_constant_one_sample_cannot_tell() -> None:
    assert "two samples" in reason("AD207", constant(NAN, samples=1))


def test_constant_half_is_worth_knowing() -> None:
    finding = found("AD207", constant(50.0))
    assert (finding.severity, finding.layers) == (Severity.INFO, (2,))
    assert "50 of the 100 units of layer 2 give the same value for all 64 samples" in finding.message


def test_constant_most_is_a_warning() -> None:
    assert found("AD207", constant(51.0)).severity is Severity.WARNING
    finding = found("AD207", constant(80.0, dead_units=20.0))
    assert finding.evidence["measured"] == pytest.approx(0.6)


def test_constant_units_of_a_pruned_layer() -> None:
    findings = {finding.code: finding for finding in check(pruned(), *batches()).findings}
    assert findings["AD207"].severity is Severity.WARNING
    assert "48 of the 64 units of layer 2" in findings["AD207"].message


def test_chained_names_survive() -> None:
    """A model of the user's own, where numbers are not the order."""
    recording = speeds(1, 1, 1, 2e4, 1, 1, own=False)
    assert found("AD104", chained(recording, ("head", "layer6.linear"))).layers == (4,)


@pytest.mark.parametrize(
    ("own", "residual", "kind", "words"),
    [
        (True, True, "other", "The residual sums after layer 2 share"),
        (True, True, "norm", "The outputs of the norm behind layer 2 share"),
        (False, False, "other", "The outputs of layer2.norm, after layer 2, share"),
    ],
)
def test_a_mean_is_told_of_what_has_it(own: bool, residual: bool, kind: str, words: str) -> None:
    layers = [Layer(), Layer(activation=1.0, output=2.0, mean=1.9)]
    recording = made_up(layers, own=own, spec={"residual": residual})
    recording = with_module(recording, "layer2.norm", kind=kind)
    assert words in found("AD205", recording).message
