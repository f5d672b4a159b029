"""`actdiag reproduce`: published figures and numbers beside expected and measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from actdiag.cli.completing import RECIPES as NAMES
from actdiag.cli.completing import complete_recipe
from actdiag.cli.loading import load
from actdiag.cli.wrapping import echo
from actdiag.errors import ActdiagError, UsageError, unknown_name
from actdiag.folders import check_writable
from actdiag.importing import one_line
from actdiag.texts import printable

if TYPE_CHECKING:
    from actdiag.recipes import Recipe, Size
    from actdiag.recipes.running import Reproduction

GALLERY = Path("reports/gallery")


@click.command("reproduce")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_recipe)
@click.option("--all", "every", is_flag=True, help="All recipes; one that fails does not stop the others.")
@click.option(
    "--size",
    type=click.Choice(["small", "paper"]),
    default="small",
    show_default=True,
    help="Size of what is run; paper is as published.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the gallery.  [default: reports/gallery]"
)
def command(names: tuple[str, ...], every: bool, size: str, out: Path | None) -> None:
    """Measure published results again and write a page on each: what was published, expected, measured.

    Names: batchnorm, cs231n, dead-relu, dlfs, glorot2010, hanin2018, he2015, lsuv2016, saxe2014,
    schoenholz2017. The small size takes seconds to half a minute each, paper up to some minutes.

    \b
    actdiag reproduce he2015
    actdiag reproduce --all --size paper --out gallery
    """
    _check_names(names, every)
    gallery = GALLERY if out is None else out
    _check_gallery(gallery)
    load("actdiag.recipes", "actdiag.drawings")
    from actdiag.recipes import RECIPES, Size
    from actdiag.recipes.gallery import check_place

    recipes = [RECIPES[name] for name in (RECIPES if every else dict.fromkeys(names))]
    check_place(gallery, [recipe.name for recipe in recipes], Size(size))
    failed = [recipe.name for recipe in recipes if not _ran(recipe, Size(size), gallery, every)]
    if failed:
        raise ActdiagError(f"could not run {', '.join(failed)}: see above")


def _check_names(names: tuple[str, ...], every: bool) -> None:
    """Raise where no recipe is named, or one that there is not, before torch is loaded."""
    if bool(names) == every:
        raise UsageError(f"name recipes or give --all, one of the two. Known: {', '.join(NAMES)}.")
    for name in names:
        if name not in NAMES:
            raise unknown_name("recipe", name, NAMES)


def _check_gallery(gallery: Path) -> None:
    """Raise where no recipe's folder could be made in the end, or folders would appear among others'."""
    if gallery.exists() and not gallery.is_dir():
        raise ActdiagError(f"{gallery} is a file, expected a folder: name another with --out")
    if gallery.is_dir() and gallery.samefile(Path.cwd()):
        raise ActdiagError(f"--out '{gallery}' is the current folder: name a folder of the gallery's own")
    check_writable(gallery / NAMES[0] if gallery.exists() else gallery)


def _ran(recipe: Recipe, size: Size, gallery: Path, go_on: bool) -> bool:
    """Run a recipe and write its page; where others follow, a failure is told and not raised."""
    from actdiag.recipes.gallery import write
    from actdiag.recipes.running import reproduce

    try:
        reproduction = reproduce(recipe, size)
        folder = write(reproduction, gallery)
    except Exception as error:
        if not go_on:
            raise
        click.echo(f"{recipe.name}: could not be run: {one_line(error)}", err=True)
        return False
    _tell(reproduction, folder)
    return True


def _tell(reproduction: Reproduction, folder: Path) -> None:
    from actdiag.reporters.number_lines import measured
    from actdiag.reporters.reproductions import power, tally

    facts = reproduction.facts
    echo(f"{facts['recipe']}: {tally(facts)}; {facts['setting']}")
    for claim in facts["claims"]:
        words = f"published {claim['published']}; measured {measured(claim)}"
        echo(f"  {claim['outcome']:14}  {claim['name']}: {words}", hang=16)
        if claim["outcome"] == "inconclusive":
            echo(f"  {'':14}  {power(claim)}", hang=0)
    click.echo(printable(f"Wrote {folder}"))
