"""Time `actdiag scan` against the least that any such command must do, in turn, as whole processes.

    python benchmarks/startup.py [RUNS]

Writes the medians and quartiles of the paired ratios, and where the time goes, to benchmarks/startup.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
OPTIONS = ["--depth", "10", "--init", "xavier", "--act", "tanh"]
PNG, NO_PNG = ["--format", "html", "--format", "png"], ["--format", "html"]
PLAIN, SCAN, STAGES = [str(HERE / "plain.py")], ["-m", "actdiag", "scan", *OPTIONS], [str(HERE / "stages.py")]
COMMANDS = {
    "plain with drawing": [*PLAIN, "drawing"],
    "scan with PNG": [*SCAN, *PNG],
    "plain with drawing again": [*PLAIN, "drawing"],
    "held with drawing": [*PLAIN, "drawing", "held"],
    "plain": PLAIN,
    "scan": [*SCAN, *NO_PNG],
    "plain again": PLAIN,
    "held": [*PLAIN, "held"],
    "stages with PNG": [*STAGES, *OPTIONS, *PNG],
    "stages": [*STAGES, *OPTIONS, *NO_PNG],
    "help": ["-m", "actdiag", "--help"],
}
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "OMP_NUM_THREADS": "1"}
"""Bytecode is kept between runs, as it is where actdiag was installed; one thread, so that runs compare."""
Times = dict[str, list[float]]


def run(command: list[str], folder: str) -> tuple[float, str]:
    """Return the wall time of one run of a command, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started, done.stdout


def measure(runs: int) -> tuple[Times, dict[str, Times]]:
    """Run all commands in turn, one warm-up each.

    Returns:
        Seconds of each command and of the network alone; for the two of `stages.py` seconds of each stage.
    """
    times: Times = {name: [] for name in [*COMMANDS, "network"]}
    stages: dict[str, Times] = {"stages with PNG": {}, "stages": {}}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(runs + 1):
            for name in list(COMMANDS) if turn % 2 else list(reversed(COMMANDS)):
                took, printed = run(COMMANDS[name], folder)
                if turn:
                    times[name].append(took)
                    if name == "plain":
                        times["network"].append(float(printed))
                    for stage, seconds in parts(took, printed).items() if name in stages else ():
                        stages[name].setdefault(stage, []).append(seconds)
    return times, stages


def parts(took: float, printed: str) -> dict[str, float]:
    """Return the seconds of each stage of a process, as it printed them, and those outside of its clock."""
    stages: dict[str, float] = json.loads(printed)
    return {**stages, "start and end of the process": took - sum(stages.values())}


def quartiles(values: list[float]) -> str:
    """Spell the median and the quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def ratio(times: Times, name: str, base: str) -> str:
    """Spell the quartiles of the ratios of each turn's pair."""
    return quartiles([one / other for one, other in zip(times[name], times[base], strict=True)])


def summary(times: Times) -> list[str]:
    """Return the table of whole processes."""
    kinds = [("plain with drawing", "held with drawing", "scan with PNG"), ("plain", "held", "scan")]
    rows = {
        "`plain.py`, s": [quartiles(times[plain]) for plain, _, _ in kinds],
        "`actdiag scan --depth 10`, s": [quartiles(times[scan]) for _, _, scan in kinds],
        "ratio of each pair": [ratio(times, scan, plain) for plain, _, scan in kinds],
        "self-check: `plain.py` over itself": [
            ratio(times, f"{plain} again", plain) for plain, _, _ in kinds
        ],
        "`plain.py held` over `plain.py`": [ratio(times, held, plain) for plain, held, _ in kinds],
        "scan over `plain.py held`": [ratio(times, scan, held) for _, held, scan in kinds],
        "`actdiag --help`, s": [quartiles(times["help"]), ""],
    }
    lines = [f"| {what} | {' | '.join(cells)} |" for what, cells in rows.items()]
    return ["| what | HTML and PNG | HTML alone |", "|---|---|---|", *lines]


def breakdown(stages: dict[str, Times]) -> list[str]:
    """Return the table of stages: medians."""
    rows = ["| stage | HTML and PNG | HTML alone |", "|---|---|---|"]
    for stage in stages["stages with PNG"]:
        cells = (f"{np.median(part[stage]):.3f}" if stage in part else "" for part in stages.values())
        rows.append(f"| {stage} | {' | '.join(cells)} |")
    return rows


def main(runs: int) -> None:
    """Write the result."""
    times, stages = measure(runs)
    scipy = "with" if find_spec("scipy") else "without"
    lines = [
        "# Start-up",
        "",
        f"{runs} runs each in turn, order swapped, {os.cpu_count()} cores, one thread, {scipy} scipy;",
        "medians and quartiles. `plain.py` is `import torch` and the same network forward and backward,",
        "for the PNG with `import matplotlib.figure`. `held` keeps the garbage collector from the imports,",
        "as the command line does: that part of the gain is open to any program.",
        "",
        *summary(times),
        "",
        "Where it goes: `stages.py` does in one process what the command does, with a clock; medians in s.",
        f"Of computing and measuring {np.median(times['network']):.3f} s are the network alone.",
        "",
        *breakdown(stages),
    ]
    (HERE / "startup.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
