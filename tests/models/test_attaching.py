"""The ways of attaching: to what, for how long, how many at once."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from actdiag import attach, schema
from actdiag.errors import UsageError
from actdiag.recording import Recording
from models.plainly import (
    Nested,
    Net,
    assert_row,
    assert_rows,
    facts,
    fresh,
    hooks_of,
    one_step,
    training,
    truth,
)


def measured(recording: Recording, prefix: str = "") -> pd.DataFrame:
    """Return the rows without what depends on where the recorder sits; `prefix` is cut off the names."""
    rows = recording.rows.drop(columns=["run", "layer"])
    rows = rows[rows["module"].str.startswith(prefix) & (rows["tensor"] != "input")]
    rows["module"] = rows["module"].str.removeprefix(prefix).str.removeprefix(".")
    order = ["step", "module", "call", "path", "tensor", "backward"]
    return rows.sort_values(order).reset_index(drop=True)


def test_two_recorders_on_one_model_see_the_same() -> None:
    plain, _ = training([])
    attached, (one, other) = training(
        [lambda model: attach(model, "one"), lambda model: attach(model, "two")]
    )
    assert attached == plain
    pd.testing.assert_frame_equal(one.rows.drop(columns="run"), other.rows.drop(columns="run"))
    assert set(one.rows["run"]) == {"one"}
    assert set(other.rows["run"]) == {"two"}
    assert set(one.rows["step"]) == {0, 1, 2}
    pd.testing.assert_frame_equal(one.modules.drop(columns="run"), other.modules.drop(columns="run"))


@pytest.mark.parametrize("inner_first", [False, True])
def test_attaching_to_a_part_as_well_sees_the_same_of_it(inner_first: bool) -> None:
    plain, _ = training([])
    makers = [attach, lambda model: attach(model.encoder)]
    attached, recordings = training(makers[::-1] if inner_first else makers)
    whole, part = recordings[::-1] if inner_first else recordings
    assert attached == plain
    seen = measured(part)
    assert set(seen["tensor"]) >= {"preactivation", "activation", "activation_grad", "weight_grad", "output"}
    pd.testing.assert_frame_equal(measured(whole, "encoder"), seen, check_exact=True)


def test_a_part_alone_is_seen_as_it_runs_within_the_whole() -> None:
    torch.manual_seed(0)
    model, x = Nested(), torch.randn(8, 6)
    seed = torch.get_rng_state()
    z = model.decoder[0](model.encoder(x))
    h = torch.tanh(z)
    gradients = torch.autograd.grad(model.head(h).square().mean(), [z, h])
    torch.set_rng_state(seed)
    with attach(model.decoder) as recorder:
        one_step(model, x)
    recording = recorder.recording()
    assert set(recording.modules["name"]) == {"", "0", "1"}
    assert_row(recording, "0", "preactivation", z)
    assert_row(recording, "1", "activation", h)
    assert_row(recording, "0", "preactivation_grad", gradients[0])
    assert_row(recording, "1", "activation_grad", gradients[1])


def test_several_forwards_without_gradients_are_one_row() -> None:
    net, _ = fresh()
    net.eval()
    parts = [torch.randn(size, 6) for size in (5, 3, 4)]
    with torch.no_grad():
        z = net.hidden(net.drop(net.act(net.norm(net.first(torch.cat(parts))))))
        with attach(net) as recorder:
            for part in parts:
                net(part)
    recording = recorder.recording()
    assert_row(recording, "hidden", "preactivation", z)
    assert_row(recording, ":relu#0", "activation", torch.relu(z))
    assert_row(recording, "head", "preactivation", net.head(torch.relu(z)))
    assert_row(recording, "", "input", torch.cat(parts))
    assert not recording.rows["tensor"].str.endswith("_grad").any()
    assert set(recording.rows["call"]) == {0}
    assert facts(recording, "hidden")["calls"] == 3


def test_micro_batches_are_one_row() -> None:
    net, _ = fresh()
    parts, truths = [torch.randn(size, 6) for size in (5, 3, 4)], []
    with attach(net) as recorder:
        recorder.detach()
    with attach(net) as recorder:
        for part in parts:
            truths.append(truth(net, part))
            one_step(net, part)
    sites = [site for site in truths[0] if not site[1].startswith("weight")]
    assert_rows(recorder.recording(), {site: torch.cat([each[site] for each in truths]) for site in sites})
    for name in ("first", "hidden", "head"):
        gradient = sum(each[name, "weight_grad"] for each in truths)
        assert_row(recorder.recording(), name, "weight_grad", gradient)


def test_two_forwards_before_a_backward_are_two_calls() -> None:
    net, x = fresh()
    net.eval()
    pair = [x, torch.randn(5, 6)]
    tensors = []
    for part in pair:
        z = net.hidden(net.act(net.norm(net.first(part))))
        a = functional.relu(z)
        tensors.append((z, a, net.head(a)))
    loss = (tensors[0][2].mean(0) - tensors[1][2].mean(0)).square().sum()
    gradients = [torch.autograd.grad(loss, part, retain_graph=True) for part in tensors]
    with attach(net) as recorder:
        one, other = (net(part) for part in pair)
        (one.mean(0) - other.mean(0)).square().sum().backward()
    names = [("hidden", "preactivation"), (":relu#0", "activation"), ("head", "preactivation")]
    for call in (0, 1):
        assert_row(recorder.recording(), "", "input", pair[call], call=call)
        for (module, tensor), value, gradient in zip(names, tensors[call], gradients[call], strict=True):
            assert_row(recorder.recording(), module, tensor, value, call=call)
            assert_row(recorder.recording(), module, f"{tensor}_grad", gradient, call=call)
    assert set(recorder.recording().rows["call"]) == {0, 1}


def test_detaching_twice_and_attaching_again() -> None:
    net, x = fresh()
    recorder = attach(net)
    expected = truth(net, x)
    one_step(net, x)
    recorder.detach()
    kept = recorder.recording()
    recorder.detach()
    one_step(net, x)
    assert recorder.recording() == kept
    assert_rows(kept, expected)
    net.zero_grad()
    later = truth(net, x)
    with attach(net) as again:
        one_step(net, x)
    assert_rows(again.recording(), later)
    assert recorder.recording() == kept
    assert hooks_of(net) == []


def test_a_missing_step_is_closed_by_detach() -> None:
    net, x = fresh()
    expected = truth(net, x)
    recorder = attach(net)
    one_step(net, x)
    recorder.detach()
    assert_rows(recorder.recording(), expected, step=0)
    assert set(recorder.recording().rows["step"]) == {0}


def test_a_closed_step_is_not_closed_again_at_the_end() -> None:
    net, x = fresh()
    with attach(net) as recorder:
        one_step(net, x)
        recorder.step()
    assert set(recorder.recording().rows["step"]) == {0}


def test_a_step_without_a_forward_has_no_rows() -> None:
    net, x = fresh()
    with attach(net) as recorder:
        recorder.step()
        assert recorder.recording().rows.empty
        one_step(net, x)
        recorder.step()
        recorder.step()
    assert set(recorder.recording().rows["step"]) == {1}


def test_a_recorder_that_saw_nothing_gives_an_empty_recording() -> None:
    net, _ = fresh()
    with attach(net) as recorder:
        pass
    recording = recorder.recording()
    assert list(recording.rows.columns) == list(schema.ROWS)
    assert recording.rows.empty
    assert list(recording.modules["name"]) == [name for name, _ in net.named_modules()]
    assert not recording.modules["observed"].any()
    assert set(recording.modules["reason"]) == {"not called"}


def test_an_exception_in_the_block_passes_and_leaves_nothing() -> None:
    net, x = fresh()
    expected = truth(net, x)
    recorder = attach(net)
    one_step(net, x)
    recorder.step()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), recorder:
        net(torch.randn(8, 5))
    assert hooks_of(net) == []
    assert_rows(recorder.recording(), expected, step=0)
    assert functional.relu(x).grad_fn is None
    assert torch._C._len_torch_function_stack() == 0
    runs = len(recorder.recording().rows)
    one_step(net, x)
    assert len(recorder.recording().rows) == runs


class Interrupted(Net):
    """Is interrupted in the middle of its forward pass, as by Ctrl-C, which runs no hook."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Get to the hidden layer."""
        functional.relu(self.hidden(self.act(self.first(x))))
        raise KeyboardInterrupt


