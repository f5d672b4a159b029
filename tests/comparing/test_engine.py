"""Many networks into one recording: the same numbers wherever they are measured, and none lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import actdiag
from actdiag import Recording, RunSpec, compare, scan
from actdiag.comparing import engine
from actdiag.comparing.cells import run_cells
from actdiag.comparing.chunks import MOST, SECONDS, chunked, seconds
from actdiag.comparing.pools import pool
from actdiag.errors import UsageError

SPECS = [
    RunSpec(depth=depth, width=16, batch=32, act=act, init=init, seed=seed)
    for depth in (2, 3)
    for act in ("tanh", "relu")
    for init in ("normal:0.01", "lsuv")
    for seed in (0, 1)
]
BROKEN = RunSpec(depth=2, width=16, batch=1, norm="batch")
"""Its batch has too few samples for its norm."""


def scanned(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """Return the rows of separate scans, below each other."""
    return pd.concat([scan(spec).rows for spec in specs], ignore_index=True)


def small_chunks(monkeypatch: pytest.MonkeyPatch, cells: int = 3) -> None:
    """Let a chunk hold only a few cells."""
    monkeypatch.setattr("actdiag.comparing.chunks.MOST", cells)


def test_a_comparison_holds_what_separate_scans_measure() -> None:
    recording = compare(SPECS)
    pd.testing.assert_frame_equal(recording.rows, scanned(SPECS), check_exact=True)
    assert recording.runs == tuple(spec.slug for spec in SPECS)
    for spec in SPECS[:2]:
        mine, alone = actdiag.diagnose(recording.of(spec.slug)), actdiag.diagnose(scan(spec))
        assert mine == alone


def test_equal_specs_count_once_at_their_first_place() -> None:
    first, second = SPECS[:2]
    assert compare(iter([first, second, first])).runs == (first.slug, second.slug)


def test_no_spec_is_told() -> None:
    with pytest.raises(UsageError, match=r"^compare needs at least one RunSpec, got none$"):
        compare([])


def test_what_is_no_spec_is_told() -> None:
    with pytest.raises(UsageError, match=r"^compare takes RunSpecs, got 'xavier': write RunSpec\(\.\.\.\)$"):
        compare(["xavier"])  # type: ignore[list-item]


@pytest.mark.parametrize("wrong", [None, SPECS[0], 4])
def test_one_spec_or_none_is_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"^compare takes several RunSpecs, got .*: write compare\(\["):
        compare(wrong)


@pytest.mark.parametrize("wrong", [4, ThreadPoolExecutor, "threads"])
def test_what_is_no_executor_is_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"^executor is a concurrent\.futures\.Executor, got "):
        compare(SPECS[:1], wrong)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_are_measured_where_the_caller_has_turned_them_off(off: Callable[[], Any]) -> None:
    with off():
        recording, alone = compare(SPECS[:2]), scan(SPECS[0])
        assert not torch.is_grad_enabled()
    assert recording == compare(SPECS[:2])
    assert alone == scan(SPECS[0])


def test_a_note_about_data_stays_with_its_own() -> None:
    many, all_there = (RunSpec(depth=1, width=8, data="digits", batch=batch) for batch in (4000, 1797))
    notes = [compare([spec]).meta["runs"][spec.slug]["notes"] for spec in (many, all_there, many)]
    assert notes[0] == notes[2] == ["digits has 1797 samples: batch is 1797, not 4000"]
    assert notes[1] == []


def test_an_error_is_one_short_printable_line() -> None:
    recording = compare([BROKEN], Lost())
    (facts,) = recording.meta["runs"].values()
    assert facts["error"] == "ValueError: " + ("a?b " * 100)[: 300 - len("ValueError: ")] + "..."


class Lost(Executor):
    """Stands for a pool that loses every chunk for a long reason."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Fail at once."""
        future: Future[Any] = Future()
        future.set_exception(ValueError("a\x1bb " * 100))
        return future


