"""`actdiag reproduce` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_recipe import Tiny, claim

from actdiag.cli import cli
from actdiag.errors import ActdiagError
from actdiag.recipes.base import RECIPES, Accepted, Measured, Recipe, Size
from actdiag.registry import Registry


class Breaks(Tiny):
    """Cannot be run."""

    def measure(self, size: Size) -> Measured:
        """Raise."""
        raise ZeroDivisionError("by nothing")


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Registry[Recipe]:
    """Put three tiny recipes in the place of the real ones; the second breaks."""
    recipes: Registry[Recipe] = Registry("recipe")
    straddles = claim(accepted=Accepted(low=0.5))
    for recipe in (Tiny(name="first"), Breaks(name="second"), Tiny(name="third", claimed=(straddles,))):
        recipes.add(recipe.name, recipe)
    monkeypatch.setattr("actdiag.recipes.RECIPES", recipes)
    monkeypatch.setattr("actdiag.cli.reproduce.NAMES", tuple(recipes))
    return recipes


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["reproduce", *args])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.usefixtures("three")
def test_it_tells_every_claim_and_where_the_page_is(tmp_path: Path) -> None:
    output = run("first", "--out", str(tmp_path / "out"))
    assert "first: 1 of 1 claims reproduced; in small" in output
    assert "reproduced      one: published the published; measured 0.5 (0.252 to 0.748)" in output
    assert f"Wrote {tmp_path / 'out' / 'first'}" in output
    assert (tmp_path / "out" / "first" / "report.html").is_file()


@pytest.mark.usefixtures("three")
def test_without_out_it_writes_the_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "in paper" in run("first", "--size", "paper")
    assert (tmp_path / "reports" / "gallery" / "first" / "claims.json").is_file()


@pytest.mark.usefixtures("three")
def test_what_is_inconclusive_says_how_many_draws_decide(tmp_path: Path) -> None:
    output = run("third", "--out", str(tmp_path))
    assert "inconclusive" in output
    assert "no usual number of draws decides" in output


@pytest.mark.usefixtures("three")
def test_all_goes_on_after_one_that_raises_and_says_so(tmp_path: Path) -> None:
    output = run("--all", "--out", str(tmp_path), code=1)
    assert "second: could not be run: ZeroDivisionError: by nothing" in output
    assert "Error: could not run second: see above" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "first", "index.html", "third"]


@pytest.mark.usefixtures("three")
def test_a_single_one_that_raises_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(cli, ["reproduce", "second", "--out", str(tmp_path)], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("three")
def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    for args, words, code in (
        (("frist",), "Error: unknown recipe 'frist': did you mean 'first'? Known: first, second, third.", 2),
        ((), "Error: name recipes or give --all, one of the two. Known: first, second, third.", 2),
        (
            ("--all", "first"),
            "Error: name recipes or give --all, one of the two. Known: first, second, third.",
            2,
        ),
        (("first", "--out", str(tmp_path)), "README.md was not written by actdiag reproduce", 1),
    ):
        output = run(*args, code=code)
        assert words in output
        assert len(output.splitlines()) == 1
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_size_that_is_none_is_refused() -> None:
    assert "'huge' is not one of 'small', 'paper'" in run("dlfs", "--size", "huge", code=2)


def test_the_help_names_every_recipe() -> None:
    words = " ".join(run("--help").split())
    names = words.partition("Names: ")[2].partition(".")[0]
    assert names.split(", ") == sorted(RECIPES)


def test_real_recipes_are_found() -> None:
    assert {"batchnorm", "cs231n", "dlfs", "he2015", "lsuv2016"} <= set(RECIPES)
    with pytest.raises(ActdiagError, match="did you mean 'lsuv2016'"):
        RECIPES["lsuv2015"]
