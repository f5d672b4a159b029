"""`actdiag attach` as a user meets it: a module of their own in the current folder."""

from __future__ import annotations

import json
import random
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import actdiag
from actdiag import Recording, diagnose, examples
from actdiag.batches import ModelBatch
from actdiag.checking import measure
from actdiag.cli import cli, main
from actdiag.recording import FILES

MODULE = """
import os
import random
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(width, 3)

    def forward(self, x, shift=0.0):
        return self.last(self.dropout(F.relu(self.first(x + shift))))


def build():
    print("built")
    return Net()


def frozen():
    return Net().requires_grad_(False)


def answers(number):
    net = Net()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(net.last.bias, number)
    return net


def by_python():
    return answers(random.random())


def by_numpy():
    return answers(np.random.rand())


def by_torch():
    return answers(torch.rand((), dtype=torch.float64).item())


class Modes(Net):
    def forward(self, x):
        assert not self.training, "told to train"
        return super().forward(x)


net = Net()
INPUTS, TARGETS = torch.randn(16, 4), torch.arange(16) % 3
ready = [(INPUTS, TARGETS)]


def batch():
    return INPUTS, TARGETS


def by_name():
    return {"x": INPUTS, "shift": 1.0}


def three():
    for seed in range(3):
        yield torch.relu(torch.randn(16, 4)), F.one_hot(TARGETS, 3).argmax(1)


def nothing():
    return iter([])


def wide():
    return torch.randn(16, 5), TARGETS


def breaks():
    yield INPUTS, TARGETS
    raise RuntimeError("disk\\nfull")


def loss(outputs, targets):
    return F.softplus(outputs).mean()


def broken_loss(outputs, targets):
    return {}["missing"]


def interrupted():
    raise KeyboardInterrupt


def leaves():
    sys.exit(0)


def moves():
    os.chdir("my")
    return Net()


number = 3
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the user's module into a folder of its own; two names, so that none is left from before."""
    monkeypatch.chdir(tmp_path)
    Path("my").mkdir()
    Path("my/nets_of_attach.py").write_text(MODULE)
    yield
    for name in [name for name in sys.modules if name == "my" or name.startswith("my.")]:
        del sys.modules[name]


MY = "my.nets_of_attach"
PACKAGE = str(Path(actdiag.__file__).parent)
SAME = ["--format", "json"]


def run(line: str, code: int = 0) -> Result:
    """Run `actdiag attach`; `@name` stands for a name in the user's module."""
    words = [re.sub(r"^@", f"{MY}:", word) for word in shlex.split(line)]
    result = CliRunner().invoke(cli, ["attach", *words])
    assert result.exit_code == code, result.output
    return result


def recorded(folder: str = "out") -> tuple[Recording, dict[str, Any]]:
    recording = Recording.load(folder)
    (facts,) = recording.meta["runs"].values()
    return recording, facts


def test_it_writes_a_whole_report_and_says_where() -> None:
    result = run("@build --data @batch")
    folder = "reports/my.nets_of_attach-build"
    assert result.stdout.splitlines()[-1] == f"Wrote {folder}"
    assert f": {MY}:build\n" in result.stdout
    assert re.search(r"^observed 3 of 3 modules", result.stdout, re.MULTILINE), result.stdout
    assert {path.name for path in Path(folder).iterdir()} == {
        *FILES, "report.html", "distributions.png", "profile.png"
    }  # fmt: skip
    recording, facts = recorded(folder)
    assert recording.runs == (f"{MY}:build",)
    assert facts["command"] == f"actdiag attach {MY}:build --data {MY}:batch"
    assert facts["loss"]["kind"] == "cross_entropy"
    run("@build --data @batch --seed 3")  # replaces its own folder
    assert recorded(folder)[1]["command"].endswith("--seed 3")


