"""Fuzz one reader, coverage-guided: `python fuzz/run.py idx OUT -runs=1000000`. Needs atheris."""

from __future__ import annotations

import faulthandler
import hashlib
import importlib
import json
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import atheris

READERS = {
    "idx": ("data.idx", "data.batch"),
    "table": ("data.table", "data.batch"),
    "settings": ("settings", "parameters", "errors"),
    "recording": ("recording", "saved", "arrays"),
}
"""What is watched of each reader: its own modules, nothing that it builds on."""
REPORT_EVERY = 1000


class Harness:
    """Feed a reader, keep what breaks it, and count.

    Attributes:
        counts: inputs that were read, refused, or broke a promise.
    """

    def __init__(self, module: Any, out: Path) -> None:
        """Open the harness `module`; finds and figures go to the folder `out`."""
        self.module = module
        self.out = out
        self.counts = Counter(read=0, refused=0, finds=0)
        self.started = time.time()

    def __call__(self, data: bytes) -> None:
        """Try one input; a find is kept with its traceback, once for each place that it came from."""
        try:
            self.counts["read" if self.module.one(data) else "refused"] += 1
        except Exception as error:
            self.counts["finds"] += 1
            self._keep(data, error)
        if self.counts.total() % REPORT_EVERY == 0:
            self.report()

    def report(self) -> None:
        """Write how many inputs there were, and how fast."""
        seconds = time.time() - self.started
        figures = {**self.counts, "inputs": self.counts.total(), "seconds": round(seconds)}
        (self.out / "figures.json").write_text(json.dumps(figures) + "\n")

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        name = hashlib.sha256(f"{type(error)} {frames}".encode()).hexdigest()[:12]
        if not (self.out / f"find-{name}").exists():
            (self.out / f"find-{name}").write_bytes(data)
            (self.out / f"find-{name}.txt").write_text("".join(traceback.format_exception(error)))


def main() -> None:
    """Import the reader with coverage, write its seeds, and fuzz."""
    reader, out = sys.argv[1], Path(sys.argv[2])
    corpus = out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=[f"actdiag.{name}" for name in READERS[reader]]):
        module = importlib.import_module(f"fuzz_{reader}")
    for place, seed in enumerate(module.seeds()):
        (corpus / f"seed-{place:02}").write_bytes(seed)
    warnings.simplefilter("error")
    faulthandler.enable()
    harness = Harness(module, out)
    options = ["-timeout=120", "-len_control=0", *sys.argv[3:]]
    atheris.Setup([sys.argv[0], str(corpus), *options], harness)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
