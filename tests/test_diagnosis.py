"""The diagnosis: every rule over every run."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from recordings import Layer, made_up, over_time, with_module
from torch import nn

from actdiag import attach
from actdiag.diagnosis import codes_found, diagnose, in_order
from actdiag.errors import UsageError
from actdiag.recording import Recording, concatenate
from actdiag.reporters.html import context
from actdiag.rules import RULES
from actdiag.settings import Settings
from actdiag.tables import Table
from actdiag.types import NOT_JUDGED, Severity

HEALTHY = [Layer(), Layer(), Layer()]
VANISHING = [Layer(preactivation_grad=1e-6), Layer(preactivation_grad=1e-3), Layer()]
BOTH = [Layer(preactivation_grad=0.02), Layer(activation=0.3), Layer(activation=1e-4)]


def test_every_rule_has_one_outcome_in_every_run() -> None:
    recording = concatenate([made_up(HEALTHY, run="a"), made_up(VANISHING, run="b")])
    diagnosis = diagnose(recording)
    assert diagnosis.runs == ("a", "b")
    for run in ("a", "b"):
        part = diagnosis.of(run)
        codes = [x.code for x in (*part.findings, *part.passed, *part.skipped)]
        assert sorted(codes) == sorted(RULES)


def test_a_run_is_judged_by_its_own_rows() -> None:
    recording = concatenate([made_up(HEALTHY, run="a"), made_up(VANISHING, run="b")])
    assert [(f.run, f.code) for f in diagnose(recording).findings] == [("b", "AD101")]


def failing(run: str, error: str) -> Recording:
    """Return the recording of a run that could not be measured: its facts, no rows, no modules."""
    recording = made_up(HEALTHY, run=run)
    facts = {"spec": recording.meta["runs"][run]["spec"], "error": error}
    meta = {**recording.meta, "runs": {run: facts}}
    return Recording(recording.rows[:0], recording.modules[:0], meta=meta)


def test_a_run_that_failed_is_not_judged_and_says_why() -> None:
    failed = failing("b", "ValueError: no such file")
    recording = concatenate([made_up(VANISHING, run="a"), failed, made_up(HEALTHY, run="c")])
    diagnosis = diagnose(recording)
    part = diagnosis.of("b")
    assert (part.findings, part.passed) == ((), ())
    assert [outcome.code for outcome in part.skipped] == sorted(RULES)
    assert {outcome.reason for outcome in part.skipped} == {"the run failed: ValueError: no such file"}
    assert part.run_verdict == NOT_JUDGED
    for name, layers in (("a", VANISHING), ("c", HEALTHY)):
        assert diagnosis.of(name) == diagnose(made_up(layers, run=name))


def test_where_every_run_failed_the_verdict_is_not_judged() -> None:
    diagnosis = diagnose(failing("a", "MemoryError: "), Settings.parse(["AD9"]))
    assert (diagnosis.verdict, diagnosis.typical_run) == (NOT_JUDGED, "a")
    assert diagnosis.skipped[0].reason == "the run failed: MemoryError: "
    assert codes_found(failing("a", "MemoryError: ")) == frozenset()


def test_runs_whose_rows_do_not_stand_together_are_judged_as_if_they_did() -> None:
    """Every other row is of the other run, so that neither is a block."""
    together = concatenate([made_up(BOTH, run="a"), made_up(VANISHING, run="b")])
    count = len(together.rows) // 2
    order = [place for pair in zip(range(count), range(count, 2 * count), strict=True) for place in pair]
    units = {new: together.units[old] for new, old in enumerate(order)}
    rows = together.rows.iloc[order].reset_index(drop=True)
    recording = replace(together, rows=rows, modules=together.modules.iloc[::-1], units=units)
    assert diagnose(recording).findings == diagnose(together).findings
    assert diagnose(recording).passed == diagnose(together).passed


def test_the_rows_of_all_runs_are_told_apart_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of runs: no run asks the recording for its part."""
    recording = concatenate([made_up(HEALTHY, run=f"run{number}") for number in range(5)])
    split: list[str] = []
    original = Table.split
    monkeypatch.setattr(Table, "split", lambda self, name: (split.append(name), original(self, name))[1])
    monkeypatch.setattr(Recording, "of", lambda self, run: pytest.fail("a run was looked for by itself"))
    assert diagnose(recording).verdict == "healthy"
    assert split.count("run") == 2  # rows and modules


