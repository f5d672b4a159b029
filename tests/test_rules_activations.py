"""AD2xx on made-up numbers: what must not fire first, then what must."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from judging import forward, found, reason, silent
from recordings import Layer, made_up

from actdiag.recording import Recording
from actdiag.rules.ad203 import pair_bound
from actdiag.types import Severity


def test_size_a_factor_of_nine_either_way_is_healthy() -> None:
    for code in ("AD201", "AD202"):
        silent(code, forward(9.0, 3.0, 1.0))
        silent(code, forward(1.0, 3.0, 9.0))


def test_size_shrinking() -> None:
    finding = found("AD201", forward(1.0, 0.2, 0.04))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (3,))
    assert "25 times from layer 1 up to layer 3, a factor of 0.2 per layer" in finding.message
    assert found("AD201", forward(1.0, 0.9e-3)).severity is Severity.ERROR
    silent("AD202", forward(1.0, 0.9e-3))


def test_size_shrinking_to_nothing() -> None:
    assert found("AD201", forward(1.0, 0.0)).message == "The signal is exactly 0 from layer 2 on."
    assert (
        found("AD201", forward(1.0, 0.0, 0.5, 0.0, 0.0)).message == "The signal is exactly 0 from layer 4 on."
    )


def test_size_growing() -> None:
    finding = found("AD202", forward(1.0, 9.0, 81.0))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (3,))
    assert "81 times from layer 1 up to layer 3, a factor of 9 per layer" in finding.message
    assert found("AD202", forward(1.0, 320.0)).severity is Severity.ERROR
    silent("AD201", forward(1.0, 320.0))


def test_size_dropout_is_left_out() -> None:
    """Its mask makes samples differ that the network cannot tell apart."""
    recording = made_up([Layer(output=1.0), Layer(output=50.0)])
    masks = recording.modules["kind"] == "norm"
    recording.modules.loc[masks, "kind"] = "dropout"
    silent("AD202", recording)


def test_size_no_signal_at_all_is_not_judged() -> None:
    assert reason("AD201", forward(0.0, 0.0)) == "the signal of the first hidden layer is exactly zero"


def test_size_what_a_norm_passes_on_counts() -> None:
    silent("AD201", made_up([Layer(activation=1.0, output=1.0), Layer(activation=1e-6, output=1.0)]))
    finding = found("AD202", made_up([Layer(output=1.0), Layer(output=50.0)]))
    assert finding.evidence["measured"] == pytest.approx(50.0)


def dead_net(share: float, correlation: float, units: int = 100, **rest: object) -> Recording:
    layer = Layer(dead_units=share * units, units=units, correlation=correlation, samples=512)
    return made_up([layer], act="relu", **rest)  # type: ignore[arg-type]


def test_dead_what_he_networks_have_is_normal() -> None:
    """Means of simulated He/ReLU networks on 512 samples."""
    silent("AD203", dead_net(0.2, 0.80, units=64))
    silent("AD203", dead_net(0.4, 0.87))


def test_dead_simulated_he_networks_are_silent() -> None:
    """Plain numpy, 30 layers of 100 and 10 of 64: no layer of any draw fires."""
    for seed in range(4):
        for depth, width in ((10, 64), (30, 100)):
            layers = simulated_relu(depth, width, 0.0, seed)
            assert max(layer.dead_units / width for layer in layers) > 0.05
            silent("AD203", made_up(layers, act="relu"))


def test_dead_a_simulated_bias_is_found() -> None:
    finding = found("AD203", made_up(simulated_relu(3, 128, -1.0, 0), act="relu", spec={"bias": -1.0}))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (3,))
    assert "--bias 0" in finding.remedy


def test_dead_more_than_half_needs_more_than_chance() -> None:
    """1/2 + 4 sqrt(1 / 400) = 0.7."""
    silent("AD203", dead_net(0.69, 1.0))
    finding = found("AD203", dead_net(0.71, 1.0))
    assert finding.severity is Severity.WARNING
    assert finding.evidence["threshold"] == pytest.approx(0.7)
    assert finding.evidence["expected"] == 0.5
    assert "71% of the units of layer 1 are dead on all 512 samples" in finding.message


def test_dead_uncorrelated_samples_bear_fewer() -> None:
    """1/4 + 4 sqrt(3 / 1600) = 0.423."""
    silent("AD203", dead_net(0.42, 0.0))
    assert found("AD203", dead_net(0.43, 0.0)).evidence["expected"] == pytest.approx(0.0, abs=1e-9)


def test_dead_a_dead_layer_is_an_error() -> None:
    finding = found("AD203", dead_net(1.0, math.nan))
    assert finding.severity is Severity.ERROR
    assert "Every unit of layer 1 is dead" in finding.message


def test_dead_a_dead_layer_beside_a_residual_path_is_a_warning() -> None:
    finding = found("AD203", dead_net(1.0, math.nan, spec={"residual": True}))
    assert finding.severity is Severity.WARNING
    assert "residual path" in finding.message


def test_dead_other_activations_do_not_die() -> None:
    assert "flat on one side" in reason("AD203", made_up([Layer()] * 2, act="tanh"))


def test_dead_one_sample_cannot_tell() -> None:
    assert "two samples" in reason("AD203", made_up([Layer(dead_units=8.0, samples=1)], act="relu"))


def test_dead_the_bound_is_sheppards() -> None:
    draws = np.random.default_rng(0).normal(size=(200_000, 2))
    for cosine in (-0.5, 0.3, 0.9):
        other = cosine * draws[:, 0] + math.sqrt(1 - cosine**2) * draws[:, 1]
        both = np.mean((draws[:, 0] <= 0) & (other <= 0))
        assert pair_bound(cosine) == pytest.approx(both, abs=0.005)


def simulated_relu(depth: int, width: int, bias: float, seed: int) -> list[Layer]:
    """Return the dead units and correlations of a He/ReLU network on 512 Gaussian samples."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(512, width))
    layers = []
    for _ in range(depth):
        z = x @ draw.normal(size=(width, width)) * math.sqrt(2 / width) + bias
        gram = z @ z.T
        mean_square = np.trace(gram) / 512
        correlation = (gram.sum() - np.trace(gram)) / (512 * 511) / mean_square
        dead = float((z.max(axis=0) <= 0).sum())
        layers.append(Layer(dead_units=dead, units=width, correlation=correlation, samples=512))
        x = np.maximum(z, 0)
    return layers


