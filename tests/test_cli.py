"""The command line as a user meets it."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from actdiag import Recording, RunSpec, __version__, diagnose
from actdiag.cli import COMMANDS, cli
from actdiag.cli.terminal import Terminal
from actdiag.kernel import kernel_description
from actdiag.recording import FILES
from actdiag.rules import RULES

SMALL = ["--depth", "3", "--width", "16", "--batch", "32"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(args))
    assert result.exit_code == code, result.output
    return result


def test_scan_writes_a_whole_report_and_says_where() -> None:
    output = run("scan", *SMALL).output
    assert output.startswith("HEALTHY: tanh, xavier, 3 x 16")
    assert "observed 7 of 7 modules" in output
    assert output.splitlines()[-1] == "Wrote reports/tanh-xavier-3x16-batch32"
    folder = Path("reports/tanh-xavier-3x16-batch32")
    names = {path.name for path in folder.iterdir()}
    assert names == {*FILES, "report.html", "distributions.png", "profile.png"}
    assert Recording.load(folder).runs == ("tanh-xavier-3x16-batch32",)


def test_a_scan_again_replaces_its_own_folder_only() -> None:
    run("scan", *SMALL, "--out", "here")
    run("scan", *SMALL, "--out", "here")
    other = run("scan", *SMALL, "--act", "relu", "--out", "here", code=1)
    assert "--force" in other.output
    assert Recording.load("here").rows["act"].unique().tolist() == ["tanh"]
    run("scan", *SMALL, "--act", "relu", "--out", "here", "--force")
    assert Recording.load("here").rows["act"].unique().tolist() == ["relu"]


def test_a_folder_of_the_users_own_is_never_replaced_unasked() -> None:
    Path("precious").mkdir()
    Path("precious/thesis.tex").write_text("years of work")
    output = run("scan", *SMALL, "--out", "precious", code=1).output
    assert len(output.strip().splitlines()) == 1
    assert Path("precious/thesis.tex").read_text() == "years of work"


def test_what_the_user_put_into_a_report_stays() -> None:
    run("scan", *SMALL, "--out", "here", "--format", "json")
    Path("here/notes.txt").write_text("layer 3?")
    Path("here/sub").mkdir()
    run("scan", *SMALL, "--out", "here")
    names = {path.name for path in Path("here").iterdir()}
    assert names >= {"notes.txt", "sub", "report.html"}
    assert "report.json" not in names
    assert Path("here/notes.txt").read_text() == "layer 3?"


def test_a_perceptron_is_not_called_healthy() -> None:
    output = run("scan", "--depth", "0", "--width", "16", "--batch", "32").output
    assert output.startswith("NOT JUDGED: tanh, xavier, 0 x 16")
    assert "not judged: AD101 vanishing-gradient, AD102 " in output
    assert ": there is no hidden layer" in output


@pytest.mark.parametrize("width", [72, 80, 100, 140])
def test_the_table_never_loses_digits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run("scan", *SMALL, "--act", "relu").output.splitlines()[-1].split()[-1]
    recording = Recording.load(folder)
    terminal = Terminal()
    terminal.console = Console(width=width, file=io.StringIO())
    terminal.show(recording, diagnose(recording))
    table = terminal.console.file.getvalue()  # type: ignore[attr-defined]
    assert "grad/weight" in table
    assert "\u2026" not in table


def test_seeds_vote() -> None:
    output = run("scan", *SMALL, "--act", "relu", "--init", "zeros", "--seeds", "3").output
    assert output.startswith("DOES NOT TRAIN (3 of 3 draws)")
    shown = output.splitlines()[1].removeprefix("Shown below: ").removesuffix(".")
    assert shown in Recording.load("reports/relu-zeros-3x16-batch32-3seeds").runs
    assert len(Recording.load("reports/relu-zeros-3x16-batch32-3seeds").runs) == 3


def test_json_is_json_alone() -> None:
    facts = json.loads(run("scan", *SMALL, "--act", "relu", "--init", "zeros", "--json").output)
    assert facts["verdict"] == "does not train"
    assert "AD103" in {finding["code"] for finding in facts["findings"]}


def test_quiet_is_one_line() -> None:
    assert run("scan", *SMALL, "--quiet").output.count("\n") == 1


def test_plain_output_has_no_escape_codes() -> None:
    assert "\x1b" not in run("scan", *SMALL).output


def test_fail_on() -> None:
    bad = ["scan", *SMALL, "--act", "relu", "--init", "zeros"]
    run(*bad, "--fail-on", "error", code=3)
    run("scan", *SMALL, "--fail-on", "warning", code=0)


def test_diagnose_report_and_settings_work_on_a_saved_recording() -> None:
    folder = run("scan", *SMALL, "--act", "relu", "--init", "zeros").output.splitlines()[-1].split()[-1]
    assert run("diagnose", folder).output.startswith("DOES NOT TRAIN")
    codes = [
        finding["code"]
        for finding in json.loads(run("diagnose", folder, "--select", "AD301", "--json").output)["findings"]
    ]
    assert set(codes) == {"AD301"}
    Path("setup.cfg").write_text("[actdiag]\nignore = AD103,AD2,AD3\n")
    assert json.loads(run("diagnose", folder, "--json").output)["findings"] == []
    before = Recording.load(folder)
    run("report", folder, "--format", "csv", "--format", "json")
    assert json.loads((Path(folder) / "report.json").read_text())["verdict"]
    assert (Path(folder) / "report.html").exists()
    assert Recording.load(folder) == before
    assert "Wrote elsewhere" in run("report", folder, "--format", "html", "--out", "elsewhere").output
    assert Recording.load("elsewhere") == before


def test_a_threshold_can_be_set() -> None:
    folder = run("scan", *SMALL).output.splitlines()[-1].split()[-1]
    strict = run("diagnose", folder, "--set", "AD101.floor=0.999999", "--json").output
    assert "AD101" in {finding["code"] for finding in json.loads(strict)["findings"]}


@pytest.mark.parametrize("what", ["activations", "initializers", "rules", "data"])
def test_list_has_a_line_each(what: str) -> None:
    assert len(run("list", what).output.splitlines()) >= 5


@pytest.mark.parametrize("code", list(RULES))
def test_every_rule_explains_itself(code: str) -> None:
    text = run("rule", code).output
    assert text.startswith(f"{code} {RULES[code].name}")
    for heading in ("What it measures", "Why it matters", "What to do", "References"):
        assert heading in text
    assert run("rule", RULES[code].name).output == text
    assert json.loads(run("rule", code, "--json").output)["code"] == code


def test_all_rules_at_once() -> None:
    assert [fact["code"] for fact in json.loads(run("rule", "--all", "--json").output)] == list(RULES)
    run("rule", code=2)


def test_a_rule_says_what_the_protocol_is_where_a_threshold_names_it() -> None:
    assert "The protocol: plain SGD, batches of 128" in run("rule", "AD101").output
    assert "The protocol" not in run("rule", "AD901").output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("scan --act tahn", "did you mean 'tanh'?"),
        ("scan --init xaver", "did you mean 'xavier'?"),
        ("scan --data digit", "did you mean 'digits'?"),
        ("scan --depth -1", "depth is a whole number >= 0, got -1"),
        ("scan --width 0", "width is a whole number >= 1, got 0"),
        ("scan --batch ten", "'ten' is not a valid integer"),
        ("scan --dropout 1", "dropout is a probability p with 0 <= p < 1, got 1.0"),
        ("scan --gain big", "gain is a number, 'torch' or 'exact', got 'big'"),
        ("scan --gain 2 --init zeros", "has no gain to set"),
        ("scan --act gelu --gain torch", "torch has no gain for 'gelu'"),
        ("scan --init normal", "needs its number: write normal:0.01"),
        ("scan --init normal:x", "takes a finite number, got 'x'"),
        ("scan --act relu:3", "takes no parameter"),
        (
            "scan --norm batch --batch 1",
            "needs at least 2 samples, got 1: raise --batch, or use --norm layer",
        ),
        ("scan --classes 1", "cross_entropy needs at least 2 classes, got 1"),
        ("scan --data csv:same.csv:y", "all 3 samples of 'csv:same.csv:y' are the same"),
        ("scan --seed 99999999999999999999999", "seed is a whole number <= 2147483647"),
        ("scan --seeds 0", "seeds is a whole number >= 1, got 0"),
        ("scan --data csv:nowhere.csv:y", "nowhere.csv"),
        ("scan --data idx:nowhere", "nowhere"),
        ("scan --data digits --features 3", "features"),
        ("scan --select AD999", "AD999"),
        ("scan --set AD101.flor=1", "floor"),
        ("scan --set AD101", "AD101"),
        ("scan --out /dev/null/run", "cannot write"),
        ("rule AD10", "unknown rule 'AD10'"),
        ("diagnose nowhere", "no recording in nowhere: rows.csv is missing"),
        ("report nowhere", "no recording in nowhere"),
        ("scna", "did you mean 'scan'?"),
        ("list everything", "'activations'"),
    ],
)
def test_a_mistake_is_one_clear_line(command: str, words: str) -> None:
    Path("same.csv").write_text("a,b,y\n1,2,cat\n1,2,dog\n1,2,cat\n")
    result = CliRunner().invoke(cli, shlex.split(command))
    assert result.exit_code in (1, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    assert words in errors[0]
    assert not Path("reports").exists()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_with_an_example(command: str) -> None:
    assert f"actdiag {command}" in run(command, "--help").output.split("Options:")[0].split("\n", 1)[1]


def test_version_and_module() -> None:
    assert run("--version").output.strip() == f"actdiag {__version__} (statistics: {kernel_description()})"
    output = subprocess.run(
        [sys.executable, "-m", "actdiag", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in output.stdout


def test_every_field_of_a_spec_is_an_option() -> None:
    """A spec's command line, parsed again by the real command, gives the spec back."""
    spec = RunSpec(
        depth=2, width=8, act="leaky_relu:0.1", init="he", gain=1.3, bias=0.01, norm="layer", dropout=0.1,
        norm_place="after", residual=True, features=5, classes=3, standardise=False, batch=9, loss="mse",
        dtype="float64", seed=4,
    )  # fmt: skip
    run(*shlex.split(spec.command())[1:], "--out", "run")
    meta = json.loads(Path("run/meta.json").read_text())
    measured = meta["runs"][spec.slug]["spec"]
    assert RunSpec(**measured) == spec


def test_ctrl_c_exits_with_130_and_leaves_nothing() -> None:
    """The interrupt falls while a network of a few seconds is built and measured, draw after draw."""
    process = subprocess.Popen(
        [sys.executable, "-m", "actdiag", "scan", "--depth", "50", "--seeds", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )
    try:
        time.sleep(4.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert not Path("reports").exists()
