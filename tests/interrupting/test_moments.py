"""Ctrl-C at random moments of whole commands: the old report or the new one, whole, and nothing else.

`ACTDIAG_MOMENTS=50 python -m pytest tests/interrupting/test_moments.py` tries more than the usual run.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import left_over, snapshot
from processes import GRID, SMALL, alone, ended, send, start

MOMENTS = int(os.environ.get("ACTDIAG_MOMENTS", "4"))
COMMANDS = {
    "scan": ("scan", *SMALL),
    "compare": ("compare", *GRID, *SMALL),
    "workers": ("compare", *GRID, *SMALL, "--workers", "2"),
}
KEPT = "finished cells are kept in out/run.cells: the same command with --resume goes on"
LEAVING = "leaving the finished cells in out/run.cells: --resume would go on with them"
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@needs_proc
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_at_any_moment(name: str) -> None:
    began = time.monotonic()
    process = start(*COMMANDS[name])
    assert ended(process) == []
    life, old = time.monotonic() - began, snapshot(Path())
    assert any(path.endswith("report.html") for path in old)
    moments = random.Random(name)
    for _ in range(MOMENTS):
        before, process = finished_cells(), start(*COMMANDS[name])
        time.sleep(moments.uniform(0.05, life))
        send(process, signal.SIGINT)
        check_end(ended(process), process.returncode, before)
        now = snapshot(Path())
        assert {path: now[path] for path in now if ".cells/" not in path} == old
        assert left_over(Path()) == []
        assert alone(process)


def finished_cells() -> list[int]:
    """Return what tells the cells that an interrupted comparison has left from those of another."""
    return sorted(place.stat().st_ino for place in Path("out").glob("run.cells/*"))


def check_end(told: list[str], code: int, before: list[int]) -> None:
    """Check the exit code and the one line, with the one before it that tells of new finished cells."""
    kept = finished_cells()
    if before and told[:1] == [LEAVING]:
        told = told[1:]
    if code == 0:  # it came when all was done
        assert told == []
    elif told[:1] != ["interrupted"] and any("<frozen" in line for line in told):
        assert code in (-signal.SIGINT, 1, 130)  # Python was starting, or importing what answers signals
        assert not any("actdiag/cli/commands" in line for line in told)
    else:
        assert (code, told[-1]) == (130, "interrupted")
        assert told[:-1] == ([KEPT] if kept else []) or (kept == before and not told[:-1])


def test_a_request_to_end_has_a_code_of_its_own() -> None:
    process = start("scan", "--depth", "50", "--seeds", "3000", "--out", "out/run")
    time.sleep(5.0)
    send(process, signal.SIGTERM)
    assert (ended(process), process.returncode) == (["interrupted"], 143)
    assert list(Path().iterdir()) == []


def in_process(body: str) -> tuple[list[str], int]:
    """Run a command of the command line whose body is replaced; return its lines and its exit code."""
    code = (
        "import sys, signal, time\nfrom pathlib import Path\nfrom actdiag import interrupts\n"
        "interrupts.install()\n"
        "from actdiag.cli import commands, main\nfrom actdiag.folders import replacing\n"
        f"import click\n@click.command('list')\ndef body() -> None:\n{body}\n"
        "commands.LazyGroup.get_command = lambda self, context, name: body\n"
        "sys.argv = ['actdiag', 'list']\nmain()\n"
    )
    end = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return end.stderr.splitlines(), end.returncode


LOST = """
    class Lost:
        def __del__(self): signal.raise_signal(signal.SIGINT)
    with replacing(Path("run")) as fresh:
        (fresh / "file").touch()
        Lost()
"""
TWICE = """
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        Path("cleaned").touch()
"""
THRICE = """
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        Path("cleaned").touch()
"""
CHANGED = """
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("numpy failed to start")
"""


@pytest.mark.parametrize(
    ("body", "left"),
    [(LOST, []), (TWICE, ["cleaned"]), (THRICE, []), (CHANGED, [])],
    ids=["lost in __del__", "twice", "thrice", "made another error"],
)
def test_an_interrupt_is_never_lost(body: str, left: list[str]) -> None:
    assert in_process(body) == (["interrupted"], 130)
    assert [path.name for path in Path().iterdir()] == left


def test_two_runs_of_one_folder_end_well_together() -> None:
    both = [start("scan", *SMALL) for _ in range(2)]
    assert [(ended(process), process.returncode) for process in both] == [([], 0), ([], 0)]
    alone_there = snapshot(Path())
    assert ended(start("scan", *SMALL)) == []
    assert snapshot(Path()) == alone_there
    assert sorted(path.name for path in Path().rglob("*") if path.is_dir()) == ["out", "run"]


@needs_proc
def test_a_kill_leaves_no_worker_behind() -> None:
    process = start("compare", *GRID, *SMALL, "--depth", "30", "--depth", "31", "--workers", "2")
    until = time.monotonic() + 60
    while len(workers(process.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    ended(process)
    assert alone(process)


def workers(parent: int) -> list[str]:
    """Return the processes that a process has made, but for the one that keeps its resources."""
    lines = [path.read_text() for path in Path("/proc").glob(f"{parent}/task/*/children")]
    return [word for line in lines for word in line.split()][1:]


def test_a_disk_that_is_full_is_one_line() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))  # as a quota: files are cut in the middle
    try:
        process = start("scan", *SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended(process) == ["Error: cannot write out/run: File too large. Name another with --out."]
    assert process.returncode == 1
    assert list(Path().iterdir()) == []