def test_the_numbers_are_those_of_measure() -> None:
    run("actdiag.examples:vanishing --data actdiag.examples:batches --out out --format json")
    recording, facts = recorded()
    expected = measure(
        examples.vanishing(), [ModelBatch.of(*examples.batches())], run="actdiag.examples:vanishing"
    )
    assert recording.rows.equals(expected.rows)
    report = json.loads(Path("out/report.json").read_text())
    assert [finding["code"] for finding in report["findings"]] == [
        finding.code for finding in diagnose(expected).findings
    ]
    assert facts["loss"] == expected.meta["runs"]["actdiag.examples:vanishing"]["loss"]


@pytest.mark.parametrize(
    ("example", "codes", "words"),
    [
        ("healthy", set(), "HEALTHY: actdiag.examples:healthy"),
        ("forgotten_layer", {"AD001", "AD305"}, "not called: refine"),
        ("cut_graph", {"AD305"}, "gate.bias, gate.weight"),
        ("vanishing", {"AD101", "AD205", "AD206", "AD902"}, "shrinks"),
    ],
)
def test_the_examples_show_what_they_are_for(example: str, codes: set[str], words: str) -> None:
    line = f"actdiag.examples:{example} --data actdiag.examples:batches --format json"
    output = run(line).stdout
    assert words in output
    report = json.loads(Path(f"reports/actdiag.examples-{example}/report.json").read_text())
    assert {finding["code"] for finding in report["findings"]} == codes


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_what_the_users_code_prints_goes_to_standard_error(option: str) -> None:
    result = run(f"@build --data @batch {option}")
    assert "built" in result.stderr
    assert "built" not in result.stdout
    if option == "--json":
        assert json.loads(result.stdout)["verdict"]


def test_the_rule_options_work() -> None:
    line = "actdiag.examples:vanishing --data actdiag.examples:batches --format json"
    run(f"{line} --fail-on warning", code=3)
    found = json.loads(run(f"{line} --select AD101 --json").stdout)["findings"]
    assert {finding["code"] for finding in found} == {"AD101"}


@pytest.mark.parametrize("model", ["@build", "@Net", "@net"])
def test_a_function_a_class_or_a_model(model: str) -> None:
    run(f"{model} --data @batch --out out --format json")
    assert recorded()[0].modules["name"].tolist()[:2] == ["", "first"]


@pytest.mark.parametrize("data", ["@ready", "@batch", "@by_name"])
def test_batches_by_function_or_by_themselves(data: str) -> None:
    run(f"@build --data {data} --out out --format json")
    kind = "inner product of output" if data == "@by_name" else "cross_entropy"
    assert recorded()[1]["loss"]["kind"] == kind


def test_steps_and_every() -> None:
    run("@build --data @three --steps 3 --every 2 --out out --format json")
    recording, facts = recorded()
    weights = recording.rows["tensor"].isin(["weight", "weight_grad"])
    assert sorted(set(recording.rows.loc[~weights, "step"])) == [0, 2]
    assert sorted(set(recording.rows.loc[weights, "step"])) == [0, 1, 2]
    assert facts["notes"] == []
    assert facts["command"].endswith("--steps 3 --every 2")
    output = run("@build --data @three --steps 5 --out out").stdout
    assert "note: the batches ended after 3 of 5 steps" in output


def test_what_data_and_loss_compute_is_not_the_models() -> None:
    """Both call F.softplus and relu while the model is watched."""
    run("@build --data @three --steps 2 --loss @loss --out out --format json")
    recording, facts = recorded()
    functions = [name for name in recording.modules["name"] if "#" in name]
    assert functions == [":relu#0"]
    assert facts["loss"]["kind"] == "loss"


def test_a_class_of_losses_is_made() -> None:
    run("@build --data @batch --loss torch.nn:CrossEntropyLoss --out out --format json")
    assert recorded()[1]["loss"]["kind"] == "CrossEntropyLoss"


