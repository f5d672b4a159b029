"""AD001 and AD305 on made-up modules: what must not fire first, then what must."""

from __future__ import annotations

import pytest
from judging import found, judged, silent
from recordings import Layer, made_up, with_module

from actdiag.diagnosis import diagnose
from actdiag.recording import Recording
from actdiag.rules.ad001 import REMEDIES
from actdiag.types import Finding, Severity

HEALTHY = [Layer(), Layer()]
DIRECT = (
    "its parameters got a gradient though it was never called: they were used directly, as module.forward(x) "
    "or F.linear(x, module.weight) do"
)


def unseen(name: str, reason: str, calls: int = 0, observed: bool = False, **rest: object) -> Recording:
    return with_module(
        made_up(HEALTHY, own=False), name, reason=reason, calls=calls, observed=observed, **rest
    )


def only(recording: Recording) -> Finding:
    (finding,) = diagnose(recording).findings
    return finding


def test_unobserved_containers_do_not_count() -> None:
    silent("AD001", unseen("blocks", "not called", kind="container"))
    silent("AD001", unseen("blocks", "its output is a generator", calls=1, kind="container"))


@pytest.mark.parametrize("kind", ["activation", "norm", "product"])
def test_unobserved_what_was_not_called_is_worth_knowing_only(kind: str) -> None:
    recording = unseen("extra", "not called", kind=kind)
    finding = only(recording)
    assert (finding.code, finding.severity, finding.modules) == ("AD001", Severity.INFO, ("extra",))
    assert finding.message == "1 of 8 modules was not observed: not called (extra)."
    assert finding.layers == ()
    assert diagnose(recording).verdict == "healthy"


@pytest.mark.parametrize(
    "reason", ["not selected", "passive: it runs inside a compiled model", "it returns no tensor"]
)
def test_unobserved_what_the_user_chose_not_to_see_is_no_warning(reason: str) -> None:
    assert found("AD001", unseen("extra", reason, calls=3)).severity is Severity.INFO


@pytest.mark.parametrize("kind", ["int64", "bool", "uint8"])
def test_unobserved_whole_numbers_carry_no_gradient(kind: str) -> None:
    for reason in (f"its output is {kind}", f"'hidden.1' is {kind}; 'hidden.2' is {kind}"):
        finding = found("AD001", unseen("pool", reason, calls=1))
        assert finding.severity is Severity.INFO
        assert "whole numbers" in finding.remedy
    mixed = found("AD001", unseen("pool", f"'0' is {kind}; '1' is sparse (sparse_coo)", calls=1))
    assert mixed.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("reason", "calls", "remedy"),
    [
        (DIRECT, 0, "Call it through module(x)"),
        ("TorchScript: it runs inside a graph that calls no hook", 0, "before torch.jit.script"),
        ("it came into the model after attach", 0, "once the model is complete"),
        ("its output is a generator: what it yields is computed later", 1, "Return tensors"),
        ("its output is a Graph, which is not looked into", 1, "Return tensors"),
        ("its output is complex (complex64)", 1, "modules around them"),
        ("its output is sparse (sparse_coo)", 1, "modules around them"),
        ("its output is a nested tensor", 1, "modules around them"),
        ("its output is inside a torch.func transform (vmap, grad, jvp)", 1, "without vmap"),
        ("its output is being captured into a CUDA graph", 1, "without a CUDA graph"),
        ("its output is on the meta device: it has a shape and no values", 1, "Give the model values"),
        ("could not be measured: RuntimeError: odd", 1, "modules before and after"),
    ],
)
def test_unobserved_what_ran_is_a_warning_with_a_remedy(reason: str, calls: int, remedy: str) -> None:
    finding = found("AD001", unseen("odd", reason, calls=calls))
    assert finding.severity is Severity.WARNING
    assert "the verdict may miss something there" in finding.message
    assert f"{reason} (odd)" in finding.message
    assert remedy in finding.remedy
    assert finding.remedy.count(".") >= 1


def test_unobserved_every_remedy_is_given_for_some_reason() -> None:
    """A pattern that an earlier one hides would never be seen."""
    for words, remedy in REMEDIES:
        reason = words.split("|")[0]
        assert remedy in found("AD001", unseen("odd", reason)).remedy


