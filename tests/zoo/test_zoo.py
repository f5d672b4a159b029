"""Third-party models: attaching changes nothing, and every number is that of a run without hooks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.overrides import _len_torch_function_stack

from actdiag import attach, diagnose, report
from actdiag.recording import Recording
from zoo import agents, language, perception, science, tables
from zoo.cases import Case, need
from zoo.truth import Place, Seen, Truth, observe, seeded

CASES = (*language.CASES, *perception.CASES, *tables.CASES, *agents.CASES, *science.CASES)
MEASURES = ("rms", "min", "max")
OUTPUTS = ("output", "activation", "preactivation")
HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("_hooks"))

pytestmark = [
    # torch_geometric still decorates with it
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
]


@dataclass(frozen=True)
class Outcome:
    """All that a step leaves behind."""

    model: nn.Module
    state: Mapping[str, Any]
    recording: Recording | None


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    need(found.package)
    return found


@cache
def outcome(case: Case, attached: bool) -> Outcome:
    random.seed(1)
    np.random.seed(1)
    model = seeded(case.build, 1)
    if not attached:
        return Outcome(model, dict(_state(model, case.step(model))), None)
    with attach(model) as recorder:
        loss = case.step(model)
        recorder.step()
    return Outcome(model, dict(_state(model, loss)), recorder.recording())


def recording(case: Case) -> Recording:
    found = outcome(case, attached=True).recording
    assert found is not None
    return found


@cache
def truth(case: Case) -> Truth:
    return observe(case.build, case.loss, seed=1)


def _state(model: nn.Module, loss: torch.Tensor) -> Iterator[tuple[str, Any]]:
    yield "loss", loss.detach()
    yield "random numbers of torch", torch.get_rng_state()
    yield "random numbers of numpy", torch.from_numpy(np.random.get_state()[1].astype("int64"))
    yield "random numbers of Python", hash(random.getstate())
    for name, parameter in model.named_parameters():
        yield name, parameter.detach()
        yield f"gradient of {name}", parameter.grad
    yield from model.named_buffers()
    for name, module in model.named_modules():
        yield f"mode of {name}", module.training
        yield f"attributes of {name}", sorted(vars(module))
        for kind in HOOKS:
            yield f"{kind} of {name}", len(getattr(module, kind))


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return mine.dtype == theirs.dtype and torch.equal(mine, theirs)
    return bool(mine == theirs)


def test_attaching_changes_nothing(case: Case) -> None:
    plain, attached = outcome(case, attached=False).state, outcome(case, attached=True).state
    assert plain.keys() == attached.keys()
    assert [name for name in plain if not same(plain[name], attached[name])] == []
    assert sum(isinstance(value, torch.Tensor) for name, value in plain.items() if "gradient of" in name) > 3


def test_no_hook_and_no_mode_is_left(case: Case) -> None:
    model = outcome(case, attached=True).model
    for parameter in model.parameters():
        assert not parameter._backward_hooks
        assert not getattr(parameter, "_post_accumulate_grad_hooks", None)
    assert _len_torch_function_stack() == 0


def measured(tensor: torch.Tensor) -> list[float]:
    numbers = tensor.detach().double()
    numbers = numbers[numbers.isfinite()]
    return [float(numbers.square().mean().sqrt()), float(numbers.min()), float(numbers.max())]


def rows_of(recording: Recording, place: Place) -> pd.DataFrame:
    """Return the rows of the tensor at a place; where a function made it, those of that function."""
    rows, modules = recording.measured, recording.modules.set_index("name")
    module, call, path = place
    own = (rows["module"] == module) & (rows["call"] == call) & (rows["path"] == path)
    found = rows[own & rows["tensor"].isin(OUTPUTS)]
    if found.empty and (source := modules.loc[module, "same_tensor_as"]):
        assert "#" in source or source == "input", (place, source)
        found = rows[rows["module"] == ("" if source == "input" else source)]
    if found.empty:
        found = rows[rows["module"].str.startswith(f"{module}:") & rows["tensor"].isin(OUTPUTS)]
    return found


def differences(recording: Recording, place: Place, seen: Seen) -> Iterator[str]:
    """Yield what the recording says otherwise of a tensor that a module returned."""
    rows = rows_of(recording, place)
    near = np.isclose(rows[list(MEASURES)], measured(seen.value), rtol=1e-6, atol=1e-30).all(axis=1)
    if not near.any():
        found = rows[["tensor", *MEASURES]].to_numpy().tolist()
        yield f"{place}: expected {measured(seen.value)}, got rows {found}"
    else:
        yield from other_gradient(recording, rows[near].iloc[0], seen.gradient)


def other_gradient(recording: Recording, row: pd.Series, gradient: torch.Tensor | None) -> Iterator[str]:
    """Yield what the recording says otherwise of the gradient of the tensor in a row."""
    rows, place = recording.measured, tuple(row[["module", "call", "path"]])
    module, call, path = place
    mine = rows[(rows["module"] == module) & (rows["call"] == call) & (rows["path"] == path)]
    mine = mine[mine["tensor"] == f"{row['tensor']}_grad"].sort_values("backward")
    if gradient is None or mine.empty:
        if gradient is not None or not mine.empty:
            yield f"{place}: {len(mine)} rows of a gradient, expected {int(gradient is not None)}"
        return
    last = list(mine.iloc[-1][list(MEASURES)])
    if not np.allclose(last, measured(gradient), rtol=1e-5, atol=1e-12):
        yield f"{place}: gradient {measured(gradient)}, got {last}"


def test_values_and_gradients_are_those_of_a_run_without_hooks(case: Case) -> None:
    owned = {place: seen for place, seen in truth(case).outputs.items() if seen.owner == place}
    assert len(owned) > 3
    assert [text for place, seen in owned.items() for text in differences(recording(case), place, seen)] == []


def test_what_is_passed_on_has_no_row_of_its_own_and_names_its_owner(case: Case) -> None:
    modules, rows = recording(case).modules.set_index("name"), recording(case).measured
    owners: dict[str, set[str]] = {}
    for (module, call, path), seen in truth(case).outputs.items():
        owner = seen.owner[0]
        if owner != module:
            mine = (rows["module"] == module) & (rows["call"] == call) & (rows["path"] == path)
            assert not (mine & rows["tensor"].isin(OUTPUTS)).any(), module
            source = modules.loc[owner, "same_tensor_as"]
            owners.setdefault(module, set()).add(source if "#" in source or source == "input" else owner)
    own = {place[0] for place, seen in truth(case).outputs.items() if seen.owner == place}
    for module, expected in owners.items():
        if module not in own:
            assert modules.loc[module, "same_tensor_as"] in expected, module


def test_no_row_is_made_up(case: Case) -> None:
    """Each row is of an output, or of what an activation was given that no module had returned."""
    found, seen = recording(case), truth(case)
    rows = found.measured[found.measured["tensor"].isin(OUTPUTS)]
    rows = rows[~rows["module"].str.contains("#")]
    rows = rows.sort_values("tensor", key=lambda column: column == "preactivation", kind="stable")
    keys = ["module", "call", "path"]
    again = rows.duplicated(keys)
    assert set(rows[keys].itertuples(index=False, name=None)) <= seen.outputs.keys()
    for _, row in rows[again].iterrows():
        value, gradient = seen.inputs[tuple(row[keys])]
        assert row["tensor"] == "preactivation"
        assert list(row[list(MEASURES)]) == pytest.approx(measured(value), rel=1e-6)
        assert list(other_gradient(found, row, gradient)) == []


def test_the_inputs_of_the_model_are_those_it_was_given(case: Case) -> None:
    found = recording(case)
    rows = found.measured[(found.measured["tensor"] == "input") & (found.measured["module"] == "")]
    given = {place: tensors for place, tensors in truth(case).inputs.items() if place[0] == ""}
    assert set(rows[["module", "call", "path"]].itertuples(index=False, name=None)) == given.keys()
    for _, row in rows.iterrows():
        value, gradient = given[tuple(row[["module", "call", "path"]])]
        assert list(row[list(MEASURES)]) == pytest.approx(measured(value), rel=1e-6)
        assert list(other_gradient(found, row, gradient)) == []


def test_weights_and_their_gradients_are_those_of_the_parameters(case: Case) -> None:
    model, found = outcome(case, attached=False).model, recording(case)
    products = found.modules[(found.modules["kind"] == "product") & found.modules["observed"]]
    for name in products["name"]:
        module = model.get_submodule(name.partition(":")[0])
        parameters = [module.weight] if isinstance(module, nn.Linear) else module.parameters()
        numbers = [(measured(part), part.grad is not None and measured(part.grad)) for part in parameters]
        rows = found.measured[found.measured["module"] == name].set_index("tensor")[list(MEASURES)]
        assert any(is_weight(rows, value, gradient) for value, gradient in numbers), name


def is_weight(rows: pd.DataFrame, value: list[float], gradient: list[float] | bool) -> bool:
    """Return whether the rows of a product are those of this parameter and its gradient."""
    weights = rows[rows.index == "weight"].to_numpy().tolist()
    gradients = rows[rows.index == "weight_grad"].to_numpy().tolist()
    assert len(weights) == 1
    assert len(gradients) < 2
    if not gradient or not gradients:
        return weights == [pytest.approx(value, rel=1e-6)] and not gradient and not gradients
    return [*weights, *gradients] == [
        pytest.approx(value, rel=1e-6),
        pytest.approx(gradient, rel=1e-5, abs=1e-30),
    ]


def test_every_product_is_found(case: Case) -> None:
    modules = recording(case).modules
    products = modules[(modules["kind"] == "product") & modules["observed"]]
    assert len(products) == case.products, products["name"].tolist()
    layers = products["layer"].tolist()
    assert sorted(layers) == list(range(1, case.products + 1))


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.hidden is not None], ids=lambda case: case.name, indirect=True
)
def test_hidden_layers_are_the_products_that_an_activation_follows(case: Case) -> None:
    modules = recording(case).modules
    hidden = modules[(modules["kind"] == "product") & (modules["activation_after"] != "")]
    assert len(hidden) == case.hidden, hidden["name"].tolist()


def test_what_is_not_observed_is_known_and_has_its_reason(case: Case) -> None:
    modules = recording(case).modules
    missed = modules[(modules["reason"] != "") | ~modules["observed"]]
    missed = missed[~missed["type"].isin(["ModuleList", "ModuleDict"])]
    told = dict(zip(missed["name"], missed["reason"], strict=True))
    assert {name: reason for name, reason in told.items() if not expected(case, name, reason)} == {}
    assert [pattern for pattern in case.missed if not any(fnmatchcase(name, pattern) for name in told)] == []


def expected(case: Case, name: str, reason: str) -> bool:
    return any(
        fnmatchcase(name, pattern) and reason.startswith(start) for pattern, start in case.missed.items()
    )


def test_a_model_that_trains_has_no_finding_of_severity_error(case: Case) -> None:
    findings = diagnose(recording(case)).findings
    assert [finding.message for finding in findings if finding.severity == "error"] == []


def test_a_report_is_written(case: Case, tmp_path: Path) -> None:
    found = recording(case)
    folder = report(found, diagnose(found), tmp_path / "report", formats=("html", "json"))
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert (folder / "report.json").stat().st_size > 0
    assert Recording.load(folder) == found
