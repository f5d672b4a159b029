"""How the command line ends where the surroundings are odd, or actdiag itself is wrong."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from actdiag.cli import cli, main
from actdiag.cli.ending import LONGEST, Failure, ready_streams
from actdiag.cli.loading import load

Ended = subprocess.CompletedProcess[str]
RULE = Path(__file__).parents[1] / "actdiag" / "cli" / "rule.py"
SMALL = ["--depth", "2", "--width", "8", "--batch", "16"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: str, shell: str = "", **variables: str) -> Ended:
    """Run a command line in a process of its own; `shell` follows it, as `>&-`."""
    command = ["sh", "-c", f'exec "$0" "$@" {shell}', sys.executable, "-m", "actdiag", *words]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)


def broken(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let `actdiag rule` raise an error, and return the exit code."""

    def fail(rule: object, width: int) -> str:
        raise error

    monkeypatch.setattr("actdiag.cli.rule._text", fail)
    with pytest.raises(SystemExit) as end:
        main(["rule", "AD101"])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("lost"), "KeyError: 'lost'. Please report it"),
        (RecursionError("too\ndeep"), "RecursionError: too deep. Please report it"),
        (AssertionError("\x1b[31m"), "AssertionError: ?[31m. Please report it"),
        (ValueError("long " * 1000), "ValueError: long long"),
    ],
)
def test_a_defect_is_one_line_that_says_where_and_what_to_do(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert broken(error, monkeypatch) == 1
    line = capsys.readouterr().err.removesuffix("\n")
    lines = RULE.read_text().splitlines()
    place = next(
        number
        for number, text in enumerate(lines, start=1)
        if "_text(rule, " in text and "for rule in" in text
    )
    assert line.startswith(f"Error: actdiag went wrong at actdiag/cli/rule.py:{place}: ")
    assert words in line
    assert "ACTDIAG_TRACEBACK=1" in line
    assert line.isprintable()
    assert len(line) <= len("Error: ") + LONGEST


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "out of memory: make the network, the batch or the grid smaller"),
        (
            ImportError("libtorch.so: no such file"),
            "what actdiag needs cannot be imported, ImportError: libtorch.so: no such file. "
            "Install it again.",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "gone"),
            "cannot use gone: No such file or directory",
        ),
        (OSError(28, "No space left on device"), "cannot write the output: No space left on device"),
    ],
)
def test_what_the_machine_lacks_is_said_and_no_report_asked_for(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("actdiag.cli.ending._drop_output", lambda: None)
    assert broken(error, monkeypatch) == 1
    assert capsys.readouterr().err == f"Error: {line}\n"


def test_the_whole_traceback_is_shown_where_the_environment_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACTDIAG_TRACEBACK", "1")
    assert broken(KeyError("lost"), monkeypatch) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last)")
    assert told.splitlines()[-1].startswith("Error: actdiag went wrong at ")


def test_a_long_line_keeps_its_beginning_and_its_end() -> None:
    line = Failure("begin " + "x" * 1000 + " end", 1).message
    assert LONGEST - 1 <= len(line) <= LONGEST
    assert line.startswith("begin ")
    assert line.endswith(" end")
    assert Failure("x" * LONGEST, 1).message == "x" * LONGEST


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_written_as_an_escape(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    ready_streams()
    print("\u2581 \udcff", flush=True)
    assert written.getvalue() == b"\\u2581 \\udcff\n"


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(shell: str) -> None:
    assert run("rule", "AD101", shell=shell).returncode == 0
    ended = run("rule", "AD999", shell=shell)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stdout + ended.stderr


def test_no_file_is_opened_under_the_number_of_a_closed_stream() -> None:
    code = (
        "from actdiag.cli.ending import ready_streams as r; r(); raise SystemExit(open('own', 'w').fileno())"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert ended.returncode == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_output_is_one_line() -> None:
    ended = run("list", "rules", shell=">/dev/full")
    assert (ended.returncode, ended.stderr) == (
        1,
        "Error: cannot write the output: No space left on device\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a current folder cannot be removed there")
def test_a_current_folder_that_was_removed_is_told() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m actdiag scan', sys.executable],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    line = "Error: the current folder was removed: change to another one\n"
    assert (ended.returncode, ended.stderr) == (1, line)


def test_pictures_are_drawn_whatever_matplotlib_is_told() -> None:
    """An unknown backend, TeX for every word, an old key, and a cache that cannot be written."""
    Path("matplotlibrc").write_text("text.usetex: True\nno.such.key: 3\n")
    ended = run("scan", *SMALL, "--out", "run", MPLBACKEND="nonsense", MPLCONFIGDIR="/dev/null")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert Path("run/profile.png").read_bytes().startswith(b"\x89PNG")


def test_what_matplotlib_says_is_heard_again_after_its_import() -> None:
    before = logging.getLogger("matplotlib").level
    load("actdiag.plots")
    assert logging.getLogger("matplotlib").level == before


def test_without_a_command_the_help_is_shown() -> None:
    ended = run()
    assert ended.returncode == 2
    assert "Usage: actdiag" in ended.stderr
    assert "Commands:" in ended.stderr
    assert "Error" not in ended.stderr


@pytest.mark.parametrize("words", [["-V"], ["--version"]])
def test_the_version_has_a_short_name(words: list[str]) -> None:
    assert CliRunner().invoke(cli, words).output.startswith("actdiag ")


def test_help_is_shown_whatever_stands_beside_it() -> None:
    result = CliRunner().invoke(cli, ["scan", "--seed", "1", "--seed", "2", "--json", "--quiet", "--help"])
    assert result.exit_code == 0
    assert "--seed" in result.output


def test_weights_are_not_written_into_a_folder_that_is_then_replaced() -> None:
    Path("out").mkdir()
    words = ["fix", "my.nets:build", "--data", "my.data:batches", "--apply", "out/a.pt", "--out", "out"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: --apply out/a.pt lies in --out out, which is replaced: name another place\n"
    )
