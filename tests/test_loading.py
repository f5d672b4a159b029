"""Imports of the command line: no search for garbage meanwhile, and the collector is afterwards as it was."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from actdiag.cli import cli
from actdiag.cli.loading import load, reporting


class Node:
    """Something that can be garbage."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Put the collector back as it was found."""
    enabled = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if enabled else gc.disable)()


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Write a module that looks at the collector while it is imported."""
    (tmp_path / "looks_at_collector.py").write_text("import gc\nENABLED = gc.isenabled()\nTABLE = [[]]\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "looks_at_collector"
    sys.modules.pop("looks_at_collector", None)


def test_nothing_is_collected_while_modules_are_imported(own_module: str) -> None:
    gc.enable()
    (module,) = load(own_module)
    assert module.ENABLED is False
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_at_again_and_what_comes_after_is(own_module: str) -> None:
    (module,) = load(own_module)
    after = Node()
    known = {id(thing) for thing in gc.get_objects()}
    assert id(module.TABLE) not in known
    assert id(after) in known
    gone = weakref.ref(after)
    del after
    gc.collect()
    assert gone() is None


def test_a_collector_that_is_off_stays_off(own_module: str) -> None:
    gc.disable()
    load(own_module)
    assert not gc.isenabled()


def test_a_module_that_is_not_there_leaves_the_collector_on() -> None:
    gc.enable()
    with pytest.raises(ModuleNotFoundError):
        load("actdiag.no_such_module")
    assert gc.isenabled()


def test_the_drawing_library_is_loaded_for_pictures_alone() -> None:
    assert "actdiag.plots" in reporting(["html", "png"])
    assert "actdiag.plots" not in reporting(["html", "csv", "json"])


def test_the_users_code_runs_with_the_collector_and_what_it_makes_is_not_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "watched_data.py").write_text(
        "import gc, torch\n"
        "KEPT = []\n"
        "def batch():\n"
        "    KEPT.append([gc.isenabled()])\n"
        "    return torch.arange(32.0).reshape(8, 4), torch.arange(8) % 2\n"
    )
    monkeypatch.chdir(tmp_path)
    options = ["--depth", "1", "--width", "4", "--data", "watched_data:batch", "--format", "json"]
    result = CliRunner().invoke(cli, ["scan", *options, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    kept = sys.modules.pop("watched_data").KEPT
    assert kept[0] == [True]
    assert id(kept) in {id(thing) for thing in gc.get_objects()}
