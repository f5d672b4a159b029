"""Tests for the overhead benchmark's pieces on a tiny network: what it computes and writes, no times."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import overhead  # noqa: E402
from stepcost import base, memory, ours, plan, tables, timing, tools, worker, workloads  # noqa: E402

TINY = workloads.WORKLOADS["tiny"]
SMALL = ("plain", "floor", "actdiag", "every10", "hand", "hand-all", "fastai")


def timed(tool: str) -> worker.Answer:
    return worker.time_pairs("tiny", tool, 2, "cpu", "wall")


def test_a_ratio_is_a_block_over_the_mean_of_its_plain_neighbours() -> None:
    blocks = timing.Blocks(plain=[1.0, 3.0, 5.0], tool=[4.0, 2.0])
    assert blocks.ratios == [2.0, 0.5]
    assert blocks.added == [2.0, -2.0]


@pytest.mark.parametrize("tool", SMALL)
def test_a_tool_records_what_it_must_and_is_timed(tool: str) -> None:
    answer = timed(tool)
    assert answer["pairs"] == 2
    for name in ("ratio", "added", "plain"):
        low, middle, high = answer[name]
        assert low <= middle <= high
    assert answer["ratio"][0] > 0


def test_tools_see_the_tensors_that_a_network_of_two_layers_has() -> None:
    seen = {tool: timed(tool)["tensors"] for tool in SMALL}
    # 5 outputs, 2 of them activations, each with its gradient; actdiag: the input and 3 weights as well
    assert seen == {
        "plain": 0,
        "floor": 0,
        "actdiag": 1 + 2 * 5 + 2 * 3,
        "every10": 1 + 2 * 5 + 2 * 3,
        "hand": 4,
        "hand-all": 10,
        "fastai": 4,
    }


@pytest.mark.parametrize("tool", ["plain", "floor", "actdiag", "hand"])
def test_a_tool_leaves_gradients_as_they_are_and_nothing_behind(tool: str) -> None:
    inputs, targets = TINY.batches()[0]
    model = TINY.model()
    runner = tools.TOOLS[tool].kind(TINY, model)
    runner.step(inputs, targets)
    runner.close()
    alone = TINY.model()
    nn.functional.cross_entropy(alone(inputs), targets).backward()
    for mine, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)
    hooked = [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert hooked == []
    assert torch._C._len_torch_function_stack() == 0


def test_what_records_nothing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours.Attached, "options", {"select": "0"})
    request = {"measure": "time", "workload": "tiny", "tool": "actdiag", "pairs": 1}
    answer = worker.answer({**request, "device": "cpu", "clock": "wall"})
    assert answer == {"failed": "RuntimeError: actdiag recorded 0 tensors of 12: its time says nothing"}


def test_an_unknown_option_of_attach_is_told_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours.Attached, "options", {"colour": 1})
    request = {"measure": "time", "workload": "tiny", "tool": "actdiag", "pairs": 1}
    answer = worker.answer({**request, "device": "cpu", "clock": "wall"})
    assert answer == {"unavailable": "attach has no option colour"}
    assert (
        "| actdiag, default | attach has no option colour |" in tables.times("tiny", {"actdiag": answer})[-2]
    )


def test_a_passive_recorder_is_not_timed_on_transformer_layers() -> None:
    workload = workloads.encoder(layers=1, size=8, length=5, batch=3, vocabulary=11)
    with pytest.raises(base.UnavailableError, match="inside Transformer layers"):
        ours.Passive(workload, workload.model())
    assert timed("passive")["tensors"] == 17


def test_the_encoder_calls_the_modules_that_are_watched() -> None:
    workload = workloads.encoder(layers=2, size=8, length=5, batch=3, vocabulary=11)
    model = workload.model()
    called: list[nn.Module] = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: called.append(module))
    logits = model(workload.batches()[0][0])
    assert logits.shape == (3, workloads.CLASSES)
    assert set(called) == set(workloads.outputs(model))
    assert len(called) == len(set(called))
    assert len(workloads.activations(model)) == workload.hidden == 2


def test_the_bound_on_memory_is_per_tensor_and_per_unit() -> None:
    assert memory.allowed([512, 10]) == 200_000 + 64 * 522


def test_memory_is_told_over_the_plain_peak() -> None:
    plain = {"workload": "tiny", "batch": 8, "tool": "plain", "malloc": "default"}
    asked = {**plain, "tool": "actdiag"}
    peaks = [(plain, {"peak": peak, "rows": 0, "allowed": 0}) for peak in (5_000_000, 1_000_000, 9_000_000)]
    peaks += [(asked, {"peak": 8_000_000, "rows": 20, "allowed": 2_200_000})]
    mapped = [({**request, "malloc": "mapped"}, {**found, "peak": 4e6}) for request, found in peaks[:1]]
    mapped += [({**asked, "malloc": "mapped"}, {"peak": 5e6, "rows": 20, "allowed": 2_200_000})]
    row = tables.memory([*peaks, *mapped])[-2]
    assert row == "| tiny, 8 | actdiag, default | 20 | 3.0 | 150 | 1.0 | 50 | 110 |"


def test_a_plan_asks_for_every_workload_and_tool_once() -> None:
    some = plan.Plan(("W1", "W4"), ("plain", "every10"))
    asked = [(request["workload"], request["tool"], request["pairs"]) for request in some.times()]
    assert asked == [("W1", "plain", 8), ("W1", "every10", 3), ("W4", "plain", 60), ("W4", "every10", 3)]
    assert not some.complete
    assert plan.Plan().complete
    assert set(plan.PAIRS) == set(plan.QUICK) == set(workloads.WORKLOADS)


def test_the_page_has_a_row_for_each_tool(tmp_path: Path) -> None:
    answer = {"ratio": [1, 2, 3], "added": [0.001] * 3, "plain": [0.5] * 3, "tensors": 7, "pairs": 2}
    some = plan.Plan(("tiny",), ("plain", "wandb"))
    results = {
        "about": overhead.about(some, {"default": "actdiag, version 1"}),
        "times": {"tiny": {"plain": answer, "wandb": {"unavailable": "not installed"}}},
        "memory": [],
        "elements": {},
    }
    overhead.write(tmp_path / "new" / "overhead.md", overhead.page(results))
    lines = (tmp_path / "new" / "overhead.md").read_text(encoding="utf-8").splitlines()
    cells = "2.00 (1.00 to 3.00) | 1.00 (1.00 to 1.00) | 7 | 2 | 500.0 (500.0 to 500.0) |"
    assert f"| self-check: no tool | {cells}" in lines
    assert '| `wandb.watch(log="all")`, offline: parameters | not installed |  |  |  |  |' in lines
    assert "## Method" in lines
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["overhead.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "W9"], "unknown name 'W9'; known: W1, W2, W3, W4, W5, W6, W7, tiny"),
        (["--tools", "plain,fast"], "unknown name 'fast'; known: plain, floor,"),
    ],
)
def test_unknown_names_are_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        overhead.parsed(arguments)
    assert message in capsys.readouterr().err
