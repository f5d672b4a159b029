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
    assert len(find(loop).tensors) > 1


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
