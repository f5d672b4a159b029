"""Faults at the k-th operation on the disk: the system refuses it, or the process is killed before it."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actdiag import folders

WATCHED = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Strike = Callable[[], None]


class Plan:
    """Which operation is struck, and how; counts them."""

    def __init__(self, strike: Strike, at: int, and_after: bool = False) -> None:
        self.strike, self.at, self.and_after, self.count = strike, at, and_after, 0

    def meet(self) -> None:
        """Count an operation that is about to be made, and strike it if it is the one."""
        self.count += 1
        if self.count == self.at or (self.and_after and self.count > self.at):
            self.strike()


class _Current:
    plan: Plan | None = None
    hooked = False


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _Current.plan is not None and (event in WATCHED or (event == "open" and args[2] & WRITING)):
        _Current.plan.meet()


@contextmanager
def planned(plan: Plan, exchange: bool = True) -> Iterator[None]:
    """Let a plan strike within the block; without `exchange` as where folders cannot change places."""
    if not _Current.hooked:
        sys.addaudithook(_watch)  # which stays, and does nothing without a plan
        _Current.hooked = True
    really = folders._exchanged

    def exchanged(fresh: Path, folder: Path) -> bool:
        plan.meet()
        return exchange and really(fresh, folder)

    folders._exchanged, _Current.plan = exchanged, plan
    try:
        yield
    finally:
        folders._exchanged, _Current.plan = really, None


def refuse(code: int) -> Strike:
    """Return what lets an operation fail with an error of the system."""

    def strike() -> None:
        raise OSError(code, os.strerror(code))

    return strike


def kill() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def operations(job: Callable[[], object], exchange: bool) -> int:
    """Run a job without a fault; return how many operations it makes."""
    plan = Plan(refuse(errno.EIO), 0)
    with planned(plan, exchange):
        job()
    return plan.count


def killed(job: Callable[[], object], at: int, exchange: bool) -> None:
    """Run a job in a process of its own that is killed before an operation."""
    child = os.fork()
    if not child:
        try:
            with planned(Plan(kill, at), exchange):
                job()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"operation {at} was not met"


def snapshot(root: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder but what belongs to a run's workspace."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(folders.is_left_over(part) for part in path.relative_to(root).parts)
    }


def left_over(root: Path) -> list[str]:
    """Return the workspaces that lie below a folder."""
    return [path.name for path in root.rglob("*") if folders.is_left_over(path.name)]