def test_saturated_half_is_not_most() -> None:
    silent("AD204", made_up([Layer(saturated_fraction=0.5)]))


def test_saturated_most_is_a_warning_never_an_error() -> None:
    layers = [Layer(saturated_fraction=0.2), Layer(saturated_fraction=1.0), Layer(saturated_fraction=0.6)]
    finding = found("AD204", made_up(layers))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (2, 3))
    assert "100% of the preactivations of layer 2 are saturated" in finding.message


def test_saturated_an_activation_without_saturation_is_not_judged() -> None:
    assert reason("AD204", made_up([Layer()], act="gelu")) == "the activation does not saturate"


def collapsed_net(*parts: float) -> Recording:
    return made_up([Layer(activation=2.0, std_across=2.0 * part) for part in parts])


def test_collapsed_a_deep_he_network_is_healthy() -> None:
    """1 - c = 9 pi^2 / (2 l^2) for ReLU: 0.018 at 50 layers."""
    silent("AD206", collapsed_net(1.0, math.sqrt(9 * math.pi**2 / 2) / 50))


def test_collapsed_a_collapse_that_a_later_layer_undoes_is_healthy() -> None:
    silent("AD206", collapsed_net(1.0, 1e-6, 1.0))


def test_collapsed_six_correlation_depths_are_a_warning() -> None:
    finding = found("AD206", collapsed_net(1.0, 0.1, 0.014))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (3,))
    assert "in layer 3: std_across is 0.014 of the signal's rms" in finding.message


