"""What a terminal of 80 columns shows, and what a file holds."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from fake_recording import diagnosis, finding, simulate
from rich.console import Console

from actdiag.activations import ACTIVATIONS
from actdiag.cli import cli
from actdiag.cli.terminal import Terminal, print_line
from actdiag.rules import RULES
from actdiag.types import Finding

LINES = [
    "theory --act tanh --init he --critical",
    "theory --act relu --init xavier --depth 1000",
    "theory --act sigmoid --init normal:3 --depth 1000",
    "theory --act step --init he",
    "theory --act gelu --init lsuv --norm layer --residual --dropout 0.1",
    "gain --all",
    "list activations",
    "list initializers",
    "list rules",
    "list data",
    "rule --all",
]


def printed(line: str, monkeypatch: pytest.MonkeyPatch, columns: int | None) -> str:
    """Return what a command prints, to a terminal of so many columns or to a file."""
    monkeypatch.setenv("COLUMNS", str(columns or 80))
    runner = CliRunner()
    with runner.isolation() as streams:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: columns is not None)
        try:
            cli.main(line.split(), standalone_mode=False)
        finally:
            sys.stdout.flush()
        return streams[0].getvalue().decode()


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_is_wider_than_the_terminal(line: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    output = printed(line, monkeypatch, columns)
    commands = {command for rule in RULES.values() for command in (rule.bad, rule.good)}
    whole = [row for row in output.splitlines() if row.strip() not in commands]
    assert max(map(len, whole)) <= columns
    assert words(output) == words(printed(line, monkeypatch, None))


def test_a_file_keeps_entries_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(printed("list activations", monkeypatch, None).splitlines()) == len(ACTIVATIONS)
    assert len(printed("list activations", monkeypatch, 80).splitlines()) > len(ACTIVATIONS)


def shown(*findings: Finding, terminal: bool, width: int = 80) -> str:
    recording = simulate(3)[0]
    findings = tuple(replace(each, run=recording.runs[0]) for each in findings)
    made, stream = Terminal(), io.StringIO()
    made.console = Console(width=width, file=stream, force_terminal=terminal, color_system=None)
    made.show(recording, diagnosis(recording, *findings))
    return stream.getvalue()


def test_a_broken_line_goes_on_further_in() -> None:
    stream = io.StringIO()
    console = Console(width=60, file=stream, force_terminal=True, color_system=None)
    print_line(console, ("error AD101", "bold"), ": " + "word " * 20)
    print_line(console, "Remedy: " + "word " * 20, indent=4)
    assert [len(line) - len(line.lstrip()) for line in stream.getvalue().splitlines()] == [0, 2, 4, 6]
    assert max(map(len, stream.getvalue().splitlines())) <= 60
    assert not any(line.endswith(" ") for line in stream.getvalue().splitlines())


def test_a_finding_is_one_line_in_a_file() -> None:
    found = finding("")
    assert f": {found.message}" in shown(found, terminal=False)
    assert words(shown(found, terminal=True)) == words(shown(found, terminal=False))


def test_a_remedy_is_told_once() -> None:
    first, second = (finding("", code=code, remedy="Use --init he.") for code in ("AD101", "AD201"))
    other = finding("", code="AD302", remedy="Use --bias 0.")
    output = shown(first, second, other, terminal=False)
    assert output.count("Remedy: Use --init he.") == 1
    assert output.index("Remedy: Use --init he.") < output.index("Remedy: as for AD101.")
    assert output.count("as for") == 1
    assert "Remedy: Use --bias 0." in output
