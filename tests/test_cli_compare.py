"""`actdiag compare` as a user meets it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from actdiag import Recording, RunSpec, compare, diagnose
from actdiag.cli import cli
from actdiag.cli.matrix import show
from actdiag.cli.terminal import Terminal
from actdiag.comparing.grid import grid
from actdiag.comparisons import Comparison
from actdiag.recording import FILES

SMALL = ["--width", "16", "--batch", "32", "--format", "json"]
PAIRS = ["--init", "normal:0.01", "--init", "xavier", "--act", "tanh", "--act", "relu", "--depth", "6"]


def pairs() -> tuple[RunSpec, ...]:
    """Return the grid that SMALL and PAIRS span."""
    inits = ["normal:0.01", "xavier"]
    return grid(RunSpec(batch=32), acts=["tanh", "relu"], inits=inits, depths=[6], widths=[16])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["compare", *args])
    assert result.exit_code == code, result.output
    return result


def test_a_grid_gets_a_matrix_a_ranking_and_a_folder() -> None:
    lines = run(*SMALL, *PAIRS, "--seeds", "2").output.splitlines()
    assert lines[0].startswith("4 networks of 2 draws each: ")
    table = {line.split()[0]: line.split() for line in lines if line.startswith(("tanh", "relu"))}
    assert table["tanh"][1] == "✕"
    assert table["tanh"][4] == "✓"
    (last,) = (line for line in lines if line.startswith("Wrote "))
    folder = Path(last.removeprefix("Wrote "))
    assert folder.parent == Path("reports")
    assert {path.name for path in folder.iterdir()} == {*FILES, "report.json"}
    assert sorted(Path("reports").iterdir()) == [folder]
    assert len(Recording.load(folder).runs) == 8


def test_the_marks_are_the_verdicts_of_the_diagnosis() -> None:
    output = run(*SMALL, *PAIRS, "--json").output
    cells = json.loads(output)["networks"]
    specs = grid(
        RunSpec(batch=32), acts=["tanh", "relu"], inits=["normal:0.01", "xavier"], depths=[6], widths=[16]
    )
    diagnosis = diagnose(compare(specs))
    told = {(cell["act"], cell["init"]): cell["verdict"] for cell in cells}
    assert told == {(spec.act, spec.init): diagnosis.of(spec.slug).run_verdict for spec in specs}
    assert json.loads(output)["verdicts"] == {
        verdict: list(told.values()).count(verdict) for verdict in dict.fromkeys(told.values())
    }
    assert [cell["rank"] for cell in cells] == [1, 2, 3, 4]


def test_quiet_prints_the_counts_alone() -> None:
    assert run(*SMALL, *PAIRS, "--quiet").output.count("\n") == 1


BROKEN = ["--width", "16", "--batch", "1", "--norm", "batch", "--depth", "2", "--format", "csv"]
"""Its batch has too few samples for its norm."""


def test_where_no_cell_can_run_the_exit_code_says_so() -> None:
    output = run(*BROKEN, "--out", "out", code=1).output
    assert output.startswith("1 network: could not be run 1\n")
    assert "UsageError: --norm batch needs at least 2 samples, got 1" in output
    assert "1 of 1 cells could not be run, the first for UsageError: --norm batch" in output
    assert Recording.load("out").runs == ("tanh-xavier-2x16-normbatch-batch1",)


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the second network of the pairs raise, and every second draw."""
    from actdiag.comparing import cells, engine

    def run_cells(specs: list[RunSpec]) -> Iterator[object]:
        for spec, done in zip(specs, cells.run_cells(specs), strict=True):
            yield cells.failed(spec, "ValueError: no") if spec == pairs()[1] or spec.seed == 1 else done

    monkeypatch.setattr(engine, "run_cells", run_cells)


def test_a_cell_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing(patch)
        output = run(*SMALL, *PAIRS, "--out", "out").output
        assert "1 of 4 cells could not be run, the first for ValueError: no. The same command" in output
        run(*SMALL, *PAIRS, "--out", "out", "--resume", "--fail-on", "error", code=3)
        run(*SMALL, "--depth", "3", "--seeds", "3", "--out", "sound", "--fail-on", "error", code=3)
    output = run(*SMALL, *PAIRS, "--out", "out", "--resume").output
    assert "going on: 3 of 4 cells are finished" in output
    assert not Path("out.cells").exists()
    assert Recording.load("out") == compare(pairs())