def test_a_cell_that_raises_becomes_a_run_with_its_error() -> None:
    recording = compare([SPECS[0], BROKEN, SPECS[1]])
    assert recording.runs == (SPECS[0].slug, BROKEN.slug, SPECS[1].slug)
    facts = recording.meta["runs"][BROKEN.slug]
    assert facts["error"].startswith("UsageError: --norm batch needs at least 2 samples, got 1")
    assert facts["spec"]["norm"] == "batch"
    assert set(recording.rows["run"]) == {SPECS[0].slug, SPECS[1].slug}
    pd.testing.assert_frame_equal(recording.rows, scanned(SPECS[:2]), check_exact=True)
    diagnosis = actdiag.diagnose(recording)
    assert diagnosis.of(BROKEN.slug).run_verdict == "not judged"
    assert {outcome.reason for outcome in diagnosis.of(BROKEN.slug).skipped} == {
        f"the run failed: {facts['error']}"
    }


def test_all_cells_may_fail() -> None:
    recording = compare([BROKEN])
    assert recording.rows.empty
    assert recording.runs == (BROKEN.slug,)
    assert list(recording.rows.columns) == list(scan(SPECS[0]).rows.columns)


def test_a_comparison_survives_its_folder(tmp_path: Path) -> None:
    recording = compare([*SPECS[:3], BROKEN])
    assert Recording.load(recording.save(tmp_path / "saved")) == recording


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_measure_the_same(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    with ThreadPoolExecutor(workers) as executor:
        assert compare(SPECS, executor) == compare(SPECS)


def test_processes_measure_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, 2)
    told: list[tuple[int, int]] = []
    specs = [*SPECS, BROKEN]
    with pool(2) as executor:
        recording = compare(specs, executor, tell=lambda done, total: told.append((done, total)))
    assert recording == compare(specs)
    assert told[0] == (0, len(specs))
    assert told[-1] == (len(specs), len(specs))
    assert told == sorted(told)


def test_workers_leave_interrupts_to_their_parent() -> None:
    with pool(1) as executor:
        assert executor.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_any_pool_of_processes_will_do() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert compare(SPECS[:2], executor) == compare(SPECS[:2])


def test_the_number_of_threads_and_the_random_state_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spying(specs: Sequence[RunSpec]) -> Iterator[Any]:
        seen.append(torch.get_num_threads())
        yield from run_cells(specs)

    monkeypatch.setattr(engine, "run_cells", spying)
    before = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        compare([RunSpec(depth=2, width=8, batch=8, dropout=0.5, init="lsuv")])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before[0])
    assert seen == [1]
    assert torch.equal(torch.get_rng_state(), before[1])


