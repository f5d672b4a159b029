"""What the terminal shows of models of the user's own: many layers, long names, modules not observed."""

from __future__ import annotations

import io

import pytest
from fake_recording import attached, diagnosis, finding, simulate
from rich.console import Console

from actdiag.cli.terminal import Terminal
from actdiag.recording import Recording
from actdiag.types import Finding, Severity


def shown(recording: Recording, *findings: Finding, width: int = 140) -> list[str]:
    terminal = Terminal()
    stream = io.StringIO()
    terminal.console = Console(width=width, file=stream)
    terminal.show(recording, diagnosis(recording, *findings))
    return stream.getvalue().splitlines()


def layers(lines: list[str]) -> list[int]:
    """Return the numbers of the layers in the table."""
    start = next(place for place, line in enumerate(lines) if line.startswith("layer "))
    rows = lines[start + 1 : lines.index("", start)]
    return [int(row.split()[0]) for row in rows if row.split()[0].isdigit()]


def test_of_very_many_layers_the_first_and_the_last_are_shown() -> None:
    lines = shown(attached(150))
    assert layers(lines) == [*range(1, 21), *range(132, 152)]
    assert "... 111 more layers in report.html" in lines
    place = next(place for place, line in enumerate(lines) if line.startswith("20 "))
    assert lines[place + 1].split() == ["..."]


def test_forty_layers_are_all_shown() -> None:
    lines = shown(attached(39))
    assert layers(lines) == list(range(1, 41))
    assert not any("more layers" in line for line in lines)
    assert len(layers(shown(attached(40)))) == 40


@pytest.mark.parametrize("width", [72, 90, 100, 140])
def test_the_table_fits_and_long_names_are_cut_in_the_middle(width: int) -> None:
    lines = shown(attached(3), width=width)
    start = next(place for place, line in enumerate(lines) if line.startswith("layer "))
    assert max(map(len, lines[start : start + 5])) <= width
    assert "grad/weight" in lines[start]
    named = lines[start + 2]
    assert ("encod" in named) is (width >= 90)
    assert ("..." in named) is (width >= 90)
    assert ("encoder.block_2.a_n...projection_2_inner" in named) is (width == 140)


def test_names_of_a_model_of_the_users_own_go_after_the_histograms() -> None:
    own, others = shown(attached(3), width=100), shown(simulate(3)[0], width=100)
    assert not any("activations" in line for line in own)
    assert any("activations" in line for line in others)


def test_reasons_are_grouped_and_the_first_names_told() -> None:
    gaps = [{} for _ in range(40)]
    gaps += [{"name": f"rnn{n}", "observed": True, "reason": f"'{n}' is complex"} for n in range(2)]
    lines = shown(attached(2, gaps=gaps))
    assert any(
        line.startswith("observed 7 of 47 modules, 2 of them in part, 40 not called;") for line in lines
    )
    assert "    40 not called: gap0, gap1, gap2 and 37 more" in lines
    assert "    2 partly observed: part of its output is complex: rnn0, rnn1" in lines


def test_of_very_many_reasons_six_are_told() -> None:
    lines = shown(attached(2, gaps=[{"reason": f"its output is odd ({n})"} for n in range(9)]))
    assert sum("not observed: its output is odd" in line for line in lines) == 6
    assert "    and 3 more reasons, in report.html" in lines


def test_hostile_names_cannot_steer_the_terminal() -> None:
    recording = attached(2, name="\x1b[31m[red]{0}\r", gaps=[{"name": "\x1b]0;x\x07[bold]"}])
    found = finding("resnet", Severity.WARNING, message="In \x1b[2Jlayer.", remedy="\x07Stop.")
    text = "\n".join(shown(recording, found))
    assert not set(text) & set("\x1b\x07\r")
    assert "?[31m[red]0?" in text
    assert "?]0;x?[bold]" in text


def test_the_name_of_an_attached_run_is_its_title() -> None:
    assert shown(attached(2, run="my net"))[0] == "HEALTHY: my net"
