"""Balancing the rows of a recording against the truth: each tensor has its row, and each row its tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from actdiag.recording import Recording
from models.case import Case
from models.figures import differences, numbers_of, ratio_differs
from models.not_observed import NOT_OBSERVED
from models.runs import Weights
from models.truth import PRODUCTS, Kept, Truth

Key = tuple[int, str, int, str, str, int]
"""Step, module, call, path, tensor, backward."""
WEIGHT_PASS = 1
"""A parameter's gradient is read at the end of the step, whatever the passes."""
LATE = "it came into the model after attach"
Row = Mapping[str, Any]
Place = tuple[int, str, int, str]


class Ledger:
    """The rows that no truth was found for yet, and what is wrong so far."""

    def __init__(self, recording: Recording, case: Case, truth: Truth) -> None:
        self.case, self.truth = case, truth
        self.rows: dict[Key, Row] = {}
        self.problems: list[str] = []
        self.modules = {row["name"]: row for row in recording.modules.to_dict("records")}
        self.excused: set[tuple[str, str]] = set()
        for run in recording.meta["runs"].values():
            self.problems += [f"failed: {note}" for note in run["notes"] if "could not be" in note]
        if len(self.modules) != len(recording.modules):
            self.problems.append("twice: a module has two rows in the modules table")
        for row in recording.rows.query("source == 'measured'").to_dict("records"):
            self._enter(row)

    def _enter(self, row: Row) -> None:
        key = (row["step"], row["module"], row["call"], row["path"], row["tensor"], row["backward"])
        if key in self.rows:
            self.problems.append(f"twice: {key}")
        self.rows[key] = row

    def settle(self, key: Key, values: Sequence[Any], weight: Any = None) -> bool:
        """Compare a row with its truth and strike it out; False where there is no such row.

        Args:
            key: of the row.
            values: of the tensors in it.
            weight: that these values are the gradient of.
        """
        row = self.rows.pop(key, None)
        if row is None:
            return False
        truth, tolerance = numbers_of(values), self.case.tolerance
        wrong = differences(row, truth, tolerance, sizes=key[0] % self.truth.every != 0)
        if weight is not None:
            wrong += ratio_differs(row, truth["rms"], numbers_of([weight])["rms"], tolerance)
        self.problems += [f"wrong: {key}: {text}" for text in wrong]
        return True

    def missing(self, key: Key) -> None:
        """Note a tensor without a row, unless its module says why and the list allows it."""
        reason = str(self.modules[key[1]]["reason"]) if key[1] in self.modules else "no row in modules"
        for name, module, beginning in NOT_OBSERVED:
            if (name, module) == (self.case.name, key[1]) and _begins(reason, beginning):
                self.excused.add((module, beginning))
                if key[3] and f"'{key[3]}' " not in reason and " more" not in reason:
                    self.problems.append(f"silent: {key} is not in the reason {reason!r}")
                return
        self.problems.append(f"missing: {key}: {reason or 'no reason'}")


def _begins(reason: str, beginning: str) -> bool:
    return any(part.startswith(beginning) for part in reason.split("; "))


def compare(
    case: Case, recording: Recording, truth: Truth, weights: Sequence[Weights], model: nn.Module
) -> list[str]:
    """Return in words where the recording is not the truth."""
    ledger = Ledger(recording, case, truth)
    _settle_tensors(ledger)
    _check_aliases(ledger)
    _settle_weights(ledger, weights, model)
    ledger.problems += [f"no truth for the row {key}" for key in ledger.rows]
    _check_modules(ledger, model)
    _check_unused(ledger, weights, model)
    for name, module, beginning in NOT_OBSERVED:
        if name == case.name and (module, beginning) not in ledger.excused:
            ledger.problems.append(f"listed as not observed, yet it was: {module!r}, {beginning!r}")
    return ledger.problems


def _settle_tensors(ledger: Ledger) -> None:
    groups: defaultdict[tuple[Place, str], list[Kept]] = defaultdict(list)
    for kept in ledger.truth.kept:
        if kept.alias is None:
            groups[(kept.step, kept.module, kept.call, kept.path), kept.tensor].append(kept)
    for (place, tensor), group in groups.items():
        values = [kept.values for kept in group if kept.values is not None]
        if not values or not ledger.settle((*place, tensor, 0), values):
            ledger.missing((*place, tensor, 0))
            continue
        for number in range(1, 1 + max(len(kept.gradients) for kept in group)):
            key = (*place, f"{tensor}_grad", number)
            gradients = [kept.gradients[number - 1] for kept in group if len(kept.gradients) >= number]
            if not ledger.settle(key, gradients):
                ledger.missing(key)


