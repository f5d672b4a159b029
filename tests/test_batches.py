"""Batches in the shapes that users have them."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from actdiag.batches import ModelBatch, batches_from, moved, split
from actdiag.errors import ActdiagError, UsageError

X, Y = torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)
META = torch.device("meta")


def as_plain(batch: ModelBatch) -> tuple[Any, ...]:
    """Return a batch with its tensors as shapes."""

    def plain(value: Any) -> Any:
        return tuple(value.shape) if isinstance(value, torch.Tensor) else value

    keywords = {name: plain(value) for name, value in batch.keywords.items()}
    return tuple(map(plain, batch.args)), keywords, plain(batch.targets)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (X, [(((4, 2),), {}, None)]),
        ((X, Y), [(((4, 2),), {}, (4,))]),
        ((X, None), [(((4, 2),), {}, None)]),
        (((X, X), Y), [(((4, 2), (4, 2)), {}, (4,))]),
        (((X, X), None), [(((4, 2), (4, 2)), {}, None)]),
        ((X, X, Y), [(((4, 2), (4, 2), (4,)), {}, None)]),
        ((X,), [(((4, 2),), {}, None)]),
        (((3,), Y), [((3,), {}, (4,))]),
        ({"x": X, "labels": Y}, [((), {"x": (4, 2), "labels": (4,)}, None)]),
        (({"x": X}, Y), [((), {"x": (4, 2)}, (4,))]),
        (namedtuple("Two", "inputs targets")(X, Y), [(((4, 2),), {}, (4,))]),
        ([(X, Y), (X, Y)], [(((4, 2),), {}, (4,))] * 2),
        ([X, X], [(((4, 2),), {}, None)] * 2),
        ([[X, Y]], [(((4, 2),), {}, (4,))]),
        (iter([X]), [(((4, 2),), {}, None)]),
        (DataLoader(TensorDataset(X, Y), batch_size=2), [(((2, 2),), {}, (2,))] * 2),
        ([], []),
    ],
)
def test_one_batch_or_many(returned: Any, expected: list[Any]) -> None:
    assert [as_plain(batch) for batch in batches_from("m:f", lambda: returned)] == expected


def test_batches_that_are_there_need_no_function() -> None:
    assert [as_plain(batch) for batch in batches_from("m:f", [(X, Y)])] == [(((4, 2),), {}, (4,))]


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        (None, "None (is a return missing?)"),
        (3, "one of type int"),
        ("words", "one of type str"),
        (X.numpy(), "one of type ndarray"),
    ],
)
def test_what_is_no_batch(returned: Any, came: str) -> None:
    with pytest.raises(ActdiagError) as caught:
        batches_from("m:f", lambda: returned)
    assert str(caught.value) == (
        f"m:f must return inputs, (inputs, targets) or an iterable of such batches, such as a DataLoader, "
        f"got {came}"
    )


def test_a_list_that_may_be_one_batch_or_two_is_not_guessed() -> None:
    with pytest.raises(ActdiagError) as caught:
        batches_from("m:f", lambda: [X, Y])
    assert str(caught.value) == (
        "m:f returned a list of two tensors of different shapes: is it one batch or two? Return "
        "(inputs, targets) as a tuple, or a list of batches"
    )


def test_batches_that_raise_are_told_when_they_do() -> None:
    def many() -> Any:
        yield X
        raise ValueError("no more\nroom")

    batches = batches_from("m:f", many)
    next(batches)
    with pytest.raises(ActdiagError, match=r"^m:f raised ValueError: no more room$"):
        next(batches)


def test_a_batch_of_something_else_is_told() -> None:
    with pytest.raises(UsageError, match=r"^inputs are a tensor, .*, got one of type int: give \(inputs,\)"):
        next(batches_from("m:f", lambda: [3]))


@dataclass
class Graph:
    """A batch as some libraries have it."""

    nodes: torch.Tensor
    name: str = "g"
    size: int = field(default=7, init=False)


def test_everything_moves_to_the_device() -> None:
    named = namedtuple("Named", "a b")
    value = ([X, (Y, "text")], {"k": named(X, 3)}, Graph(X), torch.nn.utils.rnn.pack_sequence([X]))
    (first, (second, text)), mapping, graph, packed = moved(value, META)
    tensors = [first, second, mapping["k"].a, graph.nodes, packed.data]
    assert [tensor.device for tensor in tensors] == [META] * 5
    assert (text, type(mapping["k"]), mapping["k"].b, graph.name, graph.size) == ("text", named, 3, "g", 7)
    batch = split(({"x": X}, Y)).to(META)
    assert (batch.keywords["x"].device, batch.targets.device, batch.args) == (META, META, ())
