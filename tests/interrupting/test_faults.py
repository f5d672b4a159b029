"""Each operation on the disk refused, refused from then on, or the last one: what is left is old or new."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_recording import diagnosis, simulate
from faults import Plan, killed, left_over, operations, planned, refuse, snapshot

from actdiag.cli import fix
from actdiag.cli.commands import run
from actdiag.comparing.journal import Journal
from actdiag.errors import ActdiagError
from actdiag.folders import replace_file, sweep
from actdiag.recipes import gallery
from actdiag.recipes.running import Reproduction
from actdiag.recording import Recording
from actdiag.reporters import report

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed after a fork")

OLD, NEW = simulate(2, sigma=1.0)[0], simulate(2, sigma=2.0)[0]
CODES = (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT, errno.EROFS)
Write = Callable[[Path, Recording], object]


def _report(root: Path, recording: Recording) -> None:
    report(recording, diagnosis(recording), root / "reports" / "run", "json")


def _save(root: Path, recording: Recording) -> None:
    recording.save(root / "deep" / "er" / "run")


def _file(root: Path, recording: Recording) -> None:
    replace_file(root / "start.pt", recording.rows.to_csv().encode())


def _fix(root: Path, recording: Recording) -> None:
    """What `fix --apply --out` writes at its end, of an advice that needs no search."""
    words: Any = SimpleNamespace(say=lambda text: None)
    advice: Any = SimpleNamespace(weights={"rms": recording.rows["rms"].sum()})
    request: Any = SimpleNamespace(content=recording.rows.to_csv().encode())
    fix._write(advice, request, root / "start.pt", root / "advice", words)


def _gallery(root: Path, recording: Recording) -> None:
    facts = {"recipe": "tiny", "size": "small", "claims": [], "rms": float(recording.rows["rms"].sum())}
    gallery.write(Reproduction(facts, ()), root)


def _journal(root: Path, recording: Recording) -> None:
    Journal(root / "run.cells").add(recording)


def _in_place(root: Path, recording: Recording) -> None:
    """`report FOLDER` beside the recording; the old content is what another version wrote."""
    if recording is OLD:
        recording.save(root / "run")
        for name in ("findings.csv", "layers.csv", "report.json"):
            (root / "run" / name).write_text("old")
    elif run(["report", str(root / "run"), "--format", "csv", "--format", "json"]):
        raise ActdiagError("told on standard error")


@dataclass(frozen=True)
class Case:
    """A way to write, and which of its files belong together; by default all do."""

    name: str
    write: Write
    together: Callable[[str], str] = lambda path: ""
    empty: bool = True

    def whole(self, found: dict[str, bytes], states: list[dict[str, bytes]]) -> bool:
        """Return whether each group of files is what it is in one of the states."""
        names = {self.together(path) for state in (found, *states) for path in state}

        def part(state: dict[str, bytes], name: str) -> dict[str, bytes]:
            return {path: content for path, content in state.items() if self.together(path) == name}

        return all(any(part(found, name) == part(state, name) for state in states) for name in names)


def _itself(path: str) -> str:
    return path


CASES = [
    Case("report", _report),
    Case("Recording.save", _save),
    Case("replace_file", _file),
    Case("fix", _fix, lambda path: path.partition("/")[0]),
    Case("gallery", _gallery, lambda path: path.partition("/")[0]),
    Case("journal", _journal),
    Case("report FOLDER", _in_place, _itself, empty=False),
]
SETTINGS = [
    pytest.param((case, old, exchange), id=f"{case.name}-{'over' if old else 'new'}-{exchange}")
    for case in CASES
    for old in ((True, False) if case.empty else (True,))
    for exchange in ((True, False) if old and case.name != "replace_file" else (True,))
]


@pytest.fixture(autouse=True)
def plain_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fix and the gallery write small files of what they are given."""
    monkeypatch.setattr(fix, "_saved", lambda weights: repr(weights).encode())
    monkeypatch.setattr(fix, "_files", lambda advice, request: {"advice.json": request.content, "b": b"b"})
    monkeypatch.setattr(gallery, "recipe_files", lambda facts, sketches: {"README.md": b"r", "x.png": b"x"})
    monkeypatch.setattr(
        gallery, "index_files", lambda facts: {"index.html": repr(facts).encode(), "README.md": b"m"}
    )


