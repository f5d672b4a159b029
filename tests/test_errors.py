"""Tests for the errors: what they say, and which exit code they carry."""

from __future__ import annotations

import pickle

import pytest

from actdiag.errors import ActdiagError, SchemaError, UsageError, unknown_name


@pytest.mark.parametrize(("error", "code"), [(ActdiagError, 1), (SchemaError, 1), (UsageError, 2)])
def test_exit_code_tells_wrong_use_from_failure(error: type[ActdiagError], code: int) -> None:
    assert error.exit_code == code
    assert issubclass(error, ActdiagError)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tahn", " did you mean 'tanh'?"), ("RELU", " did you mean 'relu'?"), ("qqq", ""), ("", "")],
)
def test_unknown_name_offers_the_nearest_and_lists_all(name: str, hint: str) -> None:
    error = unknown_name("activation", name, iter(["relu", "tanh", "step"]))
    assert str(error) == f"unknown activation '{name}':{hint} Known: relu, tanh, step."
    assert type(error) is UsageError


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a\nb\r\n\tc", "a b   c"),
        ("\x1b[31mred\x07", "?[31mred?"),
        ("\0 \u202e \ud800 \u200b", "? ? ? ?"),
        ("é 漢 😀", "é 漢 😀"),
    ],
)
@pytest.mark.parametrize("kind", [ActdiagError, SchemaError, UsageError])
def test_a_message_is_one_line_that_a_terminal_can_show(
    kind: type[ActdiagError], message: str, shown: str
) -> None:
    assert str(kind(message)) == shown


def test_a_long_name_leaves_room_for_what_to_do() -> None:
    assert str(ActdiagError("x" * 1000)) == "x" * 1000
    line = str(ActdiagError(f"cannot read {'x' * 1_000_000}: name another"))
    assert len(line) < 1000
    assert line.startswith("cannot read xxx")
    assert line.endswith("xxx: name another")


def test_an_error_survives_its_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(UsageError("a\nb")))
    assert (type(error), str(error)) == (UsageError, "a b")


def test_a_long_list_of_names_is_cut() -> None:
    names = [f"name{number}" for number in range(30)]
    line = str(unknown_name("rule", "other", names))
    assert line.endswith("name23, name24 and 5 more.")
    assert str(unknown_name("rule", "other", names[:25])).endswith("name23, name24.")
