"""Time `actdiag scan` against the least that any such command must do, in turn, as whole processes.

    python benchmarks/startup.py [RUNS]

Writes the medians and quartiles of the paired ratios to benchmarks/startup.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PLAIN = [sys.executable, str(HERE / "plain.py")]
SCAN = [sys.executable, "-m", "actdiag", "scan", "--depth", "10", "--init", "xavier", "--act", "tanh"]
HELP = [sys.executable, "-m", "actdiag", "--help"]


def seconds(command: list[str], folder: str) -> float:
    """Return the wall time of one run of a command."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def quartiles(values: list[float]) -> str:
    """Spell the median and the quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main(runs: int) -> None:
    """Run the commands in turn, one warm-up each, and write the table."""
    times: dict[str, list[float]] = {"plain": [], "scan": [], "again": [], "help": []}
    commands = {"plain": PLAIN, "scan": SCAN, "again": PLAIN, "help": HELP}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(runs + 1):
            order = list(commands) if turn % 2 else list(reversed(commands))
            for name in order:
                took = seconds(commands[name], folder)
                if turn:
                    times[name].append(took)
    ratios = [scan / plain for scan, plain in zip(times["scan"], times["plain"], strict=True)]
    null = [again / plain for again, plain in zip(times["again"], times["plain"], strict=True)]
    lines = [
        "# Start-up",
        "",
        f"{runs} runs each in turn, order swapped, {os.cpu_count()} cores; median (quartiles). `plain.py` is",
        "`import torch, matplotlib.figure`, the same network forward and backward.",
        "",
        "| what | value |",
        "|---|---|",
        f"| `plain.py`, s | {quartiles(times['plain'])} |",
        f"| `actdiag scan --depth 10` with HTML and PNG, s | {quartiles(times['scan'])} |",
        f"| ratio of each pair | {quartiles(ratios)} |",
        f"| self-check: `plain.py` over `plain.py` | {quartiles(null)} |",
        f"| `actdiag --help`, s | {quartiles(times['help'])} |",
    ]
    (HERE / "startup.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
