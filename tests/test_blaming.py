"""Whose code raised, and in which module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from actdiag.blaming import module_of, own_traceback
from actdiag.errors import ActdiagError, UserCodeError
from actdiag.importing import call, current_folder_on_path, find, one_line, telling


class Inner(nn.Module):
    """Fails at its second call, in its own lines."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 4)."""
        return self.last(self.first(x))  # type: ignore[no-any-return]


def raised_by(model: nn.Module) -> BaseException:
    with pytest.raises(UserCodeError) as caught, telling("forward"):
        model(torch.zeros(2, 4))
    cause = caught.value.__cause__
    assert cause is not None
    assert str(caught.value) == f"forward raised {one_line(cause)}, in {module_of(cause)}"
    return cause


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Inner(), "last (Linear)"),
        (nn.ModuleDict({"a": nn.Sequential(nn.Tanh(), Inner())})["a"], "1.last (Linear)"),
        (nn.Linear(3, 3), "Linear"),
        (nn.Sequential(nn.Sequential(nn.Bilinear(4, 4, 4))), "0.0 (Bilinear)"),
    ],
)
def test_the_innermost_module_is_named(model: nn.Module, place: str) -> None:
    assert module_of(raised_by(model)) == place


def test_a_function_with_a_model_in_its_arguments_is_no_module() -> None:
    def backward(model: nn.Module) -> None:
        raise ValueError

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        backward(nn.Linear(1, 1))
    assert module_of(caught.value) == ""


def test_a_traceback_of_torch_alone_is_none_of_the_users() -> None:
    assert own_traceback(raised_by(nn.Linear(3, 3)).with_traceback(None)) == ""


class UnspeakableError(Exception):
    """Cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError


class Odd(BaseException):
    """No `Exception`."""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnspeakableError(), "x raised UnspeakableError: its text raised as well"),
        (Odd("a"), "x raised Odd: a"),
    ],
)
def test_odd_exceptions_are_told(error: BaseException, text: str) -> None:
    def factory() -> None:
        raise error

    with pytest.raises(ActdiagError) as caught:
        call("x", factory)
    assert str(caught.value) == text


def test_nothing_in_a_traceback_steers_a_terminal() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        raise ValueError("\x1b[31mred\r")
    assert own_traceback(caught.value).endswith("ValueError: ?[31mred?\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("def f(:\n", "SyntaxError"), ("import no_such_module_at_all\n", "ModuleNotFoundError")],
)
def test_a_module_that_cannot_be_imported_shows_its_line(
    text: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("blamed_under_test.py").write_text(text)
    with current_folder_on_path(), pytest.raises(UserCodeError) as caught:
        find("blamed_under_test:f", "the model")
    sys.modules.pop("blamed_under_test", None)
    assert caught.value.__cause__ is not None
    told = own_traceback(caught.value.__cause__)
    assert f'File "{tmp_path / "blamed_under_test.py"}", line 1' in told
    assert "importlib" not in told
    assert told.splitlines()[-1].startswith(shown)


def test_a_module_that_is_not_there_has_no_traceback() -> None:
    with pytest.raises(UserCodeError) as caught:
        find("no_such_module_at_all:f", "the model")
    assert caught.value.__cause__ is not None
    assert own_traceback(caught.value.__cause__) == ""