def _check_aliases(ledger: Ledger) -> None:
    """Check that the modules table says whose tensor it is that a module only passes on."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for kept in ledger.truth.kept:
        if kept.tensor == "input" or kept.values is None:
            continue
        own = kept.alias is None
        owners[kept.module].add("" if own else "input" if kept.owner.tensor == "input" else kept.owner.module)
    for module, names in owners.items():
        said = str(ledger.modules[module]["same_tensor_as"]) if module in ledger.modules else ""
        if said not in names:
            ledger.problems.append(f"wrong: {module!r} passes on the tensor of {names}, it says {said!r}")


def _settle_weights(ledger: Ledger, weights: Sequence[Weights], model: nn.Module) -> None:
    for step, at_end in enumerate(weights):
        for place, name in _weights_wanted(ledger, model, step).items():
            if name in at_end:
                _settle_weight(ledger, step, place, at_end[name])
    for key in [key for key in ledger.rows if key[4] in ("weight", "weight_grad")]:
        _settle_any_weight(ledger, key, weights)


def _weights_wanted(ledger: Ledger, model: nn.Module, step: int) -> dict[str, str]:
    """Return the parameter by the name of its rows, for each product called when a step was last recorded."""
    step -= step % ledger.truth.every
    used = {kept.module for kept in ledger.truth.kept if kept.step == step}
    wanted = {}
    for name, module in model.named_modules():
        if name in used and isinstance(module, PRODUCTS):
            wanted |= _matrices(name, module)
    names = {id(parameter): name for name, parameter in ledger.truth.model.named_parameters()}
    return wanted | {site: names[id(ledger.truth.weights[site])] for site in used & set(ledger.truth.weights)}


def _matrices(name: str, module: nn.Module) -> dict[str, str]:
    """Return a product's weight, or else every matrix that it and its parametrisations store."""
    own = dict(module.named_parameters())
    if "weight" in own:
        return {name: joined(name, "weight")}
    stored = [
        joined(name, label)
        for label, parameter in own.items()
        if parameter.dim() > 1 and ("." not in label or label.startswith("parametrizations."))
    ]
    return {":".join(full.rpartition(".")[::2]): full for full in stored}


def _settle_weight(ledger: Ledger, step: int, module: str, weight: tuple[Any, Any]) -> None:
    value, gradient = weight
    key = (step, module, 0, "", "weight", 0)
    if not ledger.settle(key, [value]):
        ledger.missing(key)
    key = (step, module, 0, "", "weight_grad", WEIGHT_PASS)
    if gradient is not None and not ledger.settle(key, [gradient / weight_scale(ledger.case)], value):
        ledger.missing(key)


def weight_scale(case: Case) -> float:
    """Return by what the parameters' gradients are larger than the rows'."""
    return case.gradient_scale if case.weight_scale is None else case.weight_scale


def _settle_any_weight(ledger: Ledger, key: Key, weights: Sequence[Weights]) -> None:
    """Compare the row of a weight that attention uses without calling the module that holds it."""
    value, gradient = weights[key[0]].get(joined(key[1], "weight"), (None, None))
    truth = value if key[4] == "weight" else gradient
    if truth is not None:
        ledger.settle(key, [truth])


def joined(module: str, name: str) -> str:
    """Return the full name of a module's parameter."""
    return f"{module}.{name}" if module else name


def _check_modules(ledger: Ledger, model: nn.Module) -> None:
    """Check that every module and function has its row, how often it was called, and a reason if not seen."""
    seen = {kept.module for kept in ledger.truth.kept if kept.tensor != "input"}
    present, former = dict(model.named_modules()), ledger.truth.modules
    excused = {module for module, _ in ledger.excused}
    late = {name for name, module in ledger.truth.model.named_modules() if former.get(name) is not module}
    for name in present.keys() | seen:
        row = ledger.modules.get(name)
        if row is None:
            ledger.problems.append(f"missing: {name!r} is not in the modules table")
        elif name in late and not row["reason"].startswith(LATE):
            ledger.problems.append(f"wrong: {name!r} came later, its reason is {row['reason']!r}")
        elif name not in excused or row["observed"]:
            ledger.problems += _wrong_facts(ledger.truth, row, name in seen, name in present)
    for name in ledger.modules.keys() - seen - present.keys() - former.keys():
        ledger.problems.append(f"no truth for the module {name!r}")


def _wrong_facts(truth: Truth, row: Row, seen: bool, module: bool) -> Iterator[str]:
    name = row["name"]
    if module and row["calls"] != truth.calls[name]:
        yield f"wrong: {name!r} called {row['calls']} times, was {truth.calls[name]}"
    if row["observed"] != seen:
        yield f"wrong: {name!r} observed is {row['observed']}: {row['reason']!r}"
    if row["calls"] and row["reason"].startswith("not called"):
        yield f"wrong: {name!r} was called {row['calls']} times, its reason is {row['reason']!r}"
    if not row["observed"] and not row["reason"]:
        yield f"silent: {name!r} was not observed, and no reason is given"


def _check_unused(ledger: Ledger, weights: Sequence[Weights], model: nn.Module) -> None:
    """Check the parameters said to have got no gradient, where there was one step."""
    if len(weights) != 1 or all(gradient is None for _, gradient in weights[0].values()):
        return
    excused = {module for module, _ in ledger.excused}
    for name, module in model.named_modules():
        if name in excused:
            continue
        unused = _without_gradient(name, module, weights[0])
        said = str(ledger.modules[name]["unused"]) if name in ledger.modules else ""
        if set(filter(None, said.split(", "))) != unused:
            ledger.problems.append(f"wrong: {name!r} has unused {said!r}, unused are {sorted(unused)}")


def _without_gradient(name: str, module: nn.Module, weights: Weights) -> set[str]:
    trainable = [(key, part) for key, part in module.named_parameters(recurse=False) if part.requires_grad]
    return {key for key, part in trainable if is_lazy(part) or weights[joined(name, key)][1] is None}