def test_an_interrupt_in_a_forward_leaves_nothing() -> None:
    net = Interrupted()
    with pytest.raises(KeyboardInterrupt), attach(net):
        net(torch.randn(8, 6))
    assert hooks_of(net) == []
    assert torch._C._len_torch_function_stack() == 0


def test_training_goes_on_after_an_exception_in_a_forward() -> None:
    net, x = fresh()
    with attach(net) as recorder:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            net(torch.randn(8, 5))
        recorder.step()
        expected = truth(net, x)
        one_step(net, x)
    assert_rows(recorder.recording(), expected, step=1, call=0)


def test_two_models_at_once_are_kept_apart() -> None:
    (one, x), (other, _) = fresh(), fresh()
    with torch.no_grad():
        other.head.weight.mul_(3)
    torch.manual_seed(7)
    expected_one = truth(one, x)
    with attach(one, "one") as first, attach(other, "two") as second:
        loss = one(x).square().mean()
        expected_other = truth(other, -x)
        one_step(other, -x)
        loss.backward()
    assert_rows(first.recording(), expected_one)
    assert_rows(second.recording(), expected_other)
    for recorder in (first, second):
        assert set(recorder.recording().rows["call"]) == {0}


def test_functions_outside_the_model_are_not_recorded() -> None:
    net, x = fresh()
    with attach(net) as recorder:
        loss = functional.relu(net(torch.tanh(x))).square().mean() + functional.gelu(x).mean()
        loss.backward()
    functions = {name for name in recorder.recording().modules["name"] if ":" in name}
    assert functions == {":relu#0"}
    assert facts(recorder.recording(), ":relu#0")["calls"] == 1


def test_a_recorder_can_be_read_while_it_records() -> None:
    net, x = fresh()
    with attach(net) as recorder:
        one_step(net, x)
        recorder.step()
        early = recorder.recording()
        frozen = early.rows.copy()
        net.zero_grad()
        one_step(net, x)
        recorder.step()
    late = recorder.recording()
    pd.testing.assert_frame_equal(early.rows, frozen)
    assert set(early.rows["step"]) == {0}
    assert set(late.rows["step"]) == {0, 1}
    assert set(late.rows["tensor"]) >= {"preactivation", "activation", "output"}


def test_attach_wants_a_module() -> None:
    with pytest.raises(UsageError, match=r"attach takes a torch\.nn\.Module, got list"):
        attach([nn.Linear(2, 2)])  # type: ignore[arg-type]
