"""Tests for the errors: what they say, and which exit code they carry."""

from __future__ import annotations

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
