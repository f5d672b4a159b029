"""Names of the user's own: how they are written, found and called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actdiag.errors import ActdiagError, UsageError
from actdiag.importing import call, check_name, current_folder_on_path, find, telling


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("importing_under_test", None)


@pytest.mark.parametrize("text", ["nets:build", "my.nets:Class.make", "_a.b2:c"])
def test_names_as_they_are_written(text: str) -> None:
    check_name(text, "the model")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nets.py:build", ": write nets:build"),
        ("./my/nets.py:build", ": write my.nets:build"),
        ("my/nets:build", ": write my.nets:build"),
        ("nets", ": write nets:name"),
        ("nets:", ": write nets:name"),
        (":build", ""),
        ("", ""),
        ("nets:build()", ""),
        ("nets:a:b", ""),
        ("2nets:build", ""),
    ],
)
def test_names_that_are_none(text: str, hint: str) -> None:
    Path("nets.py").touch()
    with pytest.raises(UsageError) as caught:
        check_name(text, "the model")
    assert str(caught.value) == f"the model is written pkg.mod:name, got '{text}'{hint}"


def test_a_module_is_found_in_the_current_folder_only_inside_the_block() -> None:
    Path("importing_under_test.py").write_text("class A:\n    number = 3\n")
    before = list(sys.path)
    with pytest.raises(ActdiagError, match=r"^cannot import 'importing_under_test' for data 'importing_"):
        find("importing_under_test:A.number", "data")
    with current_folder_on_path():
        assert find("importing_under_test:A.number", "data") == 3
    assert sys.path == before


def test_a_lookup_that_raises_is_one_line() -> None:
    Path("importing_under_test.py").write_text("def __getattr__(name):\n    raise KeyError(name)\n")
    with current_folder_on_path(), pytest.raises(ActdiagError) as caught:
        find("importing_under_test:A", "the model")
    assert str(caught.value) == "looking up 'importing_under_test:A' raised KeyError: 'A'"


def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n lines"), "x:y raised ValueError: two lines"),
        (SystemExit(3), "x:y raised SystemExit: 3"),
    ],
)
def test_what_a_callable_raises_is_told_and_kept_as_the_cause(error: BaseException, text: str) -> None:
    with pytest.raises(ActdiagError) as caught:
        call("x:y", lambda: raises(error))
    assert (str(caught.value), caught.value.__cause__) == (text, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UsageError("mine")])
def test_ctrl_c_and_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, telling("x:y"):
        raise error
    assert caught.value is error
