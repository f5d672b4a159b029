"""Executors for the command line: a pool of processes, or the workers of a Dask scheduler."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from threading import current_thread, main_thread

from actdiag.errors import ActdiagError

TIMEOUT = 10.0
"""Seconds to wait for a scheduler."""


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """Yield a pool of so many processes; a Ctrl-C is left to this one, which lets them finish a chunk."""
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts)
    try:
        with _starting():
            for _ in range(workers):
                executor.submit(int)  # each starts a worker
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _starting() -> Iterator[None]:
    """Ignore interrupts while processes are made: they inherit it, for the time of their imports as well."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def scheduler(address: str) -> Iterator[Executor]:
    """Yield an executor of a running Dask scheduler's workers.

    Args:
        address: of the scheduler, `tcp://127.0.0.1:8786`.

    Raises:
        ActdiagError: Dask is not installed, or nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ActdiagError("--scheduler needs Dask: pip install 'actdiag[dask]'") from error
    try:
        client = Client(address, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        raise ActdiagError(
            f"no Dask scheduler answers at '{address}': give the address it printed, as tcp://127.0.0.1:8786"
        ) from error
    with client, client.get_executor(pure=False) as executor:
        yield executor