def test_collapsed_far_below_is_an_error() -> None:
    """Calibrated: sigmoid networks fail at 0.0024 and learn digits to 33% at 0.0049."""
    assert found("AD206", collapsed_net(1.0, 0.0036)).severity is Severity.WARNING
    assert found("AD206", collapsed_net(1.0, 0.0034)).severity is Severity.ERROR


def test_collapsed_pooled_spread_is_not_evidence() -> None:
    """Sigmoid with Xavier at layer 10: rms 0.5, std_across 5e-7."""
    assert found("AD206", made_up([Layer(activation=0.5, std_across=5e-7)])).severity is Severity.ERROR


def test_collapsed_positions_are_judged_by_the_correlation() -> None:
    image = Layer(positions=64, std_across=0.01, correlation=0.5)
    silent("AD206", made_up([image]))
    alike = replace(image, correlation=1 - 0.03**2, std_across=1.0)
    assert found("AD206", made_up([alike])).evidence["measured"] == pytest.approx(0.03)


def test_collapsed_one_sample_cannot_tell() -> None:
    assert "two samples" in reason("AD206", made_up([Layer(std_across=math.nan, samples=1)]))


def test_collapsed_no_signal_is_not_judged() -> None:
    assert "exactly zero" in reason("AD206", forward(1.0, 0.0))


def test_dead_the_first_of_several_layers_is_named() -> None:
    dead = Layer(dead_units=8.0)
    finding = found("AD203", made_up([Layer(dead_units=1.0), dead, dead], act="relu"))
    assert (finding.severity, finding.layers) == (Severity.ERROR, (2, 3))
    assert "Every unit of layer 2 is dead" in finding.message


def test_dead_the_layer_furthest_over_its_bound_is_named() -> None:
    """The bounds at 100 units are 0.423 for c = 0 and 0.7 for c = 1."""
    layers = [
        Layer(dead_units=72.0, units=100, correlation=1.0),
        Layer(dead_units=60.0, units=100, correlation=0.0),
        Layer(dead_units=10.0, units=100, correlation=0.0),
    ]
    finding = found("AD203", made_up(layers, act="relu"))
    assert finding.layers == (1, 2)
    assert "60% of the units of layer 2" in finding.message


def test_dead_the_correlation_is_of_what_enters_the_activation() -> None:
    """A norm before the activation has a preactivation of its own, recorded after the product's."""
    recording = made_up([Layer(dead_units=50.0, units=100, correlation=1.0)], act="relu")
    silent("AD203", recording)
    extra = recording.rows[recording.rows["module"] == "layer1.linear"].head(1)
    extra = extra.assign(module="layer1.norm", correlation=0.0)
    rows = pd.concat([recording.rows, extra], ignore_index=True)
    assert found("AD203", replace(recording, rows=rows)).evidence["threshold"] < 0.5


def test_dead_remedies_follow_the_activation() -> None:
    dead = [Layer(dead_units=8.0)]
    assert "Replace step" in found("AD203", made_up(dead, act="step")).remedy
    assert "leaky_relu" not in found("AD203", made_up(dead, act="step")).remedy
    assert "--act leaky_relu" in found("AD203", made_up(dead, act="relu", spec={"init": "he"})).remedy


def test_size_growth_from_nothing_is_not_judged() -> None:
    assert "exactly zero" in reason("AD202", forward(0.0, 1.0))
    silent("AD202", forward(1.0, 0.0))


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        ("sigmoid", "AD101", "Or put a BatchNorm (not a LayerNorm) before each activation, or add residual"),
        ("tanh", "AD101", "Where they are so already, put a norm before each activation, or add residual"),
        (
            "tanh",
            "AD206",
            "Where they are so already, put a BatchNorm (not a LayerNorm) before each activation",
        ),
        ("step", "AD101", "so no gradient passes it. Or add residual connections."),
    ],
)
def test_a_norm_is_advised_where_it_helps(act: str, code: str, words: str) -> None:
    layers = [Layer(preactivation_grad=0.01), Layer(), Layer(std_across=0.01)]
    assert words in found(code, made_up(layers, act=act, own=False)).remedy
