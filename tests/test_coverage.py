"""The coverage in words, and the names of modules for people."""

from __future__ import annotations

import pytest
from recordings import Layer, made_up, with_module

from actdiag.coverage import Coverage, shorten, some
from actdiag.recording import Recording


def modules(*others: tuple[str, str, bool, int]) -> Recording:
    """Return seven modules that were observed, and others: (name, reason, observed, calls)."""
    recording = made_up([Layer(), Layer()])
    for name, reason, observed, calls in others:
        recording = with_module(recording, name, reason=reason, observed=observed, calls=calls)
    return recording


def of(*others: tuple[str, str, bool, int]) -> Coverage:
    return Coverage.of(modules(*others).modules)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ((), "observed 7 of 7 modules"),
        (
            (("a", "not called", False, 0), ("b", "not called", False, 0)),
            "observed 7 of 9 modules, 2 not called",
        ),
        (
            (("a", "not called", False, 0), ("b", "not selected", False, 1)),
            "observed 7 of 9 modules, 1 not called, 1 not selected",
        ),
        ((("a", "'1' is complex", True, 1),), "observed 8 of 8 modules, 1 of them in part"),
        (
            (("a", "its output is complex", False, 1), ("b", "TorchScript: no hook", False, 0)),
            "observed 7 of 9 modules, 2 ran unseen",
        ),
    ],
)
def test_the_sentence(others: tuple[tuple[str, str, bool, int], ...], words: str) -> None:
    assert str(of(*others)) == words


def test_reasons_that_differ_in_the_place_alone_are_one() -> None:
    coverage = of(
        *((f"rnn{n}", f"'hidden.{n}' is complex", True, 1) for n in range(3)), ("x", "not called", False, 0)
    )
    first, second = coverage.gaps
    assert (first.reason, first.names, first.partly) == (
        "part of its output is complex",
        ("rnn0", "rnn1", "rnn2"),
        True,
    )
    assert (str(first), str(second)) == (
        "3 partly observed: part of its output is complex",
        "1 not called",
    )
    (alone,) = of(("rnn", "'hidden.1' is complex", True, 1)).gaps
    assert alone.reason == "'hidden.1' is complex"


def test_containers_are_left_out() -> None:
    recording = with_module(made_up([]), "block", kind="container", observed=False, reason="not called")
    assert str(Coverage.of(recording.modules)) == "observed 1 of 1 modules"


def test_a_part_of_a_product_is_seen_with_it() -> None:
    """MultiheadAttention uses its out_proj without calling it; a container's child is no such part."""
    reason = "its parameters got a gradient though it was never called"
    recording = modules(
        ("attn", "", True, 1), ("attn.out_proj", reason, False, 0), ("attn2.b", reason, False, 0)
    )
    for kind, words in (
        ("product", "observed 8 of 9 modules, 1 ran unseen"),
        ("container", "observed 7 of 9 modules, 2 ran unseen"),
    ):
        assert str(Coverage.of(with_module(recording, "attn", kind=kind).modules)) == words
    unseen = with_module(recording, "attn", kind="product", observed=False, reason="its output is complex")
    assert str(Coverage.of(unseen.modules)) == "observed 7 of 10 modules, 3 ran unseen"


@pytest.mark.parametrize("most", [7, 20, 40])
def test_a_long_name_keeps_both_ends(most: int) -> None:
    name = "encoder.layers.11.attention.output.dense.with.more.words"
    short = shorten(name, most)
    head, tail = short.split("...")
    assert len(short) == most
    assert name.startswith(head)
    assert name.endswith(tail)
    assert len(tail) <= len(head) <= len(tail) + 1
    assert shorten(name[:most], most) == name[:most]


def test_what_steers_a_terminal_is_not_shown() -> None:
    assert shorten("\x1b[31mred\nline\u202e") == "?[31mred?line?"


def test_one_more_is_named_rather_than_counted() -> None:
    assert some(list("abcd")) == "a, b, c, d"
    assert some(list("abcdef")) == "a, b, c and 3 more"
