"""Tests for the run specification, its slug, and what a diagnosis concludes from its findings."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actdiag.errors import UsageError
from actdiag.types import CHOICES, VERDICTS, Diagnosis, Finding, Outcome, RunSpec, Severity

DEFAULTS: dict[str, Any] = {
    "depth": 10,
    "width": 256,
    "act": "tanh",
    "init": "xavier",
    "gain": None,
    "bias": None,
    "norm": "none",
    "norm_place": "before",
    "dropout": 0.0,
    "residual": False,
    "data": "gaussian",
    "features": None,
    "classes": None,
    "standardise": True,
    "batch": 512,
    "loss": "cross_entropy",
    "dtype": "float32",
    "device": "cpu",
    "seed": 0,
}

ANOTHER: dict[str, Any] = {
    "depth": 11,
    "width": 257,
    "act": "relu",
    "init": "he",
    "gain": 1.5,
    "bias": 0.0,
    "norm": "batch",
    "norm_place": "after",
    "dropout": 0.1,
    "residual": True,
    "data": "digits",
    "features": 8,
    "classes": 8,
    "standardise": False,
    "batch": 8,
    "loss": "mse",
    "dtype": "float64",
    "device": "cuda",
    "seed": 8,
}

SLUG = re.compile(r"[a-z0-9._-]+")


def test_defaults_are_those_of_the_documented_command() -> None:
    assert asdict(RunSpec()) == DEFAULTS
    assert list(asdict(RunSpec())) == list(DEFAULTS)


def test_spec_is_a_frozen_value() -> None:
    assert RunSpec(seed=3) == RunSpec(seed=3)
    assert hash(RunSpec(seed=3)) == hash(RunSpec(seed=3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunSpec().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 0},
        {"width": 1, "batch": 1, "features": 1, "classes": 1, "seed": 0},
        {"dropout": 0.999},
        {"gain": "torch"},
        {"gain": "exact", "init": "he"},
        {"gain": 1e-9},
        {"bias": -3.0},
        {"act": "leaky_relu:0.1", "init": "normal:0.01"},
        *({name: word} for name, words in CHOICES.items() for word in words),
    ],
)
def test_allowed_values_are_kept(fields: dict[str, Any]) -> None:
    spec = RunSpec(**fields)
    assert {name: getattr(spec, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": -1}, "depth is a whole number >= 0, got -1"),
        ({"depth": 2.0}, "depth is a whole number >= 0, got 2.0"),
        ({"depth": True}, "depth is a whole number >= 0, got True"),
        ({"depth": None}, "depth is a whole number >= 0, got None"),
        ({"width": 0}, "width is a whole number >= 1, got 0"),
        ({"width": "64"}, "width is a whole number >= 1, got '64'"),
        ({"batch": 0}, "batch is a whole number >= 1, got 0"),
        ({"seed": -1}, "seed is a whole number >= 0, got -1"),
        ({"features": 0}, "features is a whole number >= 1, got 0"),
        ({"classes": 0}, "classes is a whole number >= 1, got 0"),
        ({"dropout": 1.0}, "dropout is a probability p with 0 <= p < 1, got 1.0"),
        ({"dropout": -0.1}, "dropout is a probability p with 0 <= p < 1, got -0.1"),
        ({"dropout": math.nan}, "dropout is a probability p with 0 <= p < 1, got nan"),
        ({"bias": math.inf}, "bias is a finite number up to 1e+30, got inf"),
        ({"bias": -1e31}, "bias is a finite number up to 1e+30, got -1e+31"),
        ({"bias": math.nan}, "bias is a finite number up to 1e+30, got nan"),
        ({"gain": 0.0}, "gain is a finite number > 0 and <= 1e+30, got 0.0"),
        ({"gain": -1.0}, "gain is a finite number > 0 and <= 1e+30, got -1.0"),
        ({"gain": math.nan}, "gain is a finite number > 0 and <= 1e+30, got nan"),
        ({"gain": 1e300}, "gain is a finite number > 0 and <= 1e+30, got 1e+300"),
        ({"gain": "big"}, "gain is a number, 'torch' or 'exact', got 'big'"),
        ({"gain": 1.0, "init": "normal:1"}, "initializer 'normal:1' has no gain to set: leave --gain out"),
        ({"gain": "exact", "init": "lsuv"}, "initializer 'lsuv' has no gain to set: leave --gain out"),
        ({"norm": "bach"}, "unknown norm 'bach': did you mean 'batch'? Known: none, batch, layer."),
        ({"norm_place": "behind"}, "unknown norm_place 'behind':"),
        ({"loss": "hing"}, "unknown loss 'hing': did you mean 'hinge'? Known: cross_entropy, mse, hinge."),
        ({"dtype": "float16"}, "unknown dtype 'float16': did you mean 'bfloat16'?"),
        ({"device": "gpu"}, "unknown device 'gpu':"),
        ({"act": "tahn"}, "unknown activation 'tahn': did you mean 'tanh'?"),
        ({"init": "xaver"}, "unknown initializer 'xaver': did you mean 'xavier'?"),
    ],
)
def test_a_value_out_of_range_says_what_was_expected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunSpec(**fields)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "slug"),
    [
        ({}, "tanh-xavier-10x256"),
        ({"act": "leaky_relu:0.1", "init": "he:fan_out"}, "leaky_relu-0.1-he-fan_out-10x256"),
        ({"residual": True, "standardise": False}, "tanh-xavier-10x256-residual-nostandardise"),
        ({"seed": 3, "batch": 64, "data": "digits"}, "tanh-xavier-10x256-digits-batch64-seed3"),
        ({"norm": "batch", "norm_place": "after"}, "tanh-xavier-10x256-normbatch-normplaceafter"),
        ({"depth": 0, "width": 1, "gain": "exact"}, "tanh-xavier-0x1-gainexact"),
    ],
)
def test_slug_names_every_field_that_is_not_the_default(fields: dict[str, Any], slug: str) -> None:
    assert RunSpec(**fields).slug == slug


@pytest.mark.parametrize("name", DEFAULTS)
def test_slug_changes_with_each_field(name: str) -> None:
    assert RunSpec(**{name: ANOTHER[name]}).slug != RunSpec().slug


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"data": "csv:a-b:c"}, {"data": "csv:a:b-c"}),
        ({"data": "idx:A"}, {"data": "idx:a"}),
        ({"data": "idx:a/b"}, {"data": "idx:a b"}),
        ({"data": "idx:a-seed3"}, {"data": "idx:a", "seed": 3}),
        ({"data": "idx:a-nostandardise"}, {"data": "idx:a", "standardise": False}),
        ({"data": "idx:" + "a" * 200}, {"data": "idx:" + "a" * 201}),
        ({"init": "constant:1e-05"}, {"init": "constant:1e05"}),
        ({"init": "constant:1"}, {"init": "constant:-1"}),
        ({"gain": 0.1}, {"gain": 0.1 + 1e-17 + 2e-17}),
        ({"features": 1}, {"classes": 1}),
    ],
)
def test_specs_that_look_alike_have_different_slugs(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert RunSpec(**one) != RunSpec(**other)
    assert RunSpec(**one).slug != RunSpec(**other).slug


@pytest.mark.parametrize(
    ("one", "other"),
    [({"gain": 2}, {"gain": 2.0}), ({"bias": 1}, {"bias": 1.0}), ({"bias": 0.0}, {"bias": -0.0})],
)
def test_equal_specs_have_equal_slugs(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert RunSpec(**one) == RunSpec(**other)
    assert RunSpec(**one).slug == RunSpec(**other).slug


def numbers(lowest: float, highest: float) -> st.SearchStrategy[float]:
    return st.floats(lowest, highest, allow_nan=False, allow_infinity=False)


def parametric(name: str) -> st.SearchStrategy[str]:
    return numbers(0.0, 1e6).map(lambda number: f"{name}:{number}")


SPECS = st.builds(
    RunSpec,
    depth=st.integers(0, 200),
    width=st.integers(1, 5000),
    act=st.sampled_from(["tanh", "relu", "leaky_relu", "elu"]) | parametric("leaky_relu") | parametric("elu"),
    init=st.sampled_from(["xavier", "he", "glorot", "he:fan_out"]),
    gain=st.none() | st.sampled_from(["torch", "exact"]) | numbers(1e-6, 1e6),
    bias=st.none() | numbers(-1e6, 1e6).map(lambda bias: bias + 0.0),
    norm=st.sampled_from(CHOICES["norm"]),
    norm_place=st.sampled_from(CHOICES["norm_place"]),
    dropout=numbers(0.0, 0.99),
    residual=st.booleans(),
    data=st.sampled_from(["gaussian", "digits"]) | st.text("aB-:._/ é0", max_size=150).map("idx:{}".format),
    features=st.none() | st.integers(1, 5000),
    classes=st.none() | st.integers(1, 5000),
    standardise=st.booleans(),
    batch=st.integers(1, 5000),
    loss=st.sampled_from(CHOICES["loss"]),
    dtype=st.sampled_from(CHOICES["dtype"]),
    device=st.sampled_from(CHOICES["device"]),
    seed=st.integers(0, 2**31 - 1),
)


@settings(deadline=None)
@given(spec=SPECS)
def test_slug_is_safe_as_a_folder_name(spec: RunSpec) -> None:
    assert SLUG.fullmatch(spec.slug)
    assert len(spec.slug) <= 120
    assert not spec.slug.startswith((".", "-"))
    assert not spec.slug.endswith(".")


@settings(deadline=None)
@given(one=SPECS, other=SPECS)
def test_specs_that_differ_have_different_slugs(one: RunSpec, other: RunSpec) -> None:
    assert (one == other) is (one.slug == other.slug)


@settings(deadline=None)
@given(spec=SPECS, name=st.sampled_from(list(ANOTHER)))
def test_specs_that_differ_in_one_field_have_different_slugs(spec: RunSpec, name: str) -> None:
    other = dataclasses.replace(spec, **{name: ANOTHER[name]})
    assert (spec == other) is (spec.slug == other.slug)


def test_severity_is_an_ordered_word() -> None:
    assert [Severity(word).rank for word in ("info", "warning", "error")] == [0, 1, 2]
    assert Severity.ERROR == "error"


def finding(run: str, severity: Severity) -> Finding:
    evidence = {"measured": 1e-9}
    return Finding("AD101", "vanishing-gradient", severity, run, (1,), ("0",), "small", evidence, "use he")


@pytest.mark.parametrize(
    ("severities", "verdict", "worst"),
    [
        ([], "healthy", None),
        (["info"], "healthy", "info"),
        (["info", "warning"], "trains worse than it could", "warning"),
        (["error", "info", "warning"], "does not train", "error"),
    ],
)
def test_verdict_of_one_run_is_that_of_its_worst_finding(
    severities: list[str], verdict: str, worst: str | None
) -> None:
    diagnosis = Diagnosis(("a",), tuple(finding("a", Severity(word)) for word in severities))
    assert diagnosis.verdict == verdict
    assert diagnosis.worst == worst
    assert diagnosis.votes == {verdict: 1}
    assert diagnosis.typical_run == "a"


def test_verdict_of_many_runs_is_the_one_that_most_got() -> None:
    findings = (finding("b", Severity.ERROR), finding("d", Severity.WARNING), finding("e", Severity.INFO))
    diagnosis = Diagnosis(("b", "a", "c", "d", "e"), findings)
    assert list(diagnosis.votes.items()) == [
        ("healthy", 3),
        ("does not train", 1),
        ("trains worse than it could", 1),
    ]
    assert diagnosis.verdict == "healthy"
    assert diagnosis.typical_run == "a"


def test_verdict_of_a_tie_is_the_more_severe() -> None:
    diagnosis = Diagnosis(("a", "b"), (finding("b", Severity.ERROR),))
    assert diagnosis.votes == {"does not train": 1, "healthy": 1}
    assert diagnosis.verdict == "does not train"
    assert diagnosis.typical_run == "b"


class Told(tuple[Any, ...]):
    """A tuple that counts how often it is gone through."""

    passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        return super().__iter__()


def test_many_runs_are_told_apart_in_one_pass() -> None:
    """Whatever the number of runs, and whichever of them is asked for."""
    runs = tuple(f"run{number}" for number in range(50))
    findings = Told(finding(run, Severity.ERROR) for run in runs[::2])
    passed = Told(Outcome("AD102", "exploding-gradient", run) for run in runs)
    skipped = Told(Outcome("AD204", "saturated-unit", run, "no") for run in runs[::-1])
    diagnosis = Diagnosis(runs, findings, passed, skipped)
    for run in runs:
        part = diagnosis.of(run)
        assert part.findings == tuple(finding(run, Severity.ERROR) for _ in range(run in runs[::2]))
        assert [each.run for each in (*part.passed, *part.skipped)] == [run, run]
    assert diagnosis.votes == {"does not train": 25, "healthy": 25}
    assert (diagnosis.verdict, diagnosis.typical_run) == ("does not train", "run0")
    assert (findings.passes, passed.passes, skipped.passes) == (1, 1, 1)


def test_each_run_is_judged_once_for_the_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    original = Diagnosis.run_verdict.fget
    monkeypatch.setattr(
        Diagnosis,
        "run_verdict",
        property(lambda self: (asked.append(self.runs), original(self))[1]),  # type: ignore[misc]
    )
    diagnosis = Diagnosis(("a", "b", "c"), (finding("a", Severity.ERROR),))
    assert (diagnosis.votes["healthy"], diagnosis.verdict, diagnosis.typical_run) == (2, "healthy", "b")
    assert asked == [("a",), ("b",), ("c",)]


def test_the_part_of_a_run_that_nothing_is_said_of_is_empty() -> None:
    diagnosis = Diagnosis(("a",), (finding("b", Severity.ERROR),))
    assert Diagnosis(("z",)).of("z") == Diagnosis(("z",))
    assert diagnosis.of("b").worst is Severity.ERROR
    assert diagnosis == Diagnosis(("a",), (finding("b", Severity.ERROR),))


def test_verdict_of_no_run_is_that_there_is_nothing_to_judge() -> None:
    assert Diagnosis(()).verdict == "nothing to judge"
    assert Diagnosis(()).votes == {}
    assert Diagnosis(()).worst is None


def test_of_keeps_what_concerns_one_run() -> None:
    findings = (finding("a", Severity.ERROR), finding("b", Severity.INFO))
    passed = (Outcome("AD1", "one", "a"), Outcome("AD1", "one", "b"))
    skipped = (Outcome("AD2", "two", "b", "no activation"), Outcome("AD2", "two", "a", "no weight"))
    part = Diagnosis(("a", "b"), findings, passed, skipped).of("b")
    assert part == Diagnosis(("b",), findings[1:], passed[1:], skipped[:1])


def test_nothing_judged_is_not_healthy() -> None:
    skipped = (Outcome("AD101", "vanishing-gradient", "r", "there is no hidden layer"),)
    passed = (Outcome("AD901", "nonfinite-value", "r"),)
    assert Diagnosis(("r",), (), passed, skipped).verdict == "not judged"
    collapsed, exploding = (
        Outcome("AD206", "collapsed-signal", "r"),
        Outcome("AD102", "exploding-gradient", "r"),
    )
    assert Diagnosis(("r",), (), (*passed, collapsed), skipped).verdict == "not judged"
    assert Diagnosis(("r",), (), (*passed, exploding), skipped).verdict == "healthy"
    assert Diagnosis(("r",), (), (collapsed,), ()).verdict == "healthy"  # as selected
    assert Diagnosis(("r",), (), passed, ()).verdict == "not judged"


@pytest.mark.parametrize(
    ("code", "severity", "verdict"),
    [
        ("AD305", Severity.INFO, "not judged"),
        ("AD102", Severity.INFO, "healthy"),
        ("AD305", Severity.WARNING, VERDICTS[Severity.WARNING]),
    ],
)
def test_a_hint_is_no_judgement(code: str, severity: Severity, verdict: str) -> None:
    skipped = (Outcome("AD101", "vanishing-gradient", "r", "there is no hidden layer"),)
    found = dataclasses.replace(finding("r", severity), code=code)
    assert Diagnosis(("r",), (found,), (), skipped).verdict == verdict


def test_a_diagnosis_prints_what_was_found_and_what_to_do() -> None:
    found = finding("r", Severity.ERROR)
    skipped = (Outcome("AD204", "saturated-unit", "r", "it does not saturate"),)
    assert str(Diagnosis(("r",), (found,), (), skipped)).splitlines() == [
        "DOES NOT TRAIN",
        "error AD101 vanishing-gradient: small",
        "    Remedy: use he",
        "not judged: AD204 saturated-unit: it does not saturate",
    ]
    assert "vanishing-gradient in b: small" in str(Diagnosis(("a", "b"), (finding("b", Severity.ERROR),)))
