"""Compare: every spec measured, here or by an executor's workers; one recording of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed, wait
from pathlib import Path
from threading import Lock

from actdiag import arguments
from actdiag.comparing.cells import CellResult, assemble, failed, run_cells
from actdiag.comparing.chunks import chunked
from actdiag.comparing.journal import Journal
from actdiag.errors import UsageError
from actdiag.importing import one_line
from actdiag.recording import Recording, concatenate
from actdiag.threads import as_specified, one_thread
from actdiag.types import RunSpec

Tell = Callable[[int, int], None]
"""Is told how many cells are finished, and of how many."""
PATIENCE = 5.0
"""Seconds that an interrupt waits for what others are measuring."""
_ONE_AT_A_TIME = Lock()
"""Building a network and its dropout use the process's one random generator."""


def compare(
    specs: Iterable[RunSpec],
    executor: Executor | None = None,
    *,
    journal: str | Path | None = None,
    tell: Tell | None = None,
) -> Recording:
    """Measure networks at initialisation, each as `actdiag.scan` does, into one recording of all.

    Each cell runs on one thread, so that every number is the same here and on any worker. A cell that raises
    becomes a run without rows whose facts hold its `error`; the others go on.

    Args:
        specs: the networks; of equal ones the first counts.
        executor: any `concurrent.futures.Executor`, of processes or Dask's `client.get_executor()`; None
            measures in this process.
        journal: a folder that keeps finished cells, also when the comparison is interrupted; those it holds
            already are not measured again. Data that changed in between are not noticed.
        tell: is called with the numbers of finished and of all cells.

    Returns:
        The runs in the order of the specs.

    Raises:
        UsageError: no spec at all, or something else.
        ActdiagError: the journal cannot be read or written.

    >>> specs = [RunSpec(depth=3, width=16, batch=32, init=init) for init in ("normal:0.01", "xavier")]
    >>> compare(specs).runs
    ('tanh-normal-0.01-3x16-batch32', 'tanh-xavier-3x16-batch32')
    """
    wanted = _by_name(specs)
    order = list(wanted)
    if executor is not None and not isinstance(executor, Executor):
        raise UsageError(f"executor is a concurrent.futures.Executor, got {executor!r}")
    arguments.callable_or_none("tell", tell)
    kept = Journal(None if journal is None else arguments.folder(journal))
    found = kept.finished(order)
    chunks = chunked(wanted[name] for name in order if name not in found)
    told = _Count(len(order), len(found), tell)
    measured = _here(chunks, kept, told) if executor is None else _there(chunks, executor, kept, told)
    return _in_order(order, found, measured)


def _by_name(specs: Iterable[RunSpec]) -> dict[str, RunSpec]:
    """Return each different spec once, in order."""
    if isinstance(specs, RunSpec) or not isinstance(specs, Iterable):
        raise UsageError(f"compare takes several RunSpecs, got {specs!r}: write compare([RunSpec(...), ...])")
    wanted: dict[str, RunSpec] = {}
    for spec in specs:
        if not isinstance(spec, RunSpec):
            raise UsageError(f"compare takes RunSpecs, got {spec!r}: write RunSpec(...)")
        wanted.setdefault(spec.slug, spec)
    if not wanted:
        raise UsageError("compare needs at least one RunSpec, got none")
    return wanted


class _Count:
    """Counts finished cells, and tells."""

    def __init__(self, total: int, finished: int, tell: Tell | None) -> None:
        self._total, self._finished, self._tell = total, finished, tell
        self.add(0)

    def add(self, cells: int) -> None:
        self._finished += cells
        if self._tell is not None:
            self._tell(self._finished, self._total)


def _here(chunks: Sequence[Sequence[RunSpec]], journal: Journal, count: _Count) -> list[Recording]:
    """Measure in this process; what is finished when it is interrupted is kept."""
    return [_kept(chunk, journal, count) for chunk in chunks]


def _kept(chunk: Sequence[RunSpec], journal: Journal, count: _Count) -> Recording:
    results: list[CellResult] = []
    try:
        with _ONE_AT_A_TIME, one_thread(), as_specified():
            for result in run_cells(chunk):
                results.append(result)
                count.add(1)
    except KeyboardInterrupt:
        if results:
            journal.add(assemble(results))
        raise
    recording = assemble(results)
    journal.add(recording)
    return recording


def _there(
    chunks: Sequence[Sequence[RunSpec]], executor: Executor, journal: Journal, count: _Count
) -> list[Recording]:
    """Measure by an executor; when interrupted, keep what is finished and what is being finished."""
    futures = {executor.submit(measure_chunk, chunk): place for place, chunk in enumerate(chunks)}
    measured: dict[int, Recording] = {}
    try:
        for future in as_completed(futures):
            place = futures[future]
            measured[place] = _result(future, chunks[place])
            journal.add(measured[place])
            count.add(len(chunks[place]))
    except BaseException:
        _finish(futures, measured, journal)
        raise
    return [measured[place] for place in range(len(chunks))]


def _finish(
    futures: dict[Future[Recording], int],
    measured: dict[int, Recording],
    journal: Journal,
) -> None:
    """Cancel what has not begun, wait a little for the rest, and keep what is finished."""
    running = [future for future in futures if not future.cancel() and futures[future] not in measured]
    for future in wait(running, PATIENCE).done:
        if future.exception() is None:  # else its worker was ended as well
            journal.add(future.result())


def _result(future: Future[Recording], chunk: Sequence[RunSpec]) -> Recording:
    """Return a chunk's recording; where the worker itself failed, every cell says so."""
    try:
        return future.result()
    except Exception as error:
        return assemble([failed(spec, one_line(error)) for spec in chunk])


def measure_chunk(chunk: Sequence[RunSpec]) -> Recording:
    """Measure a chunk on one thread: what a worker does."""
    with _ONE_AT_A_TIME, one_thread(), as_specified():
        return assemble(list(run_cells(chunk)))


def _in_order(order: Sequence[str], found: dict[str, Recording], measured: Sequence[Recording]) -> Recording:
    """Return one recording of the runs in their order."""
    if not found:
        return concatenate(measured)
    parts = found | {run: recording.of(run) for recording in measured for run in recording.runs}
    return concatenate([parts[run] for run in order])
