"""What holds for every rule, and what the remedies say."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace

import pandas as pd
import pytest
from judging import backward, found, judged, reason, silent
from recordings import Layer, made_up

from actdiag.rules import RULES
from actdiag.types import Severity

SECTIONS = ["What it measures:", "Why it matters:", "What to do:", "References:"]


@pytest.mark.parametrize("code", RULES)
def test_every_rule_documents_itself(code: str) -> None:
    rule = RULES[code]
    text = rule.explanation()
    assert [line for line in text.splitlines() if line in SECTIONS] == SECTIONS
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.name)
    assert re.fullmatch(r"AD\d{3}", code)
    assert rule.__module__ == f"actdiag.rules.{code.lower()}"
    assert rule.bad.startswith(("actdiag scan ", "actdiag attach "))
    assert rule.good.startswith(("actdiag scan ", "actdiag attach "))


@pytest.mark.parametrize("code", RULES)
def test_every_rule_says_where_its_thresholds_come_from(code: str) -> None:
    for item in fields(RULES[code]):
        assert len(RULES[code].source_of(item.name)) > 20


@pytest.mark.parametrize("code", RULES)
def test_every_rule_is_silent_on_a_healthy_network(code: str) -> None:
    layer = Layer(dead_units=1.0, saturated_fraction=0.1, weight=0.5, fan_in=8, expected=1.0)
    healthy = made_up([layer] * 4, act="relu")  # relu: Var[w] = 2 / 8
    silent(code, healthy)


@pytest.mark.parametrize("code", RULES)
def test_every_rule_does_not_judge_a_perceptron(code: str) -> None:
    if RULES[code].once:
        silent(code, made_up([]))
    else:
        assert reason(code, made_up([])) == "there is no hidden layer"


@pytest.mark.parametrize("code", RULES)
def test_every_rule_does_not_talk_nonsense_about_nan(code: str) -> None:
    every = dict.fromkeys(
        ("preactivation", "preactivation_grad", "activation", "weight", "weight_grad"), (3, 2)
    )
    rotten = Layer(
        preactivation=math.nan,
        preactivation_grad=math.nan,
        activation=math.nan,
        std_across=math.nan,
        correlation=math.nan,
        dead_units=2.0,
        saturated_fraction=0.9,
        broken=every,
    )
    recording = made_up([Layer(), rotten, rotten])
    if code == "AD901":
        assert found(code, recording).severity is Severity.ERROR
    elif RULES[code].once:
        silent(code, recording)
    else:
        assert "is not finite (see AD901)" in reason(code, recording)


@pytest.mark.parametrize("code", RULES)
@pytest.mark.parametrize("scale", [2.0**10, 2.0**-20])
def test_every_rule_does_not_depend_on_the_scale_of_the_loss(code: str, scale: float) -> None:
    sizes = [(1e-5, 1e-4), (0.02, 0.5), (1.0, 1.0), (40.0, 3.0), (1e8, 1e4)]
    for gradient, signal in sizes:
        layers = [Layer(preactivation_grad=gradient), Layer(activation=signal), Layer(activation=signal)]
        scaled = [
            replace(
                x,
                preactivation_grad=scale * (x.preactivation_grad or 0.0),
                weight_grad=scale * (x.weight_grad or 0.0),
            )
            for x in layers
        ]
        before, after = judged(code, made_up(layers)), judged(code, made_up(scaled))
        assert [(f.code, f.severity, f.layers) for f in before.findings] == [
            (f.code, f.severity, f.layers) for f in after.findings
        ]
        for one, other in zip(before.findings, after.findings, strict=True):
            assert one.evidence["measured"] == pytest.approx(other.evidence["measured"], rel=1e-12)


def test_remedy_the_wrong_variance_names_the_partner() -> None:
    recording = backward(1e-5, 1.0, act="relu", spec={"init": "normal:0.01", "width": 256})
    remedy = found("AD101", recording).remedy
    assert "--init he_normal" in remedy
    assert "Var[w] is 0.0078" in remedy  # 2 / 256
    assert "that of normal:0.01 1e-4" in remedy


def test_remedy_a_gain_counts() -> None:
    spec = {"init": "xavier", "gain": 0.1}
    assert "--init xavier_uniform" in found("AD101", backward(1e-5, 1.0, spec=spec)).remedy


def test_remedy_an_activation_without_a_partner_goes() -> None:
    remedy = found("AD101", backward(1e-5, 1.0, act="sigmoid")).remedy
    assert remedy.startswith("Replace sigmoid: its derivative is at most 1/4")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "--norm batch, --residual, or fewer layers (--depth 1)"),
        ({"norm": "batch"}, "use --residual, or fewer layers"),
        ({"residual": True}, "use --norm batch, because"),
        ({"norm": "layer", "residual": True}, "use fewer layers"),
    ],
)
def test_remedy_the_right_variance_leaves_the_structure(spec: dict[str, object], expected: str) -> None:
    remedy = found("AD101", backward(1e-5, 1.0, spec={"init": "xavier_normal", **spec})).remedy
    assert remedy.startswith("xavier_normal is the usual initializer for tanh already: use")
    assert expected in remedy


def test_remedy_other_models_have_modules_not_flags() -> None:
    for act in ("tanh", "sigmoid"):
        recording = backward(1e-5, 1.0, act=act, own=False)
        remedy = found("AD101", recording).remedy
        assert "layer1.linear" in remedy
        assert "--" not in remedy


def test_remedy_a_long_list_of_modules_is_cut() -> None:
    remedy = found("AD101", backward(*[1e-5] * 6, 1.0, own=False)).remedy
    assert "layer4.linear (tanh: xavier_uniform) and 3 more." in remedy  # all seven
    assert "layer5" not in remedy
    short = found("AD101", backward(*[1e-5] * 3, 1.0, own=False)).remedy
    assert "layer4.linear (tanh: xavier_uniform)." in short


def test_remedy_an_activation_to_replace_is_told_once() -> None:
    recording = backward(*[1e-5] * 6, 1.0, act="sigmoid", own=False)
    remedy = found("AD101", recording).remedy
    expected = "layer1.linear, layer2.linear, layer3.linear, layer4.linear and 3 more: its derivative"
    assert remedy.startswith(f"Replace sigmoid behind {expected}")
    assert remedy.count("derivative") == 1
    assert "Initialise" not in remedy


def test_remedy_half_the_layers() -> None:
    assert "--depth 3)" in found("AD101", backward(1e-5, *[1.0] * 5)).remedy


def test_the_first_step_is_judged() -> None:
    recording = backward(1e-5, 1.0)
    later = recording.rows.assign(step=1)
    later.loc[later["tensor"] == "preactivation_grad", "rms"] = 1.0
    rows = pd.concat([recording.rows, later], ignore_index=True)
    assert found("AD101", replace(recording, rows=rows)).evidence["measured"] == pytest.approx(1e-5)


def test_the_first_layer_that_is_not_finite_is_named() -> None:
    broken = Layer(broken={"activation": (1, 0)})
    expected = "the activation of layer 2 is not finite (see AD901)"
    assert reason("AD201", made_up([Layer(), broken, broken])) == expected


def test_rules_are_told_by_their_codes() -> None:
    assert list(RULES) == sorted(RULES)
