"""The fuzzing harnesses without the fuzzer: their seeds, and a few hundred inputs, always the same."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FUZZ = Path(__file__).parent.parent / "fuzz"
sys.path.insert(0, str(FUZZ))

import fuzz_idx  # noqa: E402
import fuzz_recording  # noqa: E402
import fuzz_settings  # noqa: E402
import fuzz_table  # noqa: E402
import oracle  # noqa: E402
from damage import EDITS, damaged  # noqa: E402

from actdiag.errors import ActdiagError  # noqa: E402

HARNESSES = (fuzz_idx, fuzz_table, fuzz_settings, fuzz_recording)


def mutants(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Yield seeds with a few bytes changed, put in, or taken out."""
    choose = random.Random(0)
    for _ in range(count):
        data = bytearray(choose.choice(seeds))
        for _ in range(choose.randrange(1, 5)):
            place = choose.randrange(len(data) + 1)
            data[place : place + choose.randrange(3)] = choose.randbytes(choose.randrange(3))
        yield bytes(data)


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.__name__)
def test_readers_keep_their_promises(harness: ModuleType) -> None:
    seeds = harness.seeds()
    outcomes = [harness.one(data) for data in (*seeds, *mutants(seeds, 200))]
    assert {*outcomes} == {True, False}


def test_a_recording_that_loads_is_judged_reported_and_drawn() -> None:
    assert fuzz_recording.one(b"", deep=True)
    assert fuzz_recording.one(b"\3\3\0\x13\5", deep=True)  # every rms is 1e308


@pytest.mark.parametrize("place", range(len(EDITS)), ids=lambda place: EDITS[place].__name__)
def test_every_edit_changes_a_file(place: int) -> None:
    payload = b"\0\1\2\3\4" if EDITS[place].__name__ != "_leaf" else b"\1null"
    changed = damaged(fuzz_recording.SOUND, bytes([place, len(payload)]) + payload)
    assert changed != fuzz_recording.SOUND


def test_no_edit_is_the_sound_recording() -> None:
    assert damaged(fuzz_recording.SOUND, b"") == fuzz_recording.SOUND


def raising(error: Exception) -> object:
    raise error


@pytest.mark.parametrize("line", ["short", "x" * 2000, "two lines"])
def test_the_oracle_sees_a_line_that_is_none(line: str) -> None:
    error = ActdiagError("")
    error.args = (line.replace("two ", "two\n"),)
    with pytest.raises(oracle.FindError, match="an error of"):
        oracle.refuses(lambda: raising(error))


def test_the_oracle_lets_other_exceptions_through_and_sees_what_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ZeroDivisionError):
        oracle.refuses(lambda: 1 / 0)
    monkeypatch.setattr(oracle, "MOST_SECONDS", -1.0)
    with pytest.raises(oracle.FindError, match="took"):
        oracle.refuses(lambda: 1)
