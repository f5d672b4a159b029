"""What a reporter is, and how a report's folder is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from actdiag import arguments
from actdiag.diagnosis import check_diagnosis
from actdiag.errors import ActdiagError, UsageError
from actdiag.folders import check_writable, keep_others, replacing, sweep
from actdiag.recording import Recording, check_recording, is_own
from actdiag.registry import Registry
from actdiag.types import Diagnosis

Reporter = Callable[[Recording, Diagnosis], dict[str, bytes]]
"""File name -> content: pure, and the same bytes every time."""

REPORTERS: Registry[Reporter] = Registry("report format")


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
        UsageError: an unknown format, no recording, or the diagnosis of another.
        ActdiagError: the folder holds something else, or cannot be written.
    """
    check_recording(recording)
    check_diagnosis(recording, diagnosis)
    if not recording.runs:
        raise UsageError("the recording holds no run: there is nothing to report")
    folder = arguments.folder(folder)
    names = _names(formats)
    reporters = [REPORTERS[name] for name in dict.fromkeys(names)]
    place = _place(folder, recording.runs, force)
    files = {name: data for reporter in reporters for name, data in reporter(recording, diagnosis).items()}
    with replacing(folder) as fresh:
        recording.write(fresh)
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        keep_others(place, fresh, is_own)
    return folder


def _names(formats: str | Iterable[str]) -> list[str]:
    names = [formats] if isinstance(formats, str) or not isinstance(formats, Iterable) else list(formats)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise UsageError(f"formats are names, as 'html' or ['html', 'csv'], got {odd[0]!r}")
    return names


def check_folder(folder: Path, runs: Iterable[str], force: bool = False) -> None:
    """Raise now what `report` would raise of the folder after the runs of these names were measured.

    Raises:
        ActdiagError: the folder holds something else, or cannot be written.
    """
    check_writable(_place(folder, runs, force))


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
                f"{folder} exists and is no report of this run: --force writes into it, --out names another"
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