def test_what_is_not_the_journals_stays() -> None:
    Path("out.cells").mkdir()
    (Path("out.cells") / "thesis.txt").write_text("mine")
    compare(pairs()[:1], journal="out.cells")
    run(*SMALL, *PAIRS, "--out", "out")
    assert [path.name for path in Path("out.cells").iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_journal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out.cells").write_text("mine")
    monkeypatch.setattr("actdiag.comparing.engine.run_cells", lambda specs: pytest.fail("it was measured"))
    assert "cannot keep finished cells in out.cells" in run(*SMALL, "--out", "out", code=1).output
    assert Path("out.cells").read_text() == "mine"


def test_an_interruption_after_the_report_leaves_nothing_but_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("actdiag.cli.matrix.show", interrupted)
    CliRunner().invoke(cli, ["compare", *SMALL, *PAIRS, "--out", "out"])
    assert sorted(path.name for path in Path().iterdir()) == ["out"]
    assert Recording.load("out") == compare(pairs())


def test_an_interruption_while_drawing_says_where_the_cells_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("actdiag.reporters.report", interrupted)
    result = CliRunner().invoke(cli, ["compare", *SMALL, *PAIRS, "--out", "out"])
    assert "finished cells are kept in out.cells: the same command with --resume goes on" in result.output
    assert len(list(Path("out.cells").iterdir())) == 1


def test_diagnose_judges_a_comparison_network_by_network() -> None:
    first = run(*SMALL, *PAIRS, "--out", "out").output
    again = CliRunner().invoke(cli, ["diagnose", "out"]).output
    assert again == first.removesuffix("Wrote out\n")


def test_workers_and_this_process_write_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    run(*SMALL, *PAIRS, "--out", "one")
    run(*SMALL, *PAIRS, "--out", "two", "--workers", "2")
    assert (Path("one") / "rows.csv").read_bytes() == (Path("two") / "rows.csv").read_bytes()
    assert Recording.load("one") == Recording.load("two")


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["--workers", "0"], "--workers is a whole number >= 1, got 0", 2),
        (["--workers", "2", "--scheduler", "tcp://h:1"], "give one", 2),
        (["--act", "tahn"], "unknown activation 'tahn': did you mean 'tanh'?", 2),
        (["--init", "normal"], "needs its number: write normal:0.01", 2),
        (["--seeds", "0"], "seeds is a whole number >= 1, got 0", 2),
        (["--data", "nowhere"], "unknown data 'nowhere'", 2),
        (["--data", "csv:nofile.csv:t"], "cannot read nofile.csv: No such file", 1),
        (["--device", "mps"], "--device mps: torch sees no mps device here. Use --device cpu or auto.", 1),
        (["--out", "taken"], "taken exists and is no report of this run", 1),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_measured(
    words: list[str], told: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("taken").mkdir()
    (Path("taken") / "mine.txt").write_text("mine")
    monkeypatch.setattr("actdiag.comparing.engine.run_cells", lambda specs: pytest.fail("it was measured"))
    assert told in run(*words, code=code).output
    assert (Path("taken") / "mine.txt").read_text() == "mine"
    assert not Path("reports").exists()


def test_fail_on_gives_its_exit_code() -> None:
    run(*SMALL, *PAIRS, "--fail-on", "error", code=3)


def test_an_interrupted_run_is_resumed() -> None:
    many = [
        "--depth",
        "30",
        "--width",
        "64",
        "--act",
        "all",
        "--init",
        "all",
        "--format",
        "json",
        "--out",
        "here",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "actdiag", "compare", *many, "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while not any(Path().glob("here.cells/*/rows.csv")) and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert list(filter(None, errors.decode().splitlines())) == [
        "finished cells are kept in here.cells: the same command with --resume goes on",
        "interrupted",
    ]
    assert not Path("here").exists()
    kept = {run for chunk in Path("here.cells").iterdir() for run in Recording.load(chunk).runs}
    assert 0 < len(kept) < 17 * 14 * 5


def test_resume_measures_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = grid(
        RunSpec(batch=32), acts=["tanh", "relu"], inits=["normal:0.01", "xavier"], depths=[6], widths=[16]
    )
    compare(specs[:3], journal="out.cells")
    asked: list[str] = []
    from actdiag.comparing import cells, engine

    def noting(part: list[RunSpec]) -> object:
        asked.extend(spec.slug for spec in part)
        return cells.run_cells(part)

    monkeypatch.setattr(engine, "run_cells", noting)
    run(*SMALL, *PAIRS, "--out", "out", "--resume")
    assert asked == [specs[3].slug]
    assert not Path("out.cells").exists()
    compare(specs[:3], journal="out.cells")
    asked.clear()
    output = run(*SMALL, *PAIRS, "--out", "out").output
    assert output.startswith("leaving the finished cells in out.cells: --resume would go on with them\n")
    assert asked == [spec.slug for spec in specs]
    assert not Path("out.cells").exists()


def test_csv_and_json_hold_the_ranking() -> None:
    run(*SMALL, *PAIRS, "--format", "csv", "--out", "out")
    told = json.loads((Path("out") / "report.json").read_text())["networks"]
    frame = pd.read_csv(Path("out") / "networks.csv", keep_default_na=False)
    assert frame["verdict"].tolist() == [network["verdict"] for network in told]
    assert set(zip(frame["act"], frame["init"], strict=True)) == {(spec.act, spec.init) for spec in pairs()}
    assert frame["rank"].tolist() == [1, 2, 3, 4]


def test_progress_says_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Terminal()
    terminal._errors = Console(file=stream, width=100, force_terminal=True, color_system=None)
    with terminal.counting("measuring", "cells") as tell:
        tell(0, 40)
        tell(7, 40)
    assert "7/40" in stream.getvalue()
    assert "left:" in stream.getvalue()
    quiet = Terminal(quiet=True)
    quiet._errors = Console(file=(silent := io.StringIO()), force_terminal=True)
    with quiet.counting("measuring", "cells") as tell:
        tell(7, 40)
    assert silent.getvalue() == ""


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_matrix_fits_any_terminal(width: int, encoding: str) -> None:
    specs = grid(RunSpec(batch=16), acts=["tanh", "relu"], inits=["all"], depths=[2], widths=[8])
    recording = compare(specs)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    terminal = Terminal()
    terminal.console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    show(terminal, Comparison(recording, diagnose(recording)))
    stream.seek(0)
    lines = [line.rstrip("\n") for line in stream]
    assert max(map(len, lines)) <= width
    assert sum("orthogonal" in line for line in lines) >= 1
    assert any(line.split()[:1] == ["tanh"] for line in lines)