def test_train_and_eval() -> None:
    run("@Modes --data @batch --eval --format json")
    *_, last = run("@Modes --data @batch --train", code=1).output.splitlines()
    assert last == f"Error: {MY}:Modes: forward raised AssertionError: told to train, in Modes"
    run("@Modes --data @batch", code=1)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("@by_python", random.Random(1).random()),
        ("@by_numpy", np.random.RandomState(1).rand()),
        ("@by_torch", torch.rand((), dtype=torch.float64, generator=torch.Generator().manual_seed(1)).item()),
    ],
)
def test_the_seed_is_that_of_torch_numpy_and_python(model: str, expected: float) -> None:
    """The first import of the user's module draws, too, so the second run is the one that counts."""
    for _ in range(2):
        run(f"{model} --data @batch --seed 1 --out out --format json")
    rows = recorded()[0].rows
    answer = rows.query("module == 'last' and tensor == 'preactivation'")["mean"].item()
    assert answer == pytest.approx(expected, rel=1e-6)


def test_device_moves_model_and_batches() -> None:
    run("@build --data @batch --device cpu --out out --format json")
    assert recorded()[1]["command"].endswith("--device cpu")


def test_passive_is_passed_on() -> None:
    run("@build --data @batch --passive --out out --format json")
    recording, facts = recorded()
    assert facts["command"].endswith("--passive")
    assert not [name for name in recording.modules["name"] if "#" in name]


def test_tensors_is_passed_on() -> None:
    run("@build --data @batch --tensors activations --out out --format json")
    recording, facts = recorded()
    assert facts["command"].endswith("--tensors activations")
    assert set(recording.rows["tensor"]) == {"activation", "activation_grad", "weight", "weight_grad"}


def test_weights_are_loaded_and_noted() -> None:
    sizes = {"first.weight": (8, 4), "first.bias": (8,), "last.weight": (3, 8), "last.bias": (3,)}
    torch.save({f"module.{name}": torch.full(size, 0.5) for name, size in sizes.items()}, "w.pt")
    output = run("@build --data @batch --weights w.pt --out out").stdout
    assert "note: the prefix 'module.' was taken off the names of the weights" in output
    rows = recorded()[0].rows.query("tensor == 'weight'")
    assert rows["mean"].tolist() == [0.5, 0.5]
    wrong = run("@build --data @batch --weights w.py --out out", code=1).stderr
    assert wrong.splitlines()[-1] == "Error: there is no file of weights w.py"


