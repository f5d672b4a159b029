"""The journal: a folder of finished cells, from which an interrupted comparison goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from actdiag import __version__
from actdiag.errors import ActdiagError, SchemaError
from actdiag.recording import Recording


class Journal:
    """Recordings of finished chunks, a folder each; without a folder it keeps nothing on disk."""

    def __init__(self, folder: Path | None) -> None:
        """Open the journal in `folder`, None for none."""
        self._folder = folder

    def finished(self, wanted: Iterable[str]) -> dict[str, Recording]:
        """Return the runs among `wanted` that earlier runs of this version finished, without failed ones.

        Raises:
            ActdiagError: the folder cannot be read.
        """
        names = set(wanted)
        found: dict[str, Recording] = {}
        for recording in self._recordings():
            for run, facts in recording.meta["runs"].items():
                if run in names and not facts.get("error"):
                    found[run] = recording.of(run)
        return found

    def add(self, recording: Recording) -> None:
        """Keep a finished chunk.

        Raises:
            ActdiagError: the folder cannot be written.
        """
        if self._folder is None or not recording.runs:
            return
        digest = hashlib.sha256("\n".join(recording.runs).encode()).hexdigest()
        recording.save(self._folder / digest[:16])

    def _recordings(self) -> Iterator[Recording]:
        """Yield what can be read; what cannot, or comes from other versions, is measured again."""
        for place in self._places():
            try:
                recording = Recording.load(place)
            except SchemaError:
                continue
            wrote = recording.meta.get("actdiag"), recording.meta.get("torch")
            if wrote == (__version__, torch.__version__):
                yield recording

    def _places(self) -> list[Path]:
        if self._folder is None:
            return []
        try:
            return sorted(place for place in self._folder.iterdir() if place.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ActdiagError(
                f"cannot read {self._folder}: {error.strerror or error}. Name another --out."
            ) from error