def test_unobserved_a_part_is_told_as_such() -> None:
    recording = unseen("lstm", "'1.0' is complex (complex64)", calls=1, observed=True, layer=2)
    finding = found("AD001", recording)
    assert (finding.severity, finding.layers) == (Severity.WARNING, (2,))
    assert "1 of 8 modules ran and could not be seen in full" in finding.message


def test_unobserved_reasons_are_grouped_counted_and_cut_short() -> None:
    recording = made_up(HEALTHY, own=False)
    for number in range(9):
        recording = with_module(recording, f"late{number}", reason="not called", observed=False)
    recording = with_module(recording, "skipped", reason="not selected", observed=False, calls=1)
    message = found("AD001", recording).message
    assert message == (
        "10 of 17 modules were not observed: 9 not called (late0, late1, late2 and 6 more); "
        "1 not selected (skipped)."
    )
    assert len(found("AD001", recording).modules) == 10


def test_unobserved_two_kinds_are_two_findings() -> None:
    recording = with_module(
        unseen("late", "not called"), "odd", reason="its output is complex (complex64)", calls=1
    )
    assert [(f.severity, f.modules) for f in judged("AD001", recording).findings] == [
        (Severity.WARNING, ("odd",)),
        (Severity.INFO, ("late",)),
    ]


def unused(name: str, parameters: str, calls: int, **rest: object) -> Recording:
    return with_module(made_up(HEALTHY, own=False), name, unused=parameters, calls=calls, **rest)


def test_unused_a_module_that_was_not_called_is_worth_knowing_only() -> None:
    recording = unused("spare", "bias, weight", 0)
    finding = only(recording)
    assert (finding.code, finding.severity, finding.modules) == ("AD305", Severity.INFO, ("spare",))
    assert "2 trainable parameters get no gradient" in finding.message
    assert finding.message.endswith("no call of their modules was seen: spare.bias, spare.weight.")
    assert diagnose(recording).verdict == "healthy"


def test_unused_a_module_that_was_called_is_a_warning() -> None:
    finding = only(unused("gate", "weight", 2, layer=1))
    assert (finding.code, finding.severity, finding.layers) == ("AD305", Severity.WARNING, (1,))
    assert "1 trainable parameter gets no gradient while others do" in finding.message
    assert finding.message.endswith("they will never move: gate.weight.")
    for words in ("detach()", "requires_grad_(False)", "remove the modules"):
        assert words in finding.remedy


def test_unused_a_teacher_under_no_grad_is_worth_knowing_only() -> None:
    recording = unused("teacher", "weight", 3, in_graph=False)
    finding = only(recording)
    assert (finding.severity, finding.modules) == (Severity.INFO, ("teacher",))
    assert "under no_grad() alone: teacher.weight." in finding.message
    assert diagnose(recording).verdict == "healthy"


def test_unused_parameters_of_the_model_itself_have_no_module_before_them() -> None:
    assert found("AD305", unused("", "scale", 1, kind="container")).message.endswith("never move: scale.")


def test_unused_both_kinds_are_two_findings() -> None:
    recording = with_module(unused("gate", "weight", 1), "spare", unused="weight", calls=0)
    assert [f.severity for f in judged("AD305", recording).findings] == [Severity.WARNING, Severity.INFO]


def cut(act: str, reported: str = "bias, weight") -> Recording:
    layers = [Layer(preactivation_grad=None, weight_grad=None), Layer()]
    recording = made_up(layers, act=act, own=False)
    return with_module(recording, "layer1.linear", unused=reported, calls=1)


def test_unused_a_cut_graph_is_told_once() -> None:
    """AD305 names the parameters and the detach(); AD103 keeps what it can explain."""
    assert [(f.code, f.severity) for f in diagnose(cut("tanh")).findings] == [("AD305", Severity.WARNING)]
    assert [(f.code, f.severity) for f in diagnose(cut("step")).findings] == [("AD103", Severity.WARNING)]
    finding = only(cut("tanh", reported=""))
    assert finding.code == "AD103"
    assert "what cuts the graph" in finding.remedy