@pytest.mark.parametrize(
    ("line", "text", "code"),
    [
        (
            "@build",
            "--data is missing: give pkg.mod:batches, a function without arguments that returns inputs, "
            "(inputs, targets) or an iterable of such batches",
            2,
        ),
        ("my/nets_of_attach.py:build --data @batch", "the model is written pkg.mod:name, got "
         "'my/nets_of_attach.py:build': write my.nets_of_attach:build", 2),
        ("@build --data batch", "--data is written pkg.mod:name, got 'batch': write batch:name", 2),
        ("@build --data @batch --loss mse", "--loss is written pkg.mod:name, got 'mse': write mse:name", 2),
        ("@build --data @batch --steps 0", "steps is a whole number >= 1, got 0", 2),
        ("@build --data @batch --every -1", "every is a whole number >= 1, got -1", 2),
        ("@build --data @batch --seed -1", "seed is a whole number from 0 to 2147483647, got -1", 2),
        ("nowhere:build --data @batch",
         "cannot import 'nowhere' for the model 'nowhere:build': No module named 'nowhere'", 1),
        ("@bild --data @batch",
         f"module '{MY}' has no 'bild' for the model '{MY}:bild': did you mean 'build'?", 1),
        ("@build --data @bach",
         f"module '{MY}' has no 'bach' for data '{MY}:bach': did you mean 'batch'?", 1),
        ("@number --data @batch", f"{MY}:number must return a torch.nn.Module, got one of type int", 2),
        ("@batch --data @batch", f"{MY}:batch must return a torch.nn.Module, got a tuple of 2", 2),
        ("@loss --data @batch", f"{MY}:loss raised TypeError: loss() missing 2 required positional "
         "arguments: 'outputs' and 'targets'", 1),
        ("@leaves --data @batch", f"{MY}:leaves raised SystemExit: 0", 1),
        ("@build --data @leaves", f"{MY}:leaves raised SystemExit: 0", 1),
        ("@build --data @number",
         f"{MY}:number must return inputs, (inputs, targets) or an iterable of such batches, such as a "
         "DataLoader, "
         "got one of type int", 1),
        ("@build --data @nothing", "there is no batch to measure: the batches ended before the first", 1),
        ("@build --data @breaks --steps 2", f"{MY}:breaks raised RuntimeError: disk full", 1),
        ("@build --data @batch --loss @number",
         f"{MY}:number must be a callable loss(outputs, targets), got one of type int", 2),
        ("@build --data @batch --loss @broken_loss", f"{MY}:build: loss raised KeyError: 'missing'", 1),
        ("@build --data @wide", f"{MY}:build: forward raised RuntimeError: mat1 and mat2 shapes cannot be "
         "multiplied (16x5 and 4x8), in first (Linear)", 1),
        ("@frozen --data @batch", "the loss has no gradient: no trainable parameter takes part in it. Is "
         "everything frozen, or was the graph cut by detach(), no_grad() or item()?", 1),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(line: str, text: str, code: int) -> None:
    result = run(line, code=code)
    assert result.stderr.splitlines()[-1] == f"Error: {text}"
    assert not Path("reports").exists()
    frames = [line for line in result.stderr.splitlines() if line.startswith("  File ")]
    assert not [line for line in frames if PACKAGE in line]
    assert bool(frames) == ("Traceback" in result.stderr)


def test_the_users_traceback_begins_in_the_users_file() -> None:
    lines = run("@build --data @batch --loss @broken_loss", code=1).stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert re.fullmatch(r'  File ".*my/nets_of_attach.py", line \d+, in broken_loss', lines[1])
    assert lines[2].strip() == 'return {}["missing"]'
    assert lines[-2:] == ["KeyError: 'missing'", f"Error: {MY}:build: loss raised KeyError: 'missing'"]


def test_a_folder_that_the_users_code_changes_to_is_left_again(tmp_path: Path) -> None:
    run("@moves --data @batch --out here --quiet")
    assert Path.cwd() == tmp_path
    assert (tmp_path / "here" / "report.html").exists()


def test_ctrl_c_in_the_users_code_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["attach", f"{MY}:interrupted", "--data", f"{MY}:batch"])
    assert end.value.code == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a.B:C_d", "a.b-c_d"), ("päckchen:Ünit", "p-ckchen-nit"), ("_:_", "_-_"), ("ü:ü", "model")],
)
def test_the_folders_name_is_plain(name: str, folder: str) -> None:
    from actdiag.cli.attach import Request

    request = Request(name, "a:b", None, None, 1, 1, False, 0, None, None)
    assert request.slug == folder
    assert len(Request("m" * 300 + ":b", "a:b", None, None, 1, 1, False, 0, None, None).slug) == 100


def test_the_command_line_parses_again() -> None:
    line = (
        "@build --data @batch --loss @loss --weights 'my weights.pt' --steps 2 --every 2 "
        "--tensors activations --passive --seed 4 --device cpu --eval"
    )
    Path("my weights.pt").touch()
    words = shlex.split(line.replace("@", f"{MY}:"))
    from actdiag.cli.attach import Request, command

    values = command.make_context("attach", [*words]).params
    request = Request(**{name: values[name] for name in Request.__dataclass_fields__})
    again = command.make_context("attach", shlex.split(request.command)[2:]).params
    assert again == values
