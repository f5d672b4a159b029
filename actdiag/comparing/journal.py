"""The journal: a folder of finished cells, from which an interrupted comparison goes on."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import torch

from actdiag import __version__
from actdiag.errors import ActdiagError, SchemaError
from actdiag.folders import remove, sweep
from actdiag.recording import Recording

_OWN = re.compile(r"[0-9a-f]{16}")
"""What a journal calls its folders; anything else there is somebody's."""


class Journal:
    """Recordings of finished chunks, a folder each; without a folder it keeps nothing on disk."""

    def __init__(self, folder: Path | None) -> None:
        """Open the journal in `folder`, None for none."""
        self.folder = folder

    @property
    def chunks(self) -> list[Path]:
        """Return the folders of finished chunks.

        Raises:
            ActdiagError: the journal is no folder, or cannot be read.
        """
        if self.folder is None or not self.folder.exists():
            return []
        try:
            return sorted(place for place in self.folder.iterdir() if _OWN.fullmatch(place.name))
        except OSError as error:
            raise ActdiagError(
                f"cannot keep finished cells in {self.folder}: {error.strerror or error}. Move it away, or "
                "name another --out."
            ) from error

    def finished(self, wanted: Iterable[str]) -> dict[str, Recording]:
        """Return the runs among `wanted` that earlier runs of this version finished, without failed ones."""
        names = set(wanted)
        found: dict[str, Recording] = {}
        for recording in self._recordings():
            for run, facts in recording.meta["runs"].items():
                if run in names and not facts.get("error"):
                    found[run] = recording.of(run)
        return found

    def _recordings(self) -> Iterator[Recording]:
        """Yield what can be read; what cannot, or comes from other versions, is measured again."""
        for place in self.chunks:
            try:
                recording = Recording.load(place)
            except SchemaError:
                continue
            wrote = recording.meta.get("actdiag"), recording.meta.get("torch")
            if wrote == (__version__, torch.__version__):
                yield recording

    def check(self) -> None:
        """Say before anything is measured that nothing can be kept there.

        Raises:
            ActdiagError: the nearest folder that exists cannot be written.
        """
        if self.folder is None:
            return
        near = next(place for place in (self.folder, *self.folder.resolve().parents) if place.exists())
        if not (near.is_dir() and os.access(near, os.W_OK)):
            raise ActdiagError(f"cannot write into {near}: name another with --out")

    def add(self, recording: Recording) -> None:
        """Keep a finished chunk.

        Raises:
            ActdiagError: the folder cannot be written.
        """
        if self.folder is None or not recording.runs:
            return
        digest = hashlib.sha256("\n".join(recording.runs).encode()).hexdigest()
        recording.save(self.folder / digest[:16])

    def discard(self) -> None:
        """Remove the chunks, and the folder if nothing else is in it."""
        for place in self.chunks:
            with suppress(ActdiagError):
                remove(place)
        self.tidy()

    def tidy(self) -> None:
        """Remove what killed runs left in the folder, and the folder if it is empty."""
        if self.folder is not None:
            sweep(self.folder)
            with suppress(OSError):
                self.folder.rmdir()