class Dying(Executor):
    """Stands for a pool whose second chunk takes its worker down."""

    def __init__(self) -> None:
        self.asked = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run at once, but for the second."""
        future: Future[Any] = Future()
        self.asked += 1
        if self.asked == 2:
            future.set_exception(RuntimeError("a worker was\nkilled"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_a_worker_that_dies_leaves_its_error_in_its_cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    recording = compare(SPECS, Dying())
    errors = {run: facts.get("error") for run, facts in recording.meta["runs"].items()}
    lost = [spec.slug for spec in SPECS[3:6]]
    assert errors == {
        spec.slug: "RuntimeError: a worker was killed" if spec.slug in lost else None for spec in SPECS
    }
    assert recording.runs == tuple(spec.slug for spec in SPECS)


def interrupted_after(cells: int) -> Callable[[Sequence[RunSpec]], Iterator[Any]]:
    """Return a `run_cells` that is interrupted once so many cells are finished."""
    left = [cells]

    def run(specs: Sequence[RunSpec]) -> Iterator[Any]:
        for result in run_cells(specs):
            yield result
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

    return run


def counted(asked: list[str]) -> Callable[[Sequence[RunSpec]], Iterator[Any]]:
    """Return a `run_cells` that notes the specs it is asked for."""

    def run(specs: Sequence[RunSpec]) -> Iterator[Any]:
        asked.extend(spec.slug for spec in specs)
        return iter(run_cells(specs))

    return run


@pytest.mark.parametrize("cells", [1, 3, 4])
def test_every_finished_cell_outlives_an_interruption(
    cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    journal, asked = tmp_path / "journal", list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "run_cells", interrupted_after(cells))
        with pytest.raises(KeyboardInterrupt):
            compare(SPECS, journal=journal)
    monkeypatch.setattr(engine, "run_cells", counted(asked))
    recording = compare(SPECS, journal=journal)
    assert asked == [spec.slug for spec in SPECS[cells:]]
    monkeypatch.undo()
    assert recording == compare(SPECS)


def test_an_interruption_keeps_what_workers_are_finishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch, 1)
    begun, released = threading.Event(), threading.Event()

    def slow(specs: Sequence[RunSpec]) -> Iterator[Any]:
        if specs[0] == SPECS[1]:
            begun.set()
            assert released.wait(60)
        return iter(run_cells(specs))

    def tell(done: int, total: int) -> None:
        if done == 1:
            assert begun.wait(60)
            released.set()
            raise KeyboardInterrupt

    journal, asked = tmp_path / "journal", list[str]()
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as executor:
        patch.setattr(engine, "run_cells", slow)
        with pytest.raises(KeyboardInterrupt):
            compare(SPECS[:5], executor, journal=journal, tell=tell)
    monkeypatch.setattr(engine, "run_cells", counted(asked))
    assert compare(SPECS[:5], journal=journal).runs == tuple(spec.slug for spec in SPECS[:5])
    assert asked == [spec.slug for spec in SPECS[2:5]]


def test_failed_cells_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare([SPECS[0], BROKEN], journal=tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(engine, "run_cells", counted(asked))
    compare([SPECS[0], BROKEN], journal=tmp_path)
    assert asked == [BROKEN.slug]


@pytest.mark.parametrize("harm", ["cut", "version"])
def test_what_cannot_be_trusted_in_a_journal_is_measured_again(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(SPECS[:2], journal=tmp_path)
    (chunk,) = tmp_path.iterdir()
    if harm == "cut":
        (chunk / "rows.csv").write_bytes((chunk / "rows.csv").read_bytes()[:900])
    else:
        text = (chunk / "meta.json").read_text()
        (chunk / "meta.json").write_text(
            text.replace(f'"actdiag": "{actdiag.__version__}"', '"actdiag": "0"')
        )
    asked: list[str] = []
    monkeypatch.setattr(engine, "run_cells", counted(asked))
    compare(SPECS[:2], journal=tmp_path)
    assert asked == [spec.slug for spec in SPECS[:2]]


def test_a_journal_serves_a_larger_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(SPECS[4:6], journal=tmp_path)
    asked: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(engine, "run_cells", counted(asked))
        recording = compare(SPECS[3:8], journal=tmp_path)
    assert asked == [SPECS[3].slug, SPECS[6].slug, SPECS[7].slug]
    assert recording == compare(SPECS[3:8])


def test_chunks_keep_the_order_and_stay_within_their_time() -> None:
    specs = [RunSpec(depth=depth, width=width) for width in (16, 300, 2000) for depth in range(1, 90)]
    chunks = chunked(specs)
    assert [spec for chunk in chunks for spec in chunk] == specs
    assert all(len(chunk) == 1 or sum(map(seconds, chunk)) <= SECONDS for chunk in chunks)
    assert max(map(len, chunks)) <= MOST
    pairs = pairwise(chunks)
    full = [sum(map(seconds, [*chunk, after[0]])) > SECONDS or len(chunk) == MOST for chunk, after in pairs]
    assert all(full)
