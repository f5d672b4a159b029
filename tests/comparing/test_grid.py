"""The grid of a command line."""

from __future__ import annotations

import re

import pytest

from actdiag import RunSpec
from actdiag.activations import ACTIVATIONS
from actdiag.comparing.grid import check_size, grid, slug
from actdiag.errors import UsageError

ONE = {"acts": ["tanh"], "inits": ["xavier"], "depths": [3], "widths": [8]}


def spanned(**more: object) -> tuple[RunSpec, ...]:
    return grid(RunSpec(batch=32, seed=7), **{**ONE, **more})  # type: ignore[arg-type]


def test_a_grid_holds_every_combination_once_draws_last() -> None:
    specs = spanned(
        depths=[2, 5], widths=[8, 9], acts=["relu", "tanh", "relu"], inits=["he", "lsuv"], seeds=2
    )
    assert len(specs) == len(set(specs)) == 2 * 2 * 2 * 2 * 2
    assert [spec.seed for spec in specs[:4]] == [7, 8, 7, 8]
    assert [spec.slug for spec in specs[:4:2]] == ["relu-he-2x8-batch32-seed7", "relu-lsuv-2x8-batch32-seed7"]
    assert {spec.batch for spec in specs} == {32}


def test_all_stands_for_seventeen_activations_and_fourteen_initialisers() -> None:
    specs = spanned(acts=["all"], inits=["all"])
    assert list(dict.fromkeys(spec.act for spec in specs)) == list(ACTIVATIONS)
    inits = dict.fromkeys(spec.init for spec in specs)
    assert len(inits) == 14
    assert len(specs) == 17 * 14
    assert "constant" not in inits
    assert {"zeros", "normal:0.01", "uniform:0.05", "lsuv"} <= set(inits)


def test_all_may_stand_beside_others() -> None:
    inits = [spec.init for spec in spanned(inits=["normal:1", "all", "xavier_uniform"])]
    assert inits[0] == "normal:1"
    assert inits.count("xavier_uniform") == 1


def test_a_gain_is_for_those_that_have_one() -> None:
    specs = spanned(inits=["normal:0.01", "xavier", "orthogonal"], gain="exact")
    assert [spec.gain for spec in specs] == [None, "exact", "exact"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"inits": ["normal:0.01", "lsuv"], "gain": 2.0}, "none of normal:0.01, lsuv has a gain to set"),
        ({"seeds": 0}, "seeds is a whole number >= 1, got 0"),
        ({"acts": ["tahn"]}, "unknown activation 'tahn': did you mean 'tanh'"),
        ({"inits": ["xaver"]}, "unknown initializer 'xaver': did you mean 'xavier'"),
        ({"inits": ["normal"]}, "initializer 'normal' needs its number: write normal:0.01"),
        ({"depths": [3, -1]}, "depth is a whole number >= 0, got -1"),
        ({"depths": [3, 10**400]}, "depth is a whole number <= 2147483647, got 1000"),
        ({"widths": [10**400]}, "width is a whole number <= 2147483647, got 1000"),
    ],
)
def test_what_no_grid_can_be_made_of_is_told(more: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        spanned(**more)


def test_a_grid_whose_results_no_memory_holds_is_refused_before_it_is_spanned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actdiag.memory.free_memory", lambda: 10**10)
    with pytest.raises(UsageError) as caught:
        spanned(seeds=10**9)
    assert re.fullmatch(
        r"a grid of 1000000000 networks needs about \d+ TB of memory and 10 GB are free: "
        "ask for fewer networks, draws or layers",
        str(caught.value),
    )
    with pytest.raises(UsageError, match=r"^a grid of 5 networks by 100000 workers needs about 30 TB of"):
        check_size(5, 3, 100_000)
    check_size(5, 3, 8)


def test_a_folder_has_a_name_for_each_grid() -> None:
    names = {slug(spanned(**more)) for more in ({}, {"depths": [4]}, {"seeds": 2}, {"inits": ["he"]})}
    assert len(names) == 4
    assert all(len(name) == len("compare-") + 8 and name.startswith("compare-") for name in names)
    assert slug(spanned()) == slug(spanned())