def test_the_worst_comes_first_then_the_code() -> None:
    findings = diagnose(made_up([*BOTH[:2], Layer(activation=1e-4, saturated_fraction=0.9)])).findings
    assert [(f.code, f.severity.value) for f in findings] == [
        ("AD201", "error"),
        ("AD101", "warning"),
        ("AD204", "warning"),
    ]


def unscaled(recording: Recording) -> Recording:
    """Return the recording with raw pixels as its input."""
    rows = recording.rows.assign(rms=recording.rows["rms"].mask(recording.rows["tensor"] == "input", 125.0))
    return replace(recording, rows=rows)


def told(recording: Recording) -> list[tuple[str, str]]:
    return [(found.code, found.severity.value) for found in diagnose(recording).findings]


def test_an_unscaled_input_comes_before_what_it_brings_about() -> None:
    assert told(unscaled(made_up(VANISHING))) == [("AD501", "warning"), ("AD101", "error")]
    assert told(unscaled(made_up(HEALTHY))) == [("AD501", "warning")]
    twice = concatenate([made_up(VANISHING, run="a"), unscaled(made_up(HEALTHY, run="b"))])
    assert told(twice) == [("AD101", "error"), ("AD501", "warning")]  # of another run: it is no cause there


def test_every_output_says_to_scale_the_input_first() -> None:
    recording = unscaled(made_up(VANISHING))
    diagnosis = diagnose(recording)
    first = diagnosis.findings[0]
    page = context(recording, diagnosis)
    assert page["worst"].code == "AD101"
    assert page["advice"] == f"{first.remedy} Then judge again: what else was found may stay."
    backwards = replace(diagnosis, findings=diagnosis.findings[::-1])
    assert [each["finding"].code for each in context(recording, backwards)["findings"]] == ["AD501", "AD101"]
    assert first.remedy.startswith("Leave --no-standardise out") or first.remedy.startswith("Subtract each")
    assert in_order(backwards.findings) == [*diagnosis.findings]


@pytest.mark.parametrize("own", [True, False])
def test_dead_units_come_before_the_zero_gradient_that_they_leave(own: bool) -> None:
    dead = Layer(preactivation_grad=0.0, dead_units=8.0, correlation=0.9, activation=0.0)
    alive = Layer(dead_units=0.0, correlation=0.9)
    recording = made_up([replace(alive, preactivation_grad=0.0), dead, alive], act="relu", own=own)
    first, second = diagnose(recording).findings[:2]
    assert (first.code, second.code, second.severity) == ("AD203", "AD103", Severity.ERROR)
    assert first.severity is (Severity.ERROR if own else Severity.WARNING)
    assert "every unit of layer 2 is dead (see AD203)" in second.message
    assert first.remedy == second.remedy


def test_what_is_worth_knowing_only_goes_before_nothing() -> None:
    findings = diagnose(made_up(VANISHING)).findings
    known = replace(findings[0], code="AD501", severity=Severity.INFO)
    assert [found.code for found in in_order([known, *findings])] == ["AD101", "AD501"]


def test_what_cannot_be_judged_says_why() -> None:
    skipped = {x.code: x.reason for x in diagnose(made_up(HEALTHY, act="gelu")).skipped}
    assert skipped["AD204"] == "the activation does not saturate"


def test_selected_rules_alone() -> None:
    diagnosis = diagnose(made_up(VANISHING), Settings.parse(["AD2"], ["AD204"]))
    codes = {x.code for x in (*diagnosis.findings, *diagnosis.passed, *diagnosis.skipped)}
    assert codes == {code for code in RULES if code.startswith("AD2")} - {"AD204"}


def test_thresholds_reach_the_rule() -> None:
    settings = Settings.parse(assignments=["AD101.error=1e-9", "AD101.both=1e-9"])
    assert diagnose(made_up(VANISHING), settings).worst is Severity.WARNING


def test_a_calibrated_error_is_a_warning_in_a_model_of_the_users_own() -> None:
    (finding,) = diagnose(made_up(VANISHING, own=False)).findings
    assert (finding.code, finding.severity) == ("AD101", Severity.WARNING)
    assert finding.message.endswith(
        "(No error: the thresholds are made for the networks of actdiag scan, and this model may differ.)"
    )
    (own,) = diagnose(made_up(VANISHING)).findings
    assert own.severity is Severity.ERROR
    assert "Not called" not in own.message


def test_a_warning_needs_no_cap() -> None:
    (finding,) = diagnose(made_up([Layer(preactivation_grad=0.05), Layer()], own=False)).findings
    assert "Not called" not in finding.message


