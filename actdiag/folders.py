"""Replace a folder as a whole, so that a reader finds the old one or the new one, never half."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actdiag.errors import ActdiagError

ASIDE, FRESH = ".actdiag-old", ".actdiag-new"
"""Endings of the two neighbours that exist while a folder is being replaced."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; put it in the place of `folder` when the block ends well.

    The old folder is renamed aside, the new one renamed in, the old one removed. After an exception
    `folder` is as it was.

    Raises:
        ActdiagError: the folder cannot be written.
    """
    fresh, aside = (folder.with_name(folder.name + ending) for ending in (FRESH, ASIDE))
    if folder.exists() and not folder.is_dir():
        raise ActdiagError(f"{folder} is a file, expected a folder: name another")
    try:
        recover(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            yield fresh
            if folder.exists():
                folder.rename(aside)
            fresh.rename(folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            recover(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise ActdiagError(
            f"cannot write {folder}: {error.strerror or error}. Name another with --out."
        ) from error


def recover(folder: Path) -> None:
    """Bring back a folder that an interrupted run left renamed aside, or remove the left-over."""
    aside = folder.with_name(folder.name + ASIDE)
    if not aside.exists():
        return
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(folder)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never half.

    Raises:
        ActdiagError: the file cannot be written.
    """
    fresh = path.with_name(path.name + FRESH)
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        raise ActdiagError(f"cannot write {path}: {error.strerror or error}. Name another --out.") from error
    finally:
        fresh.unlink(missing_ok=True)
