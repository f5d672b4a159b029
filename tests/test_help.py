"""The help texts: their width, their examples, and what they say of each option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from actdiag.cli import COMMANDS, cli
from actdiag.cli.sections import SECTIONS

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/attaching.md", "docs/rules.md", "docs/numbers.md")
LARGE = ("scan", "compare", "attach", "fix", "theory")


def help_of(*words: str) -> str:
    result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def examples(text: str) -> list[str]:
    """Return the lines that are a command line, without a prompt, a comment and what they are joined to."""
    lines = (re.sub(r"^ {0,4}([$] )?", "", line) for line in text.splitlines())
    return [line.partition("  #")[0] for line in lines if re.match(r"actdiag [a-z-]", line)]


def written() -> Iterator[tuple[str, str]]:
    """Yield where a command line is written, and the line."""
    for name in ("", *COMMANDS):
        yield from ((f"help of {name}", line) for line in examples(help_of(*name.split())))
    for page in PAGES:
        text = (ROOT / page).read_text()
        yield from (
            (page, line) for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in examples(block)
        )
        yield from ((page, line) for line in re.findall(r"`(actdiag [a-z][^`]*)`", text))


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_80_columns(name: str) -> None:
    assert max(map(len, help_of(*name.split()).splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_of_its_own(name: str) -> None:
    assert any(line.startswith(f"actdiag {name} ") for line in examples(help_of(name)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    for parameter in command_of(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.split("  [")[0].endswith("."), parameter.help
            assert parameter.make_metavar(click.Context(command_of(name))) != "TEXT", parameter.name


@pytest.mark.parametrize("name", LARGE)
def test_sections_hold_every_option_once(name: str) -> None:
    text = help_of(name)
    for parameter in command_of(name).params:
        if isinstance(parameter, click.Option):
            longest = max(parameter.opts, key=len)
            assert len(re.findall(rf"^  (-\w, )?{longest}\b(?!-)", text, re.M)) == 1, longest
    headings = re.findall(r"^([A-Z][\w ]+):$", text, re.M)
    assert headings == [*(heading for heading in SECTIONS if heading in headings), "Other"]
    assert text.rstrip().splitlines()[-2:] == ["Other:", "  -h, --help  Show this message and exit."]


@pytest.mark.parametrize(("where", "line"), sorted(set(written())))
def test_every_command_line_that_is_shown_is_one(where: str, line: str) -> None:
    name, *rest = shlex.split(line.replace("...", "").partition(" > ")[0])[1:]
    command = command_of(name)
    if rest:
        with command.make_context(name, rest):
            pass


def test_exit_codes_are_told_once() -> None:
    assert "Exit codes:" in help_of()
    assert not any("Exit codes" in help_of(name) for name in COMMANDS)