def test_nan_stays_an_error_in_any_model() -> None:
    recording = made_up([Layer(), Layer(broken={"activation": (1, 0)})], own=False)
    findings = diagnose(recording).findings
    assert [(f.code, f.severity) for f in findings] == [("AD901", Severity.ERROR)]


def test_evidence_is_plain() -> None:
    for finding in diagnose(made_up(BOTH)).findings:
        assert set(finding.evidence) >= {"measured", "expected", "threshold", "threshold_source"}
        assert all(type(value) in (int, float, str) for value in finding.evidence.values())


def test_no_rule_left_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no rule is left to judge by: ignore holds all of AD101"):
        diagnose(made_up(HEALTHY), Settings.parse(["AD101"], ["AD1"]))


def test_what_was_not_seen_is_told_after_what_was_found() -> None:
    layers = [Layer(preactivation_grad=0.05), Layer()]
    recording = with_module(made_up(layers), "odd", reason="its output is complex (complex64)", calls=1)
    assert [f.code for f in diagnose(recording).findings] == ["AD101", "AD001"]


def small(gradient: float) -> Recording:
    return made_up([Layer(preactivation_grad=gradient), Layer()])


def test_a_later_step_adds_what_is_new_and_says_from_when() -> None:
    findings = diagnose(over_time(small(1.0), small(0.05), small(0.04))).findings
    (finding,) = findings
    assert (finding.code, finding.severity) == ("AD101", Severity.INFO)
    assert finding.evidence["measured"] == pytest.approx(0.05)
    assert "a factor of 0.05 per layer (from step 10). (Worth knowing only:" in finding.message


def test_what_the_first_step_showed_is_not_told_again() -> None:
    (finding,) = diagnose(over_time(small(0.05), small(0.04), small(0.03))).findings
    assert finding.evidence["measured"] == pytest.approx(0.05)
    assert "from step" not in finding.message


def test_a_threshold_for_the_start_of_training_is_no_verdict_on_its_end() -> None:
    diagnosis = diagnose(over_time(small(1.0), small(1e-5)))
    assert diagnosis.verdict == "healthy"
    assert [f.severity for f in diagnosis.findings] == [Severity.INFO]
    (warned,) = diagnose(over_time(small(0.05), small(1e-5))).findings
    assert warned.severity is Severity.WARNING
    assert "from step" not in warned.message


def test_worth_knowing_at_first_does_not_hide_what_comes_later() -> None:
    """A head at zero is harmless at step 0; at step 10 every unit is dead."""
    nothing = Layer(preactivation_grad=0.0, weight_grad=0.0)
    start = made_up([nothing] * 2, act="relu", head=Layer(weight=0.0))
    dead = made_up([replace(nothing, dead_units=8.0)] * 2, act="relu")
    severities = [f.severity for f in diagnose(over_time(start, dead)).findings if f.code == "AD103"]
    assert severities == [Severity.ERROR, Severity.INFO]


def test_steps_without_histograms_are_not_judged() -> None:
    recording = over_time(small(1.0), small(1e-5), small(1.0), kept=[0, 20])
    assert diagnose(recording).findings == ()
    assert diagnose(replace(recording, histograms={})).findings == ()


def test_a_rule_that_could_judge_one_step_is_not_skipped() -> None:
    silent = made_up([Layer(activation=0.0)] * 2)
    assert "AD201" in {outcome.code for outcome in diagnose(silent).skipped}
    for steps in ((silent, small(1.0)), (small(1.0), silent)):
        diagnosis = diagnose(over_time(*steps))
        assert "AD201" in {outcome.code for outcome in diagnosis.passed}
        assert "AD201" not in {outcome.code for outcome in diagnosis.skipped}
    assert "AD201" in {outcome.code for outcome in diagnose(over_time(silent, silent)).skipped}


def test_the_first_step_of_a_tensor_counts_as_the_first() -> None:
    """A pass without a gradient first, as a warm-up."""
    nothing = Layer(preactivation_grad=None, weight_grad=None)
    (finding,) = diagnose(over_time(made_up([nothing] * 2, head=nothing), small(0.05))).findings
    assert finding.code == "AD101"


def judged_steps(monkeypatch: pytest.MonkeyPatch, code: str, recording: Recording) -> list[int | None]:
    """Return the steps that a rule is asked about, None for the first."""
    steps: list[int | None] = []
    original = RULES[code].judge
    monkeypatch.setattr(
        RULES[code], "judge", lambda self, run: (steps.append(run.step), original(self, run))[1]
    )
    diagnose(recording, Settings.parse([code]))
    return steps


