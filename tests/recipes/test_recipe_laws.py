"""What holds for every recipe, and that each measures what it claims."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from typing import Any, NoReturn

import pytest

from actdiag import recipes
from actdiag.recipes import RECIPES, Size
from actdiag.recipes.running import reproduce

EVERY = [(name, size) for name in RECIPES for size in Size]
FRAMEWORK = {"base", "gallery", "judging", "measuring", "running", "student", "training"}
LAWS = {"depth_scales", "lengths", "linear", "silence", "singular"}
"""Modules of closed forms and experiments that belong to one recipe."""

TWO = {Size.SMALL: 2}
BRIEF = {Size.SMALL: (12, 2)}
SHRUNK: dict[str, dict[str, Any]] = {
    "batchnorm": {"WIDTH": 16, "DRAWS": TWO, "STEPS": BRIEF},
    "cs231n": {"WIDTH": 32, "SAMPLES": 64, "DRAWS": {Size.SMALL: (2, 2)}},
    "dead-relu": {"BLOCKS": 2, "NETS": {Size.SMALL: 64}, "PAIRS": {Size.SMALL: (2, 16)}},
    "dlfs": {"SAMPLES": 100, "DRAWS": TWO},
    "glorot2010": {"UNITS": {Size.SMALL: 16}, "SAMPLES": 20, "DRAWS": 2},
    "hanin2018": {"BLOCKS": 2, "NETS": {Size.SMALL: 4}},
    "he2015": {"WIDTH": 16, "DRAWS": TWO, "TRAINED": {Size.SMALL: (8, 12, 2)}},
    "lsuv2016": {"WIDTH": 16, "DRAWS": TWO, "STEPS": BRIEF},
    "saxe2014": {"UNITS": {Size.SMALL: 12}, "NETWORKS": 2, "LAYERS": {Size.SMALL: (3, 5)}},
    "schoenholz2017": {
        "UNITS": {Size.SMALL: 40},
        "BLOCKS": 2,
        "NETS": {True: 2, False: 2},
        "STEPS": 2,
        "NETWORKS": 2,
    },
}
"""Sizes at which a recipe takes a second or two: what comes out means nothing."""


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a claim ran something")


def test_each_module_that_is_no_part_of_the_framework_is_a_recipe_of_its_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(recipes.__path__)}
    assert modules - FRAMEWORK - LAWS == {name.replace("-", "_") for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_where_it_comes_from(name: str) -> None:
    recipe = RECIPES[name]
    assert re.fullmatch(r"[a-z0-9-]+", recipe.name)
    assert recipe.name == name
    assert all(
        (recipe.title, recipe.summary, recipe.source.authors, recipe.source.title, recipe.source.venue)
    )
    assert 1980 < recipe.source.year < 2030
    assert f"({recipe.source.year})" in str(recipe.source)


@pytest.mark.parametrize(("name", "size"), EVERY)
def test_a_claim_says_what_it_accepts_and_why(name: str, size: Size) -> None:
    claims = RECIPES[name].claims(size)
    assert claims
    assert len({claim.name for claim in claims}) == len(claims)
    for claim in claims:
        assert re.fullmatch(r"[a-z0-9-]+", claim.name)
        words = (claim.says, claim.where, claim.published, claim.statistic, claim.reason, claim.theory)
        assert all(words), claim.name
        assert math.isfinite(claim.accepted.low) or math.isfinite(claim.accepted.high), claim.name
        assert claim.expected is None or math.isfinite(claim.expected), claim.name
        assert not claim.log or (claim.accepted.high > 0.0 and (claim.expected or 1.0) > 0.0), claim.name


@pytest.mark.parametrize("name", RECIPES)
def test_an_explanation_is_of_a_claim(name: str) -> None:
    recipe = RECIPES[name]
    claims = {claim.name for size in Size for claim in recipe.claims(size)}
    assert set(recipe.explained) <= claims


@pytest.mark.parametrize(("name", "size"), EVERY)
def test_claims_are_made_before_anything_is_run(
    name: str, size: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = RECIPES[name].claims(size)
    for module in ("scanning.scan", "recipes.measuring.scan", "recipes.training.train"):
        monkeypatch.setattr(f"actdiag.{module}", refuse)
    assert RECIPES[name].claims(size) == before


@pytest.mark.parametrize("name", SHRUNK)
def test_a_recipe_measures_what_it_claims_and_draws_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"actdiag.recipes.{name.replace('-', '_')}")
    for setting, value in SHRUNK[name].items():
        assert hasattr(module, setting)
        monkeypatch.setattr(module, setting, value)
    found = reproduce(RECIPES[name])
    assert found.sketches[0].name == "figure"
    assert all(sketch.alt and sketch.heading for sketch in found.sketches)
    for claim in found.facts["claims"]:
        assert claim["draws"] >= 2, claim["name"]
        assert None not in claim["values"], claim["name"]
