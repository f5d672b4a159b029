"""AD302, the weights' variance against the activation's, and AD401, the run against theory."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from judging import found, judged, reason, silent
from recordings import Layer, made_up, with_module
from torch import nn

from actdiag import RunSpec, attach, diagnose, scan
from actdiag.activations import ACTIVATIONS
from actdiag.recording import Recording
from actdiag.rules.recipes import recipe_of
from actdiag.types import Severity


def drawn(variance: float, depth: int = 10, act: str = "relu", **rest: object) -> Recording:
    """Return a chain whose weights have Var[w] fan_in = variance at fan_in 100."""
    layer = Layer(weight=(variance / 100) ** 0.5, fan_in=100, units=100)
    return made_up([layer] * depth, act=act, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variance", "name"), [(1 / 3, "torch's default"), (1.0, "Xavier's"), (0.01, "N(0, 0.01^2)")]
)
def test_relu_behind_another_recipe_is_found_and_the_recipe_named(variance: float, name: str) -> None:
    finding = found("AD302", drawn(variance))
    assert finding.severity is Severity.WARNING
    assert name in finding.message
    assert finding.evidence["measured"] == pytest.approx(variance)
    assert finding.evidence["expected"] == pytest.approx(2.0)
    shrinks = (2.0 / variance) ** 4.5  # sqrt of the ratio in each of nine steps
    told = re.findall(r"shrinks (\S+) times", finding.message)
    assert [float(number) for number in told] == [pytest.approx(shrinks, rel=0.05)] * 2


@pytest.mark.parametrize(
    ("act", "variance"),
    [("relu", 2.0), ("tanh", 1.0), ("tanh", 25 / 9), ("selu", 1.0), ("gelu", 2.0), ("leaky_relu:0.5", 1.6)],
)
def test_what_suits_the_activation_is_silent(act: str, variance: float) -> None:
    silent("AD302", drawn(variance, act=act))


@pytest.mark.parametrize(("depth", "severity"), [(7, Severity.INFO), (8, Severity.WARNING)])
def test_it_is_a_warning_where_the_chain_loses_a_decade(depth: int, severity: Severity) -> None:
    """Xavier's variance halves the second moment: 2^-3 = 0.125 over six steps, 0.088 over seven."""
    assert found("AD302", drawn(1.0, depth=depth)).severity is severity


def test_too_large_is_found_as_well() -> None:
    finding = found("AD302", drawn(8.0))
    assert finding.severity is Severity.WARNING
    assert "the signal grows 512 times" in finding.message  # 4^(9/2)


@pytest.mark.parametrize(
    ("factor", "severity", "words"),
    [
        (0.001, Severity.INFO, "this changes little over so few layers."),
        (5.0, Severity.INFO, "the signal reaches 5 times the input."),
        (30.0, Severity.WARNING, "the signal reaches 30 times the input."),
        (1000.0, Severity.WARNING, "the signal reaches 1000 times the input."),
    ],
)
def test_a_first_layer_that_is_too_large_is_a_warning(factor: float, severity: Severity, words: str) -> None:
    """He's elsewhere: at 30 digits are learnt worse, at 1,000 not at all; too small does no harm."""
    fits = Layer(weight=0.02**0.5, fan_in=100, units=100)
    finding = found("AD302", made_up([replace(fits, weight=factor * fits.weight), *[fits] * 5], act="relu"))
    assert (finding.severity, finding.layers) == (severity, (1,))
    assert finding.message.endswith(words)


def test_the_remedy_speaks_of_modules_in_a_model_of_ones_own() -> None:
    recording = drawn(1 / 3, own=False)
    for name in recording.modules["name"]:
        recording = with_module(recording, str(name), joined=False)
    remedy = found("AD302", recording).remedy
    assert "layer1.linear" in remedy
    assert "1.41 / sqrt(fan_in) before relu" in remedy
    assert "--" not in remedy


def without_fans(recording: Recording) -> Recording:
    return replace(recording, modules=recording.modules.assign(fan_out=0))


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (drawn(1.0, act="sigmoid"), "no initializer is made for sigmoid"),
        (drawn(1.0, spec={"residual": True}), "residual sums set"),
        (with_module(drawn(1.0), "layer1.norm", calls=1, kind="norm"), "norms set the signal's size"),
        (made_up([Layer()] * 3), "the fans of no hidden layer's weights are known"),
        (without_fans(drawn(2.0)), "the fans of no hidden layer's weights are known"),
        (drawn(0.0), "the weights do not vary"),
    ],
)
def test_where_the_variance_says_nothing_it_is_not_judged(recording: Recording, words: str) -> None:
    assert reason("AD302", recording).startswith(words)


def test_a_drawn_weight_is_allowed_its_error() -> None:
    """A recipe is known again on few weights: 64 normal ones tell their variance to 18%."""
    assert recipe_of(1.3 / 3 / 8, 8, 8).startswith("torch's default")
    assert recipe_of(1.3 / 3 / 800, 800, 800) == ""


