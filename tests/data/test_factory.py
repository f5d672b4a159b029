"""The user's own callable, imported from the current folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from actdiag.data import load_batch
from actdiag.errors import ActdiagError, UsageError
from actdiag.types import RunSpec

HEAD = "import numpy as np\nimport torch\n"
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    monkeypatch.chdir(tmp_path)
    yield lambda text: (tmp_path / "factory_under_test.py").write_text(HEAD + text) and None
    sys.modules.pop("factory_under_test", None)


def spec_of(attribute: str = "make", **fields: object) -> RunSpec:
    return RunSpec(data=f"factory_under_test:{attribute}", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "returned",
    [
        "torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True), torch.tensor([2, 0])",
        "np.array([[1, 2], [3, 5]]), np.array([2, 0], dtype='>i2')",
        "np.array([[1, 2], [3, 5]], dtype='>f4')[::-1], np.array([0, 2], dtype=np.uint8)",
        "torch.tensor([[[1], [2]], [[3], [5]]], dtype=torch.bfloat16), [2, 0]",
        "np.array([[1, 2], [3, 5]], dtype=np.uint16), np.array([2, 0], dtype=np.uint16)",
        "[[1, 2], [3, 5]], (2, 0)",
    ],
)
def test_tensors_and_arrays_become_a_batch(write: Write, returned: str) -> None:
    write(f"def make():\n    return {returned}\n")
    batch = load_batch(spec_of(batch=2, standardise=False))
    drawn = sorted(zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True))
    assert drawn == [([1, 2], 2), ([3, 5], 0)]
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.int64)
    assert not batch.inputs.requires_grad
    assert batch.classes == 3


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_inputs_are_the_numbers_they_stand_for(write: Write) -> None:
    write(
        "def make():\n    return torch.quantize_per_tensor(torch.tensor([[1.5]]), 0.5, 0, torch.qint8), [0]\n"
    )
    assert load_batch(spec_of(batch=1, standardise=False)).inputs.tolist() == [[1.5]]


def test_columns_are_standardised(write: Write) -> None:
    write("def make():\n    return torch.tensor([[1.0, 7.0], [5.0, 7.0]]), [0, 1]\n")
    assert sorted(load_batch(spec_of(batch=2)).inputs.tolist()) == [[-1, 0], [1, 0]]


def test_dotted_attribute_and_path_are_found_and_left_clean(write: Write) -> None:
    before = list(sys.path)
    write("class Set:\n    @staticmethod\n    def make():\n        import re\n        return [[1.0]], [0]\n")
    assert load_batch(spec_of("Set.make", batch=1)).inputs.shape == (1, 1)
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "module 'factory_under_test' has no 'make' for data 'factory_under_test:make'"),
        ("make = 3", "factory_under_test:make must be a callable without arguments, got one of type int"),
        (
            "def make():\n    raise ValueError('two\\nlines')",
            "factory_under_test:make raised ValueError: two lines",
        ),
        ("def make(x): pass", "factory_under_test:make raised TypeError: .*missing 1 required positional"),
        ("def make():\n    raise SystemExit(0)", "factory_under_test:make raised SystemExit: 0"),
        ("1 / 0", "importing 'factory_under_test' raised ZeroDivisionError: division by zero"),
        ("exit_now", "importing 'factory_under_test' raised NameError"),
        ("import nowhere_at_all", "cannot import 'factory_under_test' .*No module named 'nowhere_at_all'"),
        ("def make(): return 3", r"must return \(inputs, targets\), got one of type int"),
        ("def make(): return 1, 2, 3", r"must return \(inputs, targets\), got a tuple of 3"),
        ("def make(): return torch.eye(2)", r"must return \(inputs, targets\), got one of type Tensor"),
        (
            "def make(): return 'ab', [0]",
            "inputs must be a tensor or an array of numbers, got one of type str",
        ),
        ("def make(): return [[1], [2, 3]], [0, 1]", "inputs must be a tensor .* got a list of 2"),
        ("def make(): return torch.eye(2)[0], [0, 1]", r"inputs must have the shape .* got \(2,\)"),
        ("def make(): return torch.zeros(0, 2), []", r"inputs must have the shape .* got \(0, 2\)"),
        ("def make(): return torch.zeros(2, 0), [0, 1]", r"inputs must have the shape .* got \(2, 0\)"),
        ("def make(): return torch.eye(2) * 1j, [0, 1]", "inputs must be real numbers, got torch.complex64"),
        ("def make(): return torch.eye(2) / 0, [0, 1]", "must be finite numbers"),
        (
            "def make(): return torch.eye(2), torch.eye(2).long()",
            r"targets must have the shape .* got \(2, 2\)",
        ),
        (
            "def make(): return torch.eye(2), torch.eye(2)[0]",
            "targets must be whole class numbers, got torch.float32",
        ),
        ("def make(): return torch.eye(2), [0, -1]", "targets must be class numbers >= 0, got -1"),
        ("def make(): return torch.eye(2), [0]", "one target for each sample, got 2 samples and 1 targets"),
        (
            "def make(): return torch.eye(2), [0, 5000]",
            "must be class numbers from 0, got 5000 among 2 samples",
        ),
    ],
)
def test_wrong_factories_are_told_in_one_line(write: Write, text: str, message: str) -> None:
    write(text)
    with pytest.raises(ActdiagError, match=message) as caught:
        load_batch(spec_of())
    assert "\n" not in str(caught.value)


def test_cause_is_kept(write: Write) -> None:
    write("def make():\n    raise KeyError('x')")
    with pytest.raises(ActdiagError) as caught:
        load_batch(spec_of())
    assert isinstance(caught.value.__cause__, KeyError)


def test_missing_module() -> None:
    with pytest.raises(
        ActdiagError, match=r"cannot import 'no\.such' for data 'no\.such:make': No module named 'no'"
    ):
        load_batch(RunSpec(data="no.such:make"))


def test_features_and_too_few_classes_are_refused(write: Write) -> None:
    write("def make(): return [[1.0], [2.0]], [0, 3]")
    with pytest.raises(UsageError, match="features come from the data"):
        load_batch(spec_of(features=1))
    with pytest.raises(UsageError, match="holds classes 0 to 3, got classes 2: give at least 4"):
        load_batch(spec_of(classes=2))
