"""Wrong command lines: each is one clear line on standard error, told before torch is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import pytest
import wrong_lines
from wrong_lines import LINES, Wrong, generated

from actdiag.cli import COMMANDS, cli

LONGEST = 400


def _line(text: str, fault: str, code: int = 2) -> Wrong:
    return Wrong(tuple(text.split()), fault, code)


BY_HAND = [
    _line("scna", "did you mean 'scan'"),
    _line("help", "did you mean '--help'"),
    _line("version", "did you mean '--version'"),
    _line("SCAN", "did you mean 'scan'"),
    _line("--json scan", "after its name"),
    _line("--depth 3 scan", "after its name"),
    _line("-X", "-X"),
    Wrong(("",), "unknown command"),
    Wrong(("\x1b[31mscan",), "unknown command"),
    Wrong(("c" * 3000,), "unknown command"),
    _line("scan extra", "extra"),
    _line("scan --act tahn", "did you mean 'tanh'"),
    _line("compare --act relu --act tahn", "did you mean 'tanh'"),
    _line("compare --init xaveir", "did you mean 'xavier'"),
    _line("scan --seed 1 --seed 2", "--seed"),
    _line("scan --act tanh --act relu", "--act"),
    _line("compare --data gaussian --data digits", "--data"),
    _line("compare --seeds 2 --seeds 3", "--seeds"),
    _line("scan --json --quiet", "--quiet"),
    _line("scan -q --json", "--json"),
    _line("compare --json --quiet", "--quiet"),
    _line("attach my.nets:build --data my.data:batches --json -q", "--json"),
    _line("diagnose recording --json --quiet", "--quiet"),
    _line("fix my.nets:build --data my.data:batches --json --quiet", "--quiet"),
    _line("fix my.nets:build --data my.data:batches --json --verbose", "--verbose"),
    _line("fix my.nets:build --data my.data:batches --quiet --verbose", "--verbose"),
    _line("attach my.nets:build --data my.data:batches --train --eval", "--train/--eval"),
    _line("scan --standardise --no-standardise", "--standardise/--no-standardise"),
    _line("compare --workers 2 --scheduler tcp://127.0.0.1:8786", "--scheduler"),
    _line("scan --select AD101 --ignore AD101", "AD101"),
    _line("scan --select AD1 --ignore AD1", "AD101"),
    _line("compare --select vanishing-gradient --ignore AD1", "AD101"),
    _line("diagnose recording --select AD101 --ignore AD101", "AD101"),
    _line("scan --data digits --features 64", "--features"),
    _line("compare --data csv:flowers.csv:species --features 4", "--features"),
    _line("scan --gain 2 --init zeros", "--gain"),
    _line("compare --gain 2 --init zeros --init normal:0.1", "--gain"),
    _line("theory --gain 2 --init zeros", "--gain"),
    _line("scan --norm-place after", "--norm-place"),
    _line("compare --norm-place after --norm none", "--norm-place"),
    _line("theory --norm-place after", "--norm-place"),
    _line("theory --sigma-b 0.1", "--sigma-b"),
    _line("scan --seed 2147483647 --seeds 2", "2147483647 + 2"),
    _line("compare --seed 2147483000 --seeds 1000", "2147483000 + 1000"),
    _line("reproduce", "--all"),
    _line("reproduce --all cs231n", "--all"),
    _line("reproduce he2015 he2016", "did you mean 'he2015'"),
    _line("rule", "--all"),
    _line("rule --all AD101", "--all"),
    _line("gain", "--all"),
    _line("gain --all tanh", "--all"),
    _line("gain tanh tahn", "did you mean 'tanh'"),
    _line("list", "activations"),
    _line("list activation", "activations"),
    _line("attach my.nets:build", "--data"),
    _line("fix my.nets:build", "--data"),
    _line("attach nets/my.py:build --data my.data:batches", "nets.my:build"),
    _line("fix my.nets:build --data my.data:batches --draws 2", "draws"),
    _line("fix my.nets:build --data my.data:batches --seed 2147483645", "2147483645"),
    _line("diagnose nowhere", "nowhere", 1),
    _line("report nowhere", "nowhere", 1),
    _line("report nowhere --out nowhere", "nowhere", 1),
    _line("scan --out .", "--out '.'", 1),
    _line("scan --out ..", "--out '..'", 1),
    _line("scan --out /", "--out '/'", 1),
    _line("scan --out /dev/null", "/dev/null is a file", 1),
    _line("scan --out /dev/null/sub/folder", "/dev/null is a file", 1),
    _line("scan --out sub/../..", "--out 'sub/../..'", 1),
    Wrong(("scan", "--out", "o" * 300), "cannot write ooo", 1),
    Wrong(("compare", "--out", "/".join(["o" * 200] * 30)), "cannot write ooo", 1),
    _line("scan --out . --force", "--out '.'", 1),
    _line("compare --out .", "--out '.'", 1),
    _line("compare --out /dev/null", "/dev/null is a file", 1),
    _line("attach my.nets:build --data my.data:batches --out .", "--out '.'", 1),
    _line("attach my.nets:build --data my.data:batches --out /dev/null/a", "/dev/null is a file", 1),
    _line("fix my.nets:build --data my.data:batches --out .", "--out '.'", 1),
    _line("fix my.nets:build --data my.data:batches --out /dev/null/a", "/dev/null is a file", 1),
    _line("fix my.nets:build --data my.data:batches --apply /dev/null", "/dev/null: it is no", 1),
    _line("fix my.nets:build --data my.data:batches --apply /nowhere/a.pt", "/nowhere/a.pt", 1),
    _line("reproduce he2015 --out .", "--out '.'", 1),
    _line("reproduce he2015 --out /dev/null", "/dev/null is a file", 1),
    _line("reproduce he2015 --out /dev/null/a", "/dev/null is a file", 1),
]
IN_LINUX = [
    _line(f"{line} /proc/actdiag", "cannot write /proc/actdiag", 1)
    for line in (
        "scan --out",
        "compare --out",
        "attach my.nets:build --data my.data:batches --out",
        "fix my.nets:build --data my.data:batches --out",
        "fix my.nets:build --data my.data:batches --apply",
        "reproduce he2015 --out",
    )
]
"""A place where the superuser, too, can make no folder."""

NEED_TORCH = [
    _line("scan --norm batch --batch 1", "--norm batch"),
    _line("scan --classes 1", "classes"),
    _line("scan --device mps", "--device mps", 1),
    _line("compare --device mps", "--device mps", 1),
    _line("scan --data csv:nowhere.csv:y", "nowhere.csv", 1),
    _line("scan --data idx:nowhere", "nowhere", 1),
    _line("compare --data csv:nowhere.csv:y", "nowhere.csv", 1),
    _line("scan --data no.such:batch", "no.such", 1),
    _line("scan --data json:no_such", "no_such", 1),
    _line("attach no.such:build --data json:loads", "no.such", 1),
    _line("attach json:no_such --data json:loads", "no_such", 1),
    _line("attach json:loads --data json:loads", "json:loads", 1),
    _line("fix no.such:build --data json:loads", "no.such", 1),
]


def _commands() -> dict[str, click.Command]:
    assert isinstance(cli, click.Group)
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in commands.items() if command is not None}


TABLE = [*generated(_commands()), *BY_HAND, *(IN_LINUX if sys.platform == "linux" else [])]


def _run(lines: list[Wrong], *options: str) -> dict[Wrong, dict[str, Any]]:
    """Run lines in a process of their own, in an empty folder; torch may be loaded there already."""
    with TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, str(Path(wrong_lines.__file__)), *options],
            input=json.dumps([line.words for line in lines]),
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    return dict(zip(lines, json.loads(ended.stdout), strict=True))


@cache
def _early() -> dict[Wrong, dict[str, Any]]:
    return _run(TABLE, "--without", "torch")


@cache
def _late() -> dict[Wrong, dict[str, Any]]:
    return _run(NEED_TORCH)


def _check(wrong: Wrong, end: dict[str, Any]) -> None:
    line = end["err"].removesuffix("\n")
    assert line.startswith("Error: ")
    assert line.isprintable()
    assert len(line) <= len("Error: ") + LONGEST
    named = [name for name in (wrong.fault.removeprefix("--"), wrong.value) if name]
    assert any(name.replace("-", "_") in line.replace("-", "_") for name in named), line
    assert end["code"] == wrong.code, line
    assert end["out"] == ""
    assert end["files"] == []
    assert "went wrong" not in line


@pytest.mark.parametrize("wrong", TABLE, ids=str)
def test_a_wrong_line_is_told_in_one_line_before_torch_is_loaded(wrong: Wrong) -> None:
    end = _early()[wrong]
    _check(wrong, end)
    assert not end["asked"]


@pytest.mark.parametrize("wrong", NEED_TORCH, ids=str)
def test_what_torch_has_to_tell_is_one_line_too(wrong: Wrong) -> None:
    _check(wrong, _late()[wrong])


def test_the_table_is_long_and_every_command_is_in_it() -> None:
    assert len(set(TABLE)) >= 200
    assert {wrong.words[0] for wrong in TABLE} >= set(COMMANDS) == set(LINES)


def test_who_asks_for_torch_is_noticed() -> None:
    """The test above can fail: a good line asks for torch, and a bad one after it does not."""
    good, bad = Wrong(("scan", "--out", "run"), ""), Wrong(("scan", "--depth", "x"), "")
    ends = _run([good, bad], "--without", "torch")
    assert (ends[good]["asked"], ends[bad]["asked"]) == (True, False)