def network(init: str) -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten())
    model.append(nn.LazyLinear(5))
    inputs = torch.randn(8, 3, 8, 8)
    model(inputs)
    for part in model:
        if isinstance(part, nn.Conv2d) and init == "he":
            nn.init.kaiming_normal_(part.weight)
    return model


@pytest.mark.parametrize(("init", "codes"), [("he", set()), ("default", {"AD302"})])
def test_convolutions_are_judged_by_their_own_fans(init: str, codes: set[str]) -> None:
    model = network(init)
    with attach(model) as recorder:
        model(torch.randn(8, 3, 8, 8)).square().mean().backward()
        recorder.step()
    findings = [each for each in diagnose(recorder.recording()).findings if each.code == "AD302"]
    assert {each.code for each in findings} == codes
    assert all("torch's default" in each.message and each.severity is Severity.INFO for each in findings)


def expected(*rms: float, **rest: object) -> Recording:
    """Return layers of activation rms 1 of which theory expects another, within a factor of 2."""
    return made_up([Layer(expected=value) for value in rms], **rest)  # type: ignore[arg-type]


def test_within_the_band_nothing_is_found() -> None:
    silent("AD401", expected(1.0, 1.9, 0.55))


def test_well_beyond_the_band_the_layer_is_named_with_its_numbers() -> None:
    """The band's half is a factor of 2: 1.5 halves are 2^1.5 = 2.83."""
    silent("AD401", expected(1.0, 2.8))
    finding = found("AD401", expected(1.0, 2.9))
    assert finding.layers == (2,)
    assert finding.severity is Severity.WARNING
    assert finding.evidence["measured"] == 1.0
    assert (finding.evidence["expected_low"], finding.evidence["expected_high"]) == (1.45, 5.8)
    silent("AD401", expected(1.0, 1 / 2.8))
    assert found("AD401", expected(1.0, 1 / 2.9)).layers == (2,)


def test_a_gradients_ratio_is_compared_and_not_its_size() -> None:
    layers = [Layer(expected=1.0, preactivation_grad=value * 1e-7) for value in (3.0, 1.0, 1.0)]
    finding = found("AD401", made_up(layers))
    assert finding.layers == (1,)
    assert finding.evidence["measured"] == pytest.approx(3.0)


def test_a_model_of_ones_own_may_be_trained() -> None:
    assert found("AD401", expected(1.0, 5.0, own=False)).severity is Severity.INFO


def test_without_rows_the_reason_is_the_recordings() -> None:
    recording = made_up([Layer(), Layer()])
    assert reason("AD401", recording) == "the recording holds no rows of theory"
    facts = {"run": {**recording.meta["runs"]["run"], "theory": "no such theory"}}
    assert reason("AD401", replace(recording, meta={**recording.meta, "runs": facts})) == "no such theory"


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_no_scan_is_called_another_network_than_it_is(act: str) -> None:
    for init, seed in (("xavier", 0), ("he", 1), ("torch_default", 2), ("orthogonal", 3)):
        recording = scan(RunSpec(depth=8, width=64, act=act, init=init, batch=64, seed=seed))
        assert judged("AD401", recording).findings == ()


def test_a_recipe_is_named_by_the_layer_with_the_most_weights() -> None:
    """Few weights stray far, and may look like another recipe than all the others follow."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 144), nn.ReLU(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 64))
    model.extend([nn.ReLU(), nn.Linear(64, 2)])
    with torch.no_grad():
        for layer, variance in ((model[0], 0.322 / 9), (model[2], 1 / 432), (model[4], 1 / 192)):
            weight = layer.get_parameter("weight").normal_()
            weight.sub_(weight.mean()).div_(weight.pow(2).mean().sqrt()).mul_(variance**0.5)
    with attach(model) as recorder:
        model(torch.randn(32, 9)).sum().backward()
        recorder.step()
    finding = found("AD302", recorder.recording())
    assert "0.333 / fan_in (torch's default" in finding.message


def test_one_more_layer_is_told_in_the_singular() -> None:
    layers = [Layer(weight=(1 / 300) ** 0.5, fan_in=100, units=100)] * 3
    layers.append(Layer(weight=(1 / 30000) ** 0.5, fan_in=100, units=100))
    layers.append(Layer(weight=(1 / 30000) ** 0.5, fan_in=100, units=100))
    del layers[:2]
    assert "(and 1 more layer has another)" in found("AD302", made_up(layers, act="relu")).message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm": "layer"}, "plain chains alone"),
        ({"dropout": 0.5}, "plain chains alone"),
        ({"residual": True}, "plain chains alone"),
        ({"init": "lsuv"}, "do not depend on the data"),
        ({"width": 4}, "too narrow"),
    ],
)
def test_why_there_is_no_band_is_told(changes: dict[str, Any], words: str) -> None:
    assert words in reason("AD401", scan(RunSpec(**{"depth": 3, "width": 32, "batch": 16, **changes})))
