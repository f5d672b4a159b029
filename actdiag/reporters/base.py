"""What a reporter is, and how a report's folder is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from actdiag.errors import ActdiagError
from actdiag.folders import carry_over, is_left_over, replacing, sweep
from actdiag.recording import FILES, Recording
from actdiag.registry import Registry
from actdiag.types import Diagnosis

Reporter = Callable[[Recording, Diagnosis], dict[str, bytes]]
"""File name -> content: pure, and the same bytes every time."""

REPORTERS: Registry[Reporter] = Registry("report format")
PICTURES = ("matrix.png", "distributions.png", "profile.png")
OWN = frozenset(
    (*FILES, *PICTURES, "report.html", "layers.csv", "findings.csv", "networks.csv", "report.json")
)
"""The names that actdiag writes, and so replaces; anything else in a folder is somebody's."""


def report(
    recording: Recording,
    diagnosis: Diagnosis,
    folder: str | Path,
    formats: str | Iterable[str] = ("html", "png"),
    force: bool = False,
) -> Path:
    """Write the recording and its report into `folder`, replaced as a whole; others' files are kept.

    Args:
        recording: what was measured; its own files are always written.
        diagnosis: what the rules say of it.
        folder: where to; made if it is not there.
        formats: one or several of the names in `REPORTERS`.
        force: replace whatever folder is there.

    Returns:
        The folder.

    Raises:
        UsageError: an unknown format.
        ActdiagError: the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    names = [formats] if isinstance(formats, str) else formats
    reporters = [REPORTERS[name] for name in dict.fromkeys(names)]
    place = _place(folder, recording.runs, force)
    files = {name: data for reporter in reporters for name, data in reporter(recording, diagnosis).items()}
    with replacing(place) as fresh:
        recording.write(fresh)
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        _keep_others(place, fresh)
    return folder


def check_folder(folder: Path, runs: Iterable[str], force: bool = False) -> None:
    """Raise now what `report` would raise of the folder after the runs of these names were measured.

    Raises:
        ActdiagError: the folder holds something else.
    """
    _place(folder, runs, force)


def is_own(name: str) -> bool:
    """Return whether actdiag writes files of a name; a picture may go on in `profile-2.png`."""
    return re.sub(r"-[1-9][0-9]*(?=\.png$)", "", name) in OWN


def _keep_others(old: Path, fresh: Path) -> None:
    """Carry over what somebody else put into the folder that is being replaced."""
    for path in old.iterdir() if old.exists() else ():
        if not (is_own(path.name) or is_left_over(path.name)):
            carry_over(path, fresh)


def _place(folder: Path, runs: Iterable[str], force: bool) -> Path:
    """Return the folder to replace, links followed, once it is sure that nothing else is lost."""
    try:
        place = folder.resolve()
        if Path.cwd().resolve().is_relative_to(place):
            raise ActdiagError(
                f"--out '{folder}' is or holds the current folder: name a folder of the report's own"
            )
        sweep(place.parent)
        if place.exists() and not place.is_dir():
            raise ActdiagError(f"{folder} is a file, expected a folder: name another with --out")
        if place.exists() and not force and not _replaceable(place, runs):
            raise ActdiagError(
                f"{folder} exists and is not a report of this run: --force replaces it, --out names another"
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ActdiagError(f"cannot write {folder}: {error}. Name another with --out.") from error
    return place


def _replaceable(folder: Path, runs: Iterable[str]) -> bool:
    """Return whether the folder is empty or holds a recording of the same runs."""
    if not any(folder.iterdir()):
        return True
    try:
        old = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return set(old["runs"]) == set(runs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
