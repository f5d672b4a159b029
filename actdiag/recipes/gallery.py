"""Write what recipes found: a folder each, and an index of all that lie beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actdiag.errors import ActdiagError
from actdiag.folders import replace_files, replacing, sweep
from actdiag.recipes.base import Size
from actdiag.recipes.running import Reproduction
from actdiag.reporters.reproductions import MARK, index_files, recipe_files

FACTS = "claims.json"


def check_place(gallery: Path, names: list[str], size: Size) -> None:
    """Raise before anything is run where writing would overwrite what is not the gallery's, or a larger run.

    Raises:
        ActdiagError: a file or folder in the way, with what to do.
    """
    if gallery.exists() and not gallery.is_dir():
        raise ActdiagError(f"{gallery} is a file, expected a folder: name another with --out")
    for name in ("index.html", "README.md"):
        path = gallery / name
        if path.exists() and not (path.is_file() and MARK in path.read_text("utf-8", "replace")):
            raise ActdiagError(f"{path} was not written by actdiag reproduce: name another folder with --out")
    for name in names:
        _check_folder(gallery / name, name, size)


def _check_folder(folder: Path, name: str, size: Size) -> None:
    if not folder.exists():
        return
    ours = folder.is_dir() and (not any(folder.iterdir()) or (folder / FACTS).is_file())
    if not ours:
        raise ActdiagError(f"{folder} exists and is no reproduction of {name}: name another with --out")
    if (
        size is Size.SMALL
        and (folder / FACTS).is_file()
        and _read(folder / FACTS).get("size") == Size.PAPER.value
    ):
        raise ActdiagError(
            f"{folder} holds a run of the published size: give --size paper, or name another with --out"
        )


def write(reproduction: Reproduction, gallery: Path) -> Path:
    """Write a recipe's folder as a whole and the index anew; return the folder.

    Raises:
        ActdiagError: the gallery cannot be written.
    """
    facts = reproduction.facts
    folder = gallery.resolve() / str(facts["recipe"])
    files = {FACTS: _json(facts), **recipe_files(facts, reproduction.sketches)}
    with replacing(folder) as fresh:
        for name, content in files.items():
            (fresh / name).write_bytes(content)
    write_index(gallery)
    return folder


def write_index(gallery: Path) -> None:
    """Write index.html and README.md of all the recipes that lie in the folder."""
    replace_files(gallery, index_files(found(gallery)))


def found(gallery: Path) -> list[dict[str, Any]]:
    """Return the facts of every recipe in the folder, by name.

    Raises:
        ActdiagError: a claims.json that cannot be read.
    """
    sweep(gallery)
    return [_read(path) for path in sorted(gallery.glob(f"*/{FACTS}")) if "." not in path.parent.name]


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text("utf-8"))
        if facts["recipe"] != path.parent.name:
            raise ValueError(f"it is about '{facts['recipe']}'")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ActdiagError(f"cannot read {path}: {error}. Remove it, or reproduce it again.") from error
    return dict(facts)


def _json(facts: dict[str, Any]) -> bytes:
    return (json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
