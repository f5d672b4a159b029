"""`actdiag fix` as a user meets it: a module of their own in the current folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

import actdiag
from actdiag import folders
from actdiag.cli import cli, main

MODULE = """
import torch
from torch import nn

calls = 0


def chain(activation=nn.Sigmoid):
    parts = [part for _ in range(6) for part in (nn.Linear(8, 8), activation())]
    model = nn.Sequential(*parts, nn.Linear(8, 3))
    for layer in model[::2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return model


def build():
    print("built")
    return chain()


def healthy():
    return chain(nn.Tanh)


def interrupted():
    global calls
    calls += 1
    if calls > 3:
        raise KeyboardInterrupt
    return chain()


def fails_later():
    global calls
    calls += 1
    if calls > 3:
        raise ValueError("out of\\nmemory")
    return chain()


net = chain()
TARGETS = torch.arange(96) % 3
INPUTS = 2.0 * torch.eye(3)[TARGETS] @ torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
INPUTS = INPUTS + 0.3 * torch.randn(96, 8, generator=torch.Generator().manual_seed(2))
INPUTS = (INPUTS - INPUTS.mean(0)) / INPUTS.std(0)


def batch():
    return INPUTS, TARGETS


def guesses():
    return torch.randn(1024, 8), torch.arange(1024) % 3


def several():
    yield INPUTS[:48], TARGETS[:48]
    yield INPUTS[48:], TARGETS[48:]


def breaks():
    yield INPUTS, TARGETS
    raise RuntimeError("disk full")


def nothing():
    return iter([])


def wide():
    return torch.randn(16, 5), torch.arange(16) % 3


number = 3
"""
MY = "my.nets_of_fix"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("my").mkdir()
    Path("my/nets_of_fix.py").write_text(MODULE)
    yield
    for name in [name for name in sys.modules if name == "my" or name.startswith("my.")]:
        del sys.modules[name]


def run(line: str, code: int = 0) -> Result:
    """Run `actdiag fix` with words in which @ stands for the module."""
    result = CliRunner().invoke(cli, ["fix", *line.replace("@", f"{MY}:").split()])
    assert result.exit_code == code, result.output
    return result


SHORT = "--steps 60"


def test_what_helps_is_printed_with_its_code_and_written() -> None:
    result = run(f"@build --data @batch {SHORT} --apply start.pt --out out")
    output = result.stdout
    assert "DOES NOT TRAIN: my.nets_of_fix:build" in output
    assert "error AD101 vanishing-gradient" in output
    assert "Helps: data-dependent: orthogonal weights and biases" in output
    assert "training loss after 60 steps, 3 draws" in output
    assert output.endswith("Wrote start.pt\nWrote out\n")
    code = output[output.index("import torch\n") : output.index("\nTried besides")]
    sys.path.insert(0, str(Path.cwd()))
    from my import nets_of_fix  # type: ignore[import-not-found]

    sys.path.pop(0)
    torch.manual_seed(0)
    model = nets_of_fix.chain()
    torch.manual_seed(0)
    exec(compile(code, "printed", "exec"), {"model": model, "inputs": nets_of_fix.INPUTS})
    weights = torch.load("start.pt", weights_only=True)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value)
    assert actdiag.check(model, *nets_of_fix.batch()).verdict == "healthy"


def test_the_folder_holds_figures_and_curves() -> None:
    run(f"@build --data @batch {SHORT} --out out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["advice.json", "curves.csv", "curves.png"]
    curves = pd.read_csv("out/curves.csv")
    assert curves.groupby(["when", "seed"]).size().to_dict() == {
        (when, seed): 60 for when in ("before", "after") for seed in (1, 2, 3)
    }
    advice = json.loads(Path("out/advice.json").read_text())
    (suggestion,) = advice["suggestions"]
    for when in ("before", "after"):
        for training in suggestion[f"training_{when}"]:
            own = curves.query("when == @when and seed == @training['seed']")
            assert training["loss"] == pytest.approx(own["loss"].tail(6).mean())
            assert training["accuracy"] == pytest.approx(own["accuracy"].tail(6).mean())
            assert set(own["rate"]) == {training["rate"]}
    assert Path("out/curves.png").read_bytes().startswith(b"\x89PNG")
    run(f"@build --data @batch {SHORT} --out out")  # its own files are replaced


def test_json_and_quiet_print_nothing_else() -> None:
    result = run(f"@build --data @several {SHORT} --json")
    advice = json.loads(result.stdout)
    assert "built" in result.stderr
    assert advice["verdict"] == "does not train"
    helped = {trial["name"] for trial in advice["tried"] if trial["helped"]}
    assert helped == {trial["name"] for trial in advice["suggestions"]}
    assert all(trial["reason"] for trial in advice["tried"] if not trial["helped"])
    quiet = run(f"@build --data @several {SHORT} --quiet").stdout
    assert quiet == f"does not train: {advice['suggestions'][0]['name']} helps\n"


def test_a_healthy_model_needs_nothing_and_no_weights_are_written() -> None:
    output = run("@healthy --data @batch --apply start.pt").stdout
    assert output.splitlines()[-2:] == [
        "Nothing to fix.",
        "start.pt was not written: nothing was found that helps and keeps the network",
    ]
    assert not Path("start.pt").exists()


def test_that_nothing_helps_is_one_line_and_no_error() -> None:
    output = run("@build --data @guesses --steps 20").stdout
    assert "None of 5 remedies tried helps without changing the network." in output
    tried = "gain, critical, orthogonal, lsuv, data-dependent, norm, activation"
    assert f"Tried besides: {tried} (--verbose)" in output
    verbose = run("@build --data @guesses --steps 20 --verbose").stdout
    assert "    data-dependent: orthogonal weights and biases" in verbose
    assert "healthy; the loss is not lower" in verbose


def test_a_module_is_taken_as_it_is() -> None:
    output = run(f"@net --data @batch {SHORT}").stdout
    assert "Helps: " in output
    assert "note: one model was given" in output


@pytest.mark.parametrize(
    ("line", "text", "code"),
    [
        ("@build", "--data is missing: give pkg.mod:batches, a function without arguments that returns "
         "inputs, (inputs, targets) or an iterable of such batches", 2),
        ("my/nets.py:build --data @batch",
         "the model is written pkg.mod:name, got 'my/nets.py:build': write my.nets:build", 2),
        ("@build --data @batch --steps 0", "steps is a whole number >= 1, got 0", 2),
        ("@build --data @batch --draws 2", "draws is a whole number >= 3, got 2", 2),
        ("@build --data @batch --seed -1", "seed is a whole number from 0 to 2147483644, got -1", 2),
        ("@number --data @batch", f"{MY}:number must return a torch.nn.Module, got one of type int", 2),
        ("@batch --data @batch", f"{MY}:batch must return a torch.nn.Module, got a tuple of 2", 2),
        ("@build --data @nothing", "there is no batch to measure: the batches ended before the first", 1),
        ("@build --data @breaks", f"{MY}:breaks raised RuntimeError: disk full", 1),
        ("@build --data @wide", f"{MY}:build raised RuntimeError: mat1 and mat2 shapes cannot be multiplied "
         "(16x5 and 8x8), in 0 (Linear)", 1),
        ("@fails_later --data @batch --steps 2", f"{MY}:fails_later raised ValueError: out of memory", 1),
        ("@build --data @batch --apply there.pt",
         "there.pt exists: --force replaces it, --apply names another", 1),
        ("@build --data @batch --apply my",
         "cannot write my: it is a folder, or there is no folder for it", 1),
        ("@build --data @batch --apply no/a.pt",
         "cannot write no/a.pt: it is a folder, or there is no folder for it", 1),
        ("@build --data @batch --out my",
         "my holds something else: --force writes into it, --out names another", 1),
        ("@build --data @batch --out there.pt",
         "there.pt is a file, expected a folder: name another with --out", 1),
        ("@build --data @batch --out .",
         "--out '.' is or holds the current folder: name a folder of its own", 1),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(line: str, text: str, code: int) -> None:
    Path("there.pt").write_text("mine")
    result = run(line, code=code)
    assert result.stderr.splitlines()[-1] == f"Error: {text}"
    frames = [line for line in result.stderr.splitlines() if line.startswith("  File ")]
    assert not [line for line in frames if "actdiag/" in line]
    assert Path("there.pt").read_text() == "mine"


def test_ctrl_c_is_130_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(["fix", f"{MY}:interrupted", "--data", f"{MY}:batch", "--apply", "a.pt", "--out", "out"])
    assert end.value.code == 130
    assert capsys.readouterr().err.strip() == "interrupted"
    assert [path for path in sorted(Path().rglob("*")) if "__pycache__" not in str(path)] == before


def test_ctrl_c_while_a_file_is_written_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Path("start.pt")
    target.write_bytes(b"old")

    def interrupt(self: Path, other: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        folders.replace_file(target, b"new")
    assert [path.name for path in Path().iterdir() if path.is_file()] == ["start.pt"]
    assert target.read_bytes() == b"old"


def test_a_change_of_the_network_writes_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from actdiag.remedying import advising

    monkeypatch.setattr(advising, "starts", lambda layers: [])
    line = f"@build --data @batch {SHORT} --apply start.pt"
    output = run(line).stdout
    assert "Would help, but changes the network: norm: a norm before each activation" in output
    assert "start.pt was not written: nothing was found that helps and keeps the network" in output
    output = run(f"{line} --allow-norm").stdout
    assert "Helps: norm: a norm before each activation" in output
    assert "This changes the network: saved weights no longer fit." in output
    assert "start.pt was not written: what helps changes the network" in output
    assert not Path("start.pt").exists()


def test_examples_are_what_their_names_say() -> None:
    from actdiag import examples

    inputs, targets = examples.digits()
    assert inputs.shape == (1797, 64)
    assert np.bincount(targets.numpy()).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for build, depth, variance in (
        (examples.deep_sigmoid, 10, 1 / 64),
        (examples.deep_relu, 20, 1e-4),
        (examples.deep_gelu, 30, 1 / 64),
    ):
        weights = [module.weight for module in build() if isinstance(module, torch.nn.Linear)]  # type: ignore[attr-defined]
        hidden = torch.cat([weight.detach().flatten() for weight in weights[:-1]])
        assert len(weights) == depth + 1
        assert float(hidden.var()) == pytest.approx(variance, rel=0.05)
        assert actdiag.check(build(), inputs, targets).verdict == "does not train"