def test_rules_about_all_steps_or_none_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = over_time(small(1.0), small(1.0))
    for code, rule in RULES.items():
        assert judged_steps(monkeypatch, code, recording) == ([None] if rule.once else [None, 10])
    assert {code for code, rule in RULES.items() if rule.once} >= {"AD001", "AD305", "AD901"}


def test_nan_is_told_once_whichever_step_it_came_from() -> None:
    broken = made_up([Layer(), Layer(broken={"activation": (1, 0)})])
    (finding,) = diagnose(over_time(made_up(HEALTHY), broken, broken)).findings
    assert finding.code == "AD901"
    assert "step 10" in finding.message
    assert "from step" not in finding.message


def test_very_many_steps_are_judged_at_some_of_them_the_last_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = over_time(*[small(1.0)] * 200, small(0.05))
    (finding,) = diagnose(recording).findings
    assert "(from step 2000)" in finding.message
    first, *others = judged_steps(monkeypatch, "AD101", recording)
    steps = [step for step in others if step is not None]
    assert first is None
    assert len(steps) == 50
    assert (steps[0], steps[-1]) == (10, 2000)
    assert {after - before for before, after in pairwise(steps)} == {40, 50}  # 1990 / 49 = 40.6


def test_codes_found_are_those_of_errors_and_warnings() -> None:
    recording = with_module(made_up(VANISHING, own=False), "late", reason="not called", observed=False)
    assert codes_found(recording) == {"AD101"}
    assert codes_found(made_up(HEALTHY)) == frozenset()
    assert codes_found(made_up([Layer(), Layer(broken={"activation": (1, 0)})])) == {"AD901"}
    assert codes_found(made_up(BOTH)) == {"AD101", "AD201"}


def test_a_run_that_there_is_not_has_no_verdict() -> None:
    diagnosis = diagnose(made_up(VANISHING, run="a"))
    with pytest.raises(UsageError, match=r"^unknown run 'b': expected one of diagnosis\.runs, as a$"):
        diagnosis.of("b")


def test_what_the_reader_should_know_stands_below() -> None:
    recording = concatenate([made_up(HEALTHY, run=run) for run in ("a", "b")])
    runs = {run: {**facts, "notes": [f"of {run}"]} for run, facts in recording.meta["runs"].items()}
    diagnosis = diagnose(replace(recording, meta={**recording.meta, "runs": runs}))
    assert str(diagnosis).endswith("\nnote: of a\nnote: of b")
    assert "note: of b" not in str(diagnosis.of("a"))


def test_an_empty_batch_is_not_called_infinite() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    with attach(model) as recorder:
        model(torch.zeros(0, 8)).sum().backward()
        recorder.step()
    diagnosis = diagnose(recorder.recording())
    assert diagnosis.verdict == NOT_JUDGED
    reasons = {outcome.code: outcome.reason for outcome in diagnosis.skipped}
    assert reasons["AD101"] == "the preactivation_grad of layer 1 holds no samples"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("scales", "size"),
    [
        ([1.0, 1.0, 1.0], 1e160),
        ([1e155, 1.0, 1.0], 1.0),
        ([1e155] * 5, 1.0),
        ([1e-200, 1.0, 1e200, 1.0, 1.0, 1.0], 1.0),
        ([1e-300, 1e300, 1e-300, 1e300, 1.0, 1.0], 1.0),
        ([1e-300, 1e-10, 1e300], 1.0),
    ],
)
@pytest.mark.parametrize("act", [nn.Tanh, nn.ReLU])
def test_sizes_whose_squares_float64_lacks_are_judged(
    scales: list[float], size: float, act: type[nn.Module]
) -> None:
    torch.manual_seed(0)
    linears = [nn.Linear(16, 16).double() for _ in scales]
    for linear, scale in zip(linears, scales, strict=True):
        linear.weight.data.mul_(scale)
    model = nn.Sequential(*(part for linear in linears for part in (linear, act())))
    inputs = torch.randn(32, 16, dtype=torch.float64) * size
    with attach(model) as recorder:
        model(inputs).sum().backward()
        recorder.step()
    recording = recorder.recording()
    assert recording.meta["runs"]["model"]["notes"] == []
    diagnosis = diagnose(recording)
    found = {finding.code for finding in diagnosis.findings}
    assert len(diagnosis.passed) + len(diagnosis.skipped) + len(found) == len(RULES)
