"""AD1xx on made-up numbers: what must not fire first, then what must."""

from __future__ import annotations

import math

import pytest
from judging import backward, found, judged, reason, silent
from recordings import Layer, made_up

from actdiag import RunSpec, scan
from actdiag.types import Severity


@pytest.mark.parametrize("code", ["AD101", "AD102", "AD201", "AD202"])
def test_a_ratio_needs_two_layers(code: str) -> None:
    assert (
        reason(code, made_up([Layer()])) == "a ratio between layers needs two hidden layers, and there is one"
    )


def test_vanishing_a_factor_of_nine_is_healthy() -> None:
    silent("AD101", backward(1 / 9, 1 / 3, 1.0))


def test_vanishing_growing_gradients_are_not_vanishing() -> None:
    silent("AD101", backward(1e6, 1e3, 1.0))


def test_vanishing_below_a_decade_warns_and_names_the_layers_below() -> None:
    finding = found("AD101", backward(0.01, 0.05, 0.5, 1.0))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (1, 2))
    assert finding.modules == ("layer1.linear", "layer2.linear")
    assert finding.evidence["measured"] == pytest.approx(0.01)
    assert finding.evidence["threshold"] == 0.1
    assert "100 times from layer 4 down to layer 1, a factor of 0.22 per layer" in finding.message


def test_vanishing_below_three_decades_is_an_error() -> None:
    finding = found("AD101", backward(0.9e-3, 0.03, 1.0))
    assert finding.severity is Severity.ERROR
    assert finding.evidence["threshold"] == 1e-3
    assert found("AD101", backward(1.1e-3, 0.03, 1.0)).severity is Severity.WARNING


@pytest.mark.parametrize(("code", "shrinks"), [("AD101", "gradient's norm"), ("AD201", "signal's rms")])
def test_vanishing_both_ways_is_an_error_before_one_way_is(code: str, shrinks: str) -> None:
    """Calibrated: relu with N(0, 0.1) at depth 12 keeps 2e-3 each way, and fails."""
    mild, severe = (
        made_up([Layer(preactivation_grad=left), Layer(activation=left, std_across=left)])
        for left in (3.3e-3, 3.1e-3)
    )
    assert found(code, mild).severity is Severity.WARNING
    finding = found(code, severe)
    assert finding.severity is Severity.ERROR
    assert finding.evidence["both_ways"] == pytest.approx(3.1e-3**2)
    assert finding.evidence["threshold"] == 1e-5
    assert finding.message.startswith(f"The {shrinks}")
    assert "shrink 1e5 times together" in finding.message


def test_vanishing_one_way_is_not_worse_where_the_other_does_not_fade() -> None:
    silent("AD201", backward(2e-3, 1.0))
    assert found("AD101", backward(2e-3, 1.0)).severity is Severity.WARNING


def test_vanishing_both_ways_cannot_be_told_from_one_sample() -> None:
    alone = made_up([Layer(preactivation_grad=1e-6 + 2e-3, std_across=math.nan), Layer(std_across=math.nan)])
    assert found("AD101", alone).severity is Severity.WARNING


def test_vanishing_the_smallest_counts_not_the_first() -> None:
    finding = found("AD101", backward(1.0, 1e-4, 1.0))
    assert (finding.severity, finding.layers) == (Severity.ERROR, (2,))
    assert "from layer 3 down to layer 2" in finding.message


def test_vanishing_width_does_not_fake_a_slope() -> None:
    """Rms 1 / sqrt(n) over n units is the same norm per sample."""
    narrow, wide = (Layer(preactivation_grad=1 / math.sqrt(n), units=n, equal_units=()) for n in (4, 4096))
    silent("AD101", made_up([wide, narrow]))


def test_vanishing_positions_do_not_fake_a_slope() -> None:
    many = Layer(preactivation_grad=1 / math.sqrt(1024), positions=1024)
    silent("AD101", made_up([many, Layer()]))


def test_vanishing_zero_is_another_rules() -> None:
    assert "AD103" in reason("AD101", backward(0.0, 1e-9, 1.0))


def test_vanishing_a_set_threshold_wins_and_says_so() -> None:
    (finding,) = judged("AD101", backward(0.3, 1.0), "AD101.floor=0.5").findings
    assert finding.evidence["threshold"] == 0.5
    assert finding.evidence["threshold_source"] == "set by the user: AD101.floor"


def test_exploding_a_factor_of_nine_is_healthy() -> None:
    silent("AD102", backward(9.0, 3.0, 1.0))


def test_exploding_vanishing_is_not_exploding() -> None:
    silent("AD102", backward(1e-6, 1e-3, 1.0))


def test_exploding_saturated_chaos_is_a_warning() -> None:
    """Tanh with N(0, 1) weights, 10 layers of 256, ratio 2.5e4: still learns digits to 30%."""
    finding = found("AD102", backward(2.5e4, 20.0, 1.0))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (1, 2))


def test_exploding_beyond_what_the_last_layers_can_learn_from_is_an_error() -> None:
    """Calibrated: tanh at 4e4 still learns digits to 35%, softsign at 1.4e6 to 21%."""
    assert found("AD102", backward(1.9e5, 1.0)).severity is Severity.WARNING
    assert found("AD102", backward(2.1e5, 1.0)).severity is Severity.ERROR