class Trial:
    """A fresh root for each fault, with the state before and the state after."""

    def __init__(self, case: Case, old: bool, exchange: bool, place: Path) -> None:
        self.case, self.old, self.exchange, self.place = case, old, exchange, place
        self.made = 0
        before = self.root()
        first = snapshot(before)
        self.operations = operations(lambda: case.write(before, NEW), exchange)
        self.states = [first, snapshot(before)]
        assert first != self.states[1]

    def root(self) -> Path:
        """Return a new root that holds what was there before."""
        self.made += 1
        root = self.place / str(self.made)
        root.mkdir()
        if self.old:
            self.case.write(root, OLD)
        return root

    def told(self, root: Path, plan: Plan) -> str:
        """Write what is new while a plan strikes; return the error's line, or nothing."""
        try:
            with planned(plan, self.exchange):
                self.case.write(root, NEW)
        except ActdiagError as error:
            return str(error)
        return ""

    def check_mended(self, root: Path) -> None:
        """Check that a good run leaves what is new and nothing else."""
        self.case.write(root, NEW)
        assert snapshot(root) == self.states[1]
        assert left_over(root) == []


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    return Trial(*request.param, tmp_path)


def some_code(number: int) -> int:
    return CODES[number % len(CODES)]


@pytest.mark.parametrize("trial", SETTINGS, indirect=True)
def test_an_operation_that_is_refused_leaves_the_old_or_the_new(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(1, trial.operations + 1):
        root = trial.root()
        empty = sorted(root.rglob("*"))
        if told := trial.told(root, Plan(refuse(some_code(at)), at)):
            assert "\n" not in told
            assert trial.case.whole(snapshot(root), trial.states), at
            if trial.case.together("a") == "":
                assert snapshot(root) == trial.states[0], at
                assert trial.old or sorted(root.rglob("*")) == empty, at
        else:  # it was refused while what is old was removed
            assert snapshot(root) == trial.states[1], at
        trial.check_mended(root)


@pytest.mark.parametrize("trial", SETTINGS, indirect=True)
def test_a_disk_that_refuses_from_then_on_leaves_the_old_or_the_new(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(1, trial.operations + 1):
        root = trial.root()
        assert "\n" not in trial.told(root, Plan(refuse(some_code(at)), at, and_after=True))
        bring_back(root)
        assert trial.case.whole(snapshot(root), trial.states), at
        trial.check_mended(root)


@pytest.mark.parametrize("trial", SETTINGS, indirect=True)
def test_a_process_killed_before_an_operation_leaves_the_old_or_the_new(trial: Trial) -> None:
    for at in range(1, trial.operations + 1):
        root = trial.root()
        killed(lambda root=root: trial.case.write(root, NEW), at, trial.exchange)  # type: ignore[misc]
        if not trial.exchange:
            bring_back(root)
        assert trial.case.whole(snapshot(root), trial.states), at
        trial.check_mended(root)


def bring_back(root: Path) -> None:
    """Do what the next run does first, where two renames put a folder in the place of another."""
    for parent in (root, *(path for path in root.rglob("*") if path.is_dir())):
        sweep(parent)


@pytest.mark.parametrize("trial", [SETTINGS[0], SETTINGS[3]], indirect=True)
def test_files_that_are_cut_in_the_middle_are_not_put_in_place(trial: Trial) -> None:
    largest = max(map(len, trial.states[1].values()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    root = trial.root()
    for size in range(0, largest, 1 + largest // 40):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # as a quota that is used up
        try:
            with pytest.raises(
                ActdiagError, match=r"^cannot write .*: File too large\. Name another with --out\.$"
            ):
                trial.case.write(root, NEW)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert snapshot(root) == trial.states[0], size
        assert left_over(root) == [], size
