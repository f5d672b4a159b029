"""One thread for every test: the tensors are small, and waiting threads spin."""

from __future__ import annotations

import os

import pytest

from actdiag.kernel import kernel_description

os.environ["OMP_NUM_THREADS"] = "1"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which path measured float32 tensors on the CPU."""
    terminalreporter.write_line(f"statistics: {kernel_description()}")
