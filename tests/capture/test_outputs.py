"""What is found in a call's output, and what cannot be measured."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from actdiag.capture.outputs import arguments, find, obstacle

Pair = namedtuple("Pair", "mean scale")
T = torch.zeros(2)


@dataclass
class Answer:
    """An output with names."""

    hidden: Any
    loss: Any = None


class Opaque:
    """Nothing that can be looked into."""


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (T, [""]),
        ((T, T), ["0", "1"]),
        ([T, [T, (T,)]], ["0", "1.0", "1.1.0"]),
        ({"a": T, 3: T}, ["a", "3"]),
        (Pair(T, T), ["mean", "scale"]),
        (Answer((T, T)), ["hidden.0", "hidden.1"]),
        (OrderedDict(logits=T, past=None), ["logits"]),
        (nn.utils.rnn.pack_sequence([T, T]), ["data"]),
        ((), []),
        (None, []),
        ("text", []),
    ],
)
def test_every_tensor_has_its_path(value: Any, paths: list[str]) -> None:
    found = find(value)
    assert [path for path, _ in found.tensors] == paths
    assert found.opaque == []


def test_what_is_not_looked_into_is_named() -> None:
    assert find((T, Opaque())).opaque == ["'1' is an Opaque, which is not looked into"]
    assert find(x for x in [T]).opaque == ["its output is a generator: what it yields is computed later"]


def test_a_cycle_ends() -> None:
    loop: list[Any] = [T]
    loop.append(loop)
    found = find(loop)
    assert (len(found.tensors), found.opaque) == (1, [])


def test_what_is_shared_is_walked_once() -> None:
    shared: list[Any] = [T]
    for _ in range(60):
        shared = [shared, shared]
    assert len(find(shared).tensors) == 1


def test_too_many_levels_or_parts_are_named() -> None:
    deep: list[Any] = [T]
    for _ in range(200):
        deep = [deep]
    assert "has more than 100 levels or 10000 parts" in find(deep).opaque[0]
    many = [[T] for _ in range(20_000)]
    found = find(many)
    assert len(found.tensors) == 10_000
    assert len(found.opaque) == 100


class Spying(dict[str, torch.Tensor]):
    """Would run code of its own."""

    def items(self) -> Any:
        """Fail."""
        raise AssertionError("code of the user's ran")


@dataclass
class Slotted:
    """Keeps its field elsewhere."""

    __slots__ = ("hidden",)
    hidden: torch.Tensor


def test_no_code_of_the_users_runs() -> None:
    assert [path for path, _ in find(Spying(a=T)).tensors] == ["a"]
    assert [path for path, _ in find(Slotted(T)).tensors] == ["hidden"]


def test_a_dot_in_a_key_is_no_level() -> None:
    assert [path for path, _ in find({"a.b": T, "a": {"b": T}}).tensors] == ["a\\.b", "a.b"]


def test_arguments_have_the_name_of_their_place() -> None:
    assert [path for path, _ in arguments((T, T), {"mask": T}).tensors] == ["0", "1", "mask"]
    assert [path for path, _ in arguments((), {"mask": T}).tensors] == [""]


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.zeros(2), ""),
        (torch.zeros(2, dtype=torch.float16), ""),
        (torch.zeros(2, dtype=torch.int64), "int64"),
        (torch.zeros(2, dtype=torch.bool), "bool"),
        (torch.zeros(2, dtype=torch.float8_e4m3fn), "float8_e4m3fn"),
        (torch.zeros(2, dtype=torch.complex64), "complex (complex64)"),
        (torch.eye(2).to_sparse(), "sparse (sparse_coo)"),
        (torch.zeros(2, device="meta"), "on the meta device: it has a shape and no values"),
    ],
)
def test_why_a_tensor_is_not_measured(tensor: torch.Tensor, why: str) -> None:
    assert obstacle(tensor) == why


def test_a_transformed_tensor_is_not_measured() -> None:
    seen = []
    torch.vmap(lambda x: seen.append(obstacle(x)) or x)(torch.zeros(3, 2))
    assert seen == ["inside a torch.func transform (vmap, grad, jvp)"]
