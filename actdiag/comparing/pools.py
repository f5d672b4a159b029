"""Executors for the command line: a pool of processes, or the workers of a Dask scheduler."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread

from actdiag.errors import ActdiagError
from actdiag.interrupts import held

TIMEOUT = 10.0
"""Seconds to wait for a scheduler."""


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """Yield a pool of so many processes; a Ctrl-C is left to this one, which ends them with itself."""
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_serve)
    try:
        with _starting():
            for _ in range(workers):
                executor.submit(int)  # each starts a worker
        yield executor
    except BaseException:
        for process in active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _serve() -> None:
    """Prepare a worker: interrupts are its parent's, and a parent that is killed leaves no worker behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _starting() -> Iterator[None]:
    """Hold interrupts back while processes are made, which inherit that for the time of their imports."""
    block = getattr(signal, "pthread_sigmask", None)
    with held():
        mask = block(signal.SIG_BLOCK, [signal.SIGINT]) if block else None
        try:
            yield
        finally:
            if block:
                block(signal.SIG_SETMASK, mask)


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
