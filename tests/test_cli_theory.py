"""Tests for `actdiag theory` and `actdiag gain`: what they print, and their JSON."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner
from torch import nn

from actdiag.activations import ACTIVATIONS
from actdiag.cli import cli


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, list(args))
    assert result.exit_code == code, result.output
    return result.output


def test_gain_prints_the_exact_gain_beside_torchs() -> None:
    header, row = run("gain", "tanh").splitlines()[:2]
    assert header.split() == ["activation", "forward", "backward", "torch", "difference", "slope"]
    assert row.split()[:5] == ["tanh", "1.5925", "1.4674", "1.6667", "+4.7%"]


def test_gain_names_the_unstable_ones_and_no_others() -> None:
    rows = json.loads(run("gain", "--all", "--json"))
    assert [row["activation"] for row in rows] == list(ACTIVATIONS)
    assert [row["activation"] for row in rows if not row["stable"]] == ["gelu", "silu", "mish"]
    for row in rows:
        try:
            assert row["torch"] == pytest.approx(nn.init.calculate_gain(row["activation"]))
        except ValueError:
            assert row["torch"] is None
            assert row["difference"] is None
    assert next(row for row in rows if row["activation"] == "step")["backward"] is None
    assert run("gain", "gelu").splitlines()[1].endswith("unstable")


def test_theory_prints_a_few_layers_and_the_phase() -> None:
    lines = run("theory", "--act", "tanh", "--init", "he", "--depth", "50").splitlines()
    assert [line.split()[0] for line in lines[2:8]] == ["1", "2", "5", "10", "20", "50"]
    text = "\n".join(lines)
    assert "chaotic" in text
    assert "xi_c = 21.7" in text
    # of the first layer, N(0, 2): z's rms is sqrt(2)
    assert lines[2].split()[1] == "1.414"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--act relu --init he", "critical, on the edge of chaos"),
        ("--act relu --init xavier", "the preactivation dies out, its square 0.5 times a layer"),
        ("--act relu --init normal:1 --depth 900", "grows without end, its square 128 times a layer"),
        ("--act sigmoid", "told apart down to about layer 2 (6 xi_c)"),
        (
            "--act gelu --gain exact",
            "unstable: this gain keeps E[z^2] = 1, but a deviation grows 1.144 times",
        ),
        ("--act step", "no gradient passes"),
        ("--init constant:1", "no theory: constant weights"),
        ("--depth 0", "no theory: no hidden layer"),
        ("--residual --norm layer", "no limit: fixed points are named for plain chains"),
        ("--init lsuv", "no limit: lsuv scales each layer"),
        ("--bias 0.3", "no limit: fixed points are named for biases with mean 0"),
        ("--critical --sigma-b 0.22360679775", "sigma_w^2 = 1.76095"),
        ("--act step --critical", "'step' has no edge of chaos"),
    ],
)
def test_theory_says_where_a_deep_chain_ends(arguments: str, words: str) -> None:
    assert words in run("theory", *arguments.split())


def test_json_holds_every_layer_and_no_word_that_json_has_not() -> None:
    text = run("theory", "--act", "relu", "--init", "normal:1", "--depth", "400", "--critical", "--json")
    found = json.loads(text, parse_constant=pytest.fail)
    assert [row["layer"] for row in found["layers"]] == list(range(1, 401))
    assert found["layers"][-1]["saturated"] is None
    assert found["layers"][-1]["rms z"] == "inf"
    assert found["limit"]["phase"] == "chaotic"
    assert found["edge"]["sigma_w2"] == pytest.approx(2.0)
    assert found["layers"][0]["rms z"] == pytest.approx(math.sqrt(256.0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("gain", "name activations, as in actdiag gain tanh, or give --all"),
        ("gain tanh --all", "name activations"),
        ("gain tahn", "did you mean 'tanh'?"),
        ("theory --act tahn", "did you mean 'tanh'?"),
        ("theory --sigma-b 1", "--sigma-b belongs to --critical"),
        ("theory --critical --sigma-b -1", "--sigma-b is a standard deviation >= 0, got -1.0"),
        ("theory --correlation 2", "--correlation is a number from -1 to 1, got 2.0"),
        ("theory --gain big", "gain is a number, 'torch' or 'exact', got 'big'"),
        ("theory --depth -1", "depth is a whole number >= 0"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: str, words: str) -> None:
    output = run(*arguments.split(), code=2)
    assert words in output
    assert len([line for line in output.splitlines() if line.startswith("Error: ")]) == 1


@pytest.mark.parametrize("act", ["leaky_relu:1e300", "prelu:-1e7", "elu:1e200"])
def test_theory_takes_no_activation_whose_parameter_leaves_float64(act: str) -> None:
    assert "from -1e+06 to 1e+06" in run("theory", "--act", act, code=2)
    assert "from -1e+06 to 1e+06" in run("gain", act, code=2)


def test_theory_takes_no_bias_whose_square_leaves_float64() -> None:
    assert "with a finite square" in run("theory", "--critical", "--sigma-b", "1e300", code=2)