def test_exploding_needs_a_gradient_in_the_last_layer() -> None:
    assert "AD103" in reason("AD102", backward(1.0, 0.0))
    silent("AD102", backward(0.0, 1.0))


def test_zero_a_tiny_gradient_is_not_zero() -> None:
    silent("AD103", backward(1e-40, 1.0))


def test_zero_underflow_is_an_error() -> None:
    finding = found("AD103", backward(0.0, 0.0, 1e-38))
    assert (finding.severity, finding.layers) == (Severity.ERROR, (1, 2))
    assert "2 of 3 hidden layers: it underflowed" in finding.message


def test_zero_a_head_that_starts_at_zero_is_worth_knowing_only() -> None:
    layers = [Layer(preactivation_grad=0.0, weight_grad=0.0)] * 2
    finding = found("AD103", made_up(layers, head=Layer(weight=0.0)))
    assert finding.severity is Severity.INFO
    assert "the weights of head start at zero and open in the first step" in finding.message


def test_zero_a_head_at_zero_that_gets_no_gradient_either_is_an_error() -> None:
    layers = [Layer(preactivation_grad=0.0, weight_grad=0.0, activation=0.0)] * 2
    finding = found("AD103", made_up(layers, head=Layer(weight=0.0, weight_grad=0.0)))
    assert finding.severity is Severity.ERROR
    assert "all weights of head are zero" in finding.message


def test_zero_weights_of_zero_everywhere_are_an_error() -> None:
    layers = [Layer(preactivation_grad=0.0, weight_grad=0.0, weight=0.0)] * 2
    recording = made_up(layers, act="sigmoid", spec={"init": "zeros"}, head=Layer(weight=0.0))
    assert found("AD103", recording).severity is Severity.ERROR


def test_zero_names_the_step() -> None:
    recording = backward(0.0, 0.0, act="step", spec={"init": "he"})
    assert "the derivative of step is 0" in found("AD103", recording).message


def test_zero_names_a_dead_layer() -> None:
    layers = [Layer(preactivation_grad=0.0), Layer(preactivation_grad=0.0, dead_units=8.0), Layer()]
    assert "every unit of layer 2 is dead" in found("AD103", made_up(layers, act="relu")).message


def test_zero_names_a_saturated_layer() -> None:
    layers = [Layer(preactivation_grad=0.0, saturated_fraction=1.0), Layer(saturated_fraction=0.5)]
    assert "every unit of layer 1 is saturated" in found("AD103", made_up(layers)).message


def test_zero_a_zero_that_the_gradient_goes_round_is_a_warning() -> None:
    assert found("AD103", backward(1.0, 0.0, 1.0)).severity is Severity.WARNING


def test_zero_a_layer_no_gradient_reaches() -> None:
    layers = [Layer(preactivation_grad=None, weight_grad=None), Layer()]
    finding = found("AD103", made_up(layers))
    assert (finding.severity, finding.layers) == (Severity.ERROR, (1,))
    assert "No gradient reaches 1 of 2 hidden layers, though they are trainable" in finding.message
    assert found("AD103", made_up(layers, own=False)).severity is Severity.WARNING


def test_zero_a_frozen_layer_is_not_one_without_gradient() -> None:
    layers = [Layer(preactivation_grad=None, weight_grad=None), Layer()]
    silent("AD103", made_up(layers, trainable=0))


def test_zero_a_forward_pass_alone_is_not_judged() -> None:
    nothing = Layer(preactivation_grad=None, weight_grad=None)
    assert reason("AD103", made_up([nothing] * 2, head=nothing)) == "no gradient was recorded"


def test_zero_zero_stays_an_error_in_other_models() -> None:
    assert found("AD103", backward(0.0, 1.0, own=False)).severity is Severity.ERROR


def test_zero_the_cause_is_at_the_highest_layer_without_gradient() -> None:
    layers = [Layer(preactivation_grad=0.0, dead_units=8.0), Layer(preactivation_grad=0.0), Layer()]
    assert "underflowed" in found("AD103", made_up(layers, act="relu")).message


def test_zero_a_step_below_is_not_the_cause() -> None:
    """The step is in layer 1; layer 2 has no gradient either, which a step below cannot do."""
    recording = backward(0.0, 0.0, 1.0)
    first = recording.modules["name"] == "layer1.linear"
    recording.modules.loc[first, "activation_after"] = "step"
    assert "underflowed" in found("AD103", recording).message


@pytest.mark.parametrize(("depth", "severity"), [(4, Severity.WARNING), (5, Severity.ERROR)])
def test_zero_a_few_layers_of_step_units_leave_something_to_the_head(depth: int, severity: Severity) -> None:
    """Calibrated: digits are learnt to 35 to 42% at depth 4, to 25 to 31% at depth 5, by the head alone."""
    recording = scan(RunSpec(depth=depth, width=16, act="step", init="he", batch=64))
    finding = found("AD103", recording)
    assert finding.severity is severity
    assert ("the head alone learns" in finding.message) == (severity is Severity.WARNING)


def test_where_dropout_may_have_closed_every_way_it_is_named() -> None:
    finding = found("AD103", scan(RunSpec(depth=3, width=8, batch=16, act="relu", init="he", dropout=0.95)))
    assert "zero in 3 of 3 hidden layers: dropout left no way open on this batch" in finding.message
    assert finding.remedy.startswith("Lower the dropout probability")
