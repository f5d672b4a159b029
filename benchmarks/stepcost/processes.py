"""Workers in pinned environments: one thread, a known malloc, the actdiag of this working tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
MALLOC = {
    "default": {},
    "keeping": {
        "MALLOC_MMAP_THRESHOLD_": str(1 << 25),  # the highest that glibc takes
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(1 << 26),
    },
    "mapped": {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)},
}
"""Ways of malloc: its own; never giving memory back, for times; for memory each larger block on pages of its
own, so that the resident set is what is in use and no hole between blocks."""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment, pinned."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return {**mine, **THREADS, "PYTHONPATH": os.pathsep.join(map(str, (FOLDER, FOLDER.parent))), **extra}


def ask(request: Mapping[str, Any], extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a worker and return its answer; one that dies is an answer, too.

    Args:
        request: what to measure; its `malloc`, if any, is a key of `MALLOC`.
        extra: variables of its environment.
    """
    variables = environment({**MALLOC[request.get("malloc", "keeping")], **(extra or {})})
    command = [sys.executable, "-W", "ignore", "-m", "stepcost.worker", json.dumps(request)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {"failed": f"the process ended with {done.returncode}: {last[:200]}"}
    return json.loads(lines[-1])


def version(extra: Mapping[str, str]) -> str:
    """Return what `actdiag --version` says in a worker's environment."""
    command = [sys.executable, "-m", "actdiag", "--version"]
    done = subprocess.run(command, env=environment(extra), capture_output=True, text=True, check=False)
    return done.stdout.strip()
