"""Processes of the command line, in a session of their own, to be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SMALL = ("--depth", "3", "--width", "16", "--batch", "32", "--format", "html", "--out", "out/run")
GRID = ("--act", "tanh", "--act", "relu", "--init", "xavier", "--init", "he", "--seeds", "3")


def start(*line: str) -> subprocess.Popen[bytes]:
    """Start a command line in the current folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "actdiag", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
        start_new_session=True,
    )


def send(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and its workers, as a terminal does."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def ended(process: subprocess.Popen[bytes]) -> list[str]:
    """Wait for the end of a process; return what it told on standard error, line by line."""
    try:
        return process.communicate(timeout=180)[1].decode().splitlines()
    finally:
        process.kill()


def alone(process: subprocess.Popen[bytes], seconds: float = 30.0) -> bool:
    """Return whether nothing that a process started lives on, once it had some time to end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(_session(entry) == process.pid for entry in Path("/proc").glob("[0-9]*/stat")):
            return True
        time.sleep(0.05)
    return False


def _session(entry: Path) -> int:
    """Return the session of a process, 0 where it has ended."""
    try:
        state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return 0
    return 0 if state in "ZX" else int(session)
