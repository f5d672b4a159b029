"""Which layers are compared with each other: those on the longest chain of modules."""

from __future__ import annotations

from itertools import product
from typing import Any

import pandas as pd
import pytest
import torch
from judging import found, judged, reason, silent
from recordings import Layer, chained, made_up, with_module
from torch import nn

from actdiag import attach, check
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.rules.chains import ends, longest_chain
from actdiag.tables import Table
from actdiag.types import Severity


def table(follows: dict[str, str]) -> Table:
    layers = range(1, len(follows) + 1)
    columns = {"kind": "product", "layer": layers, "name": list(follows), "follows": list(follows.values())}
    return Table.of(pd.DataFrame(columns))


def linear(*numbers: int) -> list[str]:
    return [f"layer{number}.linear" for number in numbers]


def branched(layers: list[Layer], *pairs: tuple[int, int], **rest: object) -> Recording:
    """Return layers of which number `a` follows number `b` for each pair; the head follows the last."""
    recording = made_up(layers, **rest)  # type: ignore[arg-type]
    names = [(f"layer{a}.linear", f"layer{b}.linear" if b else "") for a, b in pairs]
    return chained(recording, *names, ("head", f"layer{len(layers)}.linear"))


def test_without_any_word_of_order_the_numbers_are_the_chain() -> None:
    alone = table({"a": "", "b": "", "c": ""})
    assert longest_chain(alone, {"a", "b"}, numbered=True) == ("a", "b", "c")


def test_parallel_branches_are_no_chain() -> None:
    alone = table({"a": "", "b": "", "c": ""})
    assert longest_chain(alone, {"a", "b"}) == ("b",)
    assert longest_chain(alone[:0], {"a"}) == ()


def test_the_way_with_the_most_hidden_products_wins() -> None:
    """a-b-c-d-e is longer, but a-x-y has more hidden layers."""
    follows = {"a": "", "b": "a", "c": "b", "d": "c", "e": "d", "x": "a", "y": "x"}
    assert longest_chain(table(follows), {"a", "x", "y"}) == ("a", "x", "y")
    assert longest_chain(table(follows), {"a", "x", "b"}) == ("a", "b", "c", "d", "e")


def test_of_equally_long_ways_the_latest_wins() -> None:
    follows = {"a": "", "b": "a", "c": "a"}
    assert longest_chain(table(follows), {"b", "c"}) == ("a", "c")


@pytest.mark.parametrize("loop", [{"a": "b", "b": "a"}, {"a": "a"}, {"a": "c", "b": "a", "c": "b"}])
def test_a_module_that_is_used_again_does_not_go_round_for_ever(loop: dict[str, str]) -> None:
    chain = longest_chain(table({**loop, "z": "a"}), {"a", "z"})
    assert chain[-2:] == ("a", "z")
    assert len(chain) == len(set(chain))


def test_what_follows_a_module_that_is_no_product_starts_a_chain() -> None:
    assert longest_chain(table({"a": "gone", "b": "a"}), {"a", "b"}) == ("a", "b")


def test_every_small_tree_gives_its_longest_way() -> None:
    """By brute force: all ways from all products, over all trees of five products."""
    names = "abcde"
    for parents in product(*([*names[:place], ""] for place in range(5))):
        follows = dict(zip(names, parents, strict=True))
        hidden = {"b", "d", "e"}
        ways = []
        for name in names:
            way = [name]
            while follows[way[0]]:
                way.insert(0, follows[way[0]])
            ways.append(way)
        best = max(ways, key=lambda way: (len(hidden & set(way)), len(way), way[-1]))
        assert list(longest_chain(table(follows), hidden)) == best


def test_a_thousand_layers_are_no_recursion() -> None:
    follows = {str(number): str(number - 1) if number else "" for number in range(1000)}
    assert len(longest_chain(table(follows), set(follows))) == 1000


SMALL = Layer(preactivation_grad=1e-5, activation=1e-5, std_across=1e-12, output=None)


@pytest.mark.parametrize("code", ["AD101", "AD201"])
def test_a_small_branch_is_not_compared_with_the_chain(code: str) -> None:
    """1 - 2 - 4 - 5 is the chain; 3 is a branch of its own."""
    layers = [Layer(), Layer(), SMALL, Layer(), Layer()]
    pairs = ((1, 0), (2, 1), (3, 1), (4, 2), (5, 4))
    silent(code, branched(layers, *pairs))
    if code == "AD101":
        assert found(code, made_up(layers)).layers == (3,)


def test_exploding_branches_are_not_compared() -> None:
    large = Layer(preactivation_grad=1e9, activation=1e9, std_across=1e9)
    layers, pairs = [Layer(), large, Layer()], ((1, 0), (2, 0), (3, 1))
    silent("AD102", branched(layers, *pairs))
    last = [Layer(), Layer(), large]
    silent("AD202", branched(last, (1, 0), (2, 1), (3, 0)))
    assert found("AD202", made_up(last)).layers == (3,)


def test_a_collapsed_branch_does_not_collapse_the_chain() -> None:
    layers = [Layer(), Layer(), Layer(std_across=1e-9)]
    silent("AD206", branched(layers, (1, 0), (2, 1), (3, 0)))
    assert found("AD206", made_up(layers)).layers == (3,)


def test_what_lies_aside_is_told_in_the_evidence() -> None:
    layers = [Layer(preactivation_grad=1e-5), Layer(preactivation_grad=1e-9), Layer(), Layer()]
    finding = found("AD101", branched(layers, (1, 0), (2, 1), (3, 1), (4, 3)))
    assert finding.layers == (1,)
    assert finding.evidence["not_compared"] == "1 hidden layer in other places"
    assert "from layer 4 down to layer 1, a factor of 0.0032 per layer" in finding.message  # 1e-5 ^ (1/2)
    assert "not_compared" not in found("AD101", made_up(layers)).evidence


def test_one_layer_on_the_chain_gives_no_ratio_and_says_what_lies_aside() -> None:
    recording = branched([Layer(), Layer(), Layer()], (1, 0), (2, 0), (3, 0))
    expected = "needs two hidden layers, and there is one on the longest chain, 2 in other places"
    assert expected in reason("AD101", recording)
    assert expected in reason("AD202", recording)


def test_local_rules_look_at_every_branch() -> None:
    """Layer 2 is off the chain."""
    pairs = ((1, 0), (2, 0), (3, 1))
    layers = [Layer(), Layer(saturated_fraction=0.9), Layer()]
    assert found("AD204", branched(layers, *pairs)).layers == (2,)
    layers[1] = Layer(dead_units=8.0)
    assert found("AD203", branched(layers, *pairs, act="relu")).layers == (2,)
    layers[1] = Layer(preactivation_grad=0.0)
    assert found("AD103", branched(layers, *pairs)).layers == (2,)
    layers[1] = Layer(equal_units=("preactivation", "preactivation_grad", "weight"))
    assert found("AD301", branched(layers, *pairs)).layers == (2,)


def test_the_chain_goes_by_modules_not_by_numbers() -> None:
    """Layer 2 is computed after layer 1 and comes before it on the way: the gradient shrinks downwards."""
    recording = chained(
        made_up([Layer(), Layer(preactivation_grad=1e-5)]),
        ("layer2.linear", ""),
        ("layer1.linear", "layer2.linear"),
        ("head", "layer1.linear"),
    )
    finding = found("AD101", recording)
    assert finding.layers == (2,)
    assert "from layer 1 down to layer 2" in finding.message
    silent("AD102", recording)


def test_a_later_tensor_of_a_nested_output_is_no_other_layer() -> None:
    """An LSTM returns (output, (h, c)); h is tiny."""
    recording = made_up([Layer(), Layer()])
    chosen = (recording.rows["module"] == "layer2.act") & (recording.rows["tensor"] == "activation")
    recording.rows.loc[chosen, "path"] = "0"
    state = recording.rows[chosen].assign(path="1.0", rms=1e-9, std_across=0.0)
    rows = pd.concat([recording.rows, state], ignore_index=True)
    recording = Recording(rows, recording.modules, {}, {}, recording.units, recording.meta)
    view = Run("run", recording)
    assert view.at("activation")["path"].tolist() == ["", "0"]
    silent("AD201", recording)
    silent("AD206", recording)


def test_of_several_backward_passes_the_last_counts() -> None:
    recording = made_up([Layer(), Layer()])
    chosen = recording.rows["tensor"] == "preactivation_grad"
    recording.rows.loc[chosen, "backward"] = 1
    again = recording.rows[chosen].assign(backward=2)
    again.loc[again["module"] == "layer1.linear", "rms"] = 1e-5
    both = [again, recording.rows]  # the order of the rows does not matter
    recording = Recording(
        pd.concat(both, ignore_index=True), recording.modules, {}, {}, recording.units, recording.meta
    )
    finding = found("AD101", recording)
    assert (finding.severity, finding.evidence["measured"]) == (Severity.ERROR, pytest.approx(1e-5))


def test_a_function_is_a_layer_like_any_other() -> None:
    recording = made_up([Layer(preactivation_grad=1e-5), Layer()])
    names = {"layer1.linear": "enc:linear#0", "layer1.act": "enc:relu#0", "layer2.linear": "enc:linear#1"}
    recording = Recording(
        recording.rows.assign(module=recording.rows["module"].replace(names)),
        recording.modules.assign(name=recording.modules["name"].replace(names)),
        units=recording.units,
        meta=recording.meta,
    )
    recording = chained(recording, ("enc:linear#1", "enc:linear#0"), ("head", "enc:linear#1"))
    assert found("AD101", recording).modules == ("enc:linear#0",)


def test_activations_that_are_not_known_are_told_as_such() -> None:
    recording = made_up([Layer(), Layer()])
    for name in linear(1, 2):
        recording = with_module(recording, name, activation_after="")
    for code in ("AD101", "AD201", "AD301"):
        assert reason(code, recording) == "no known activation was seen behind any of 3 layers"


def test_a_run_looks_at_the_step_it_is_given() -> None:
    recording = made_up([Layer(), Layer()])
    later = recording.rows.assign(step=7, rms=recording.rows["rms"] * 3.0)
    rows = pd.concat([recording.rows, later], ignore_index=True)
    recording = Recording(rows, recording.modules, {}, {}, {}, recording.meta)
    assert Run("run", recording).at("activation")["rms"].tolist() == [1.0, 1.0]
    assert Run("run", recording, 7).at("activation")["rms"].tolist() == [3.0, 3.0]
    assert len(Run("run", recording, 8).at("activation")) == 0
    assert not judged("AD101", recording).findings


def joined(*names: str, at: tuple[str, ...] = ()) -> Recording:
    """Return a chain of a model of the user's own, with these names; a signal joins before those in `at`."""
    layers = [Layer(layer) for layer in range(1, len(names) + 1)]
    recording = made_up(layers, own=False)
    renamed = dict(zip((f"layer{layer}.linear" for layer in range(1, len(names) + 1)), names, strict=True))
    recording.modules["name"] = recording.modules["name"].replace(renamed)
    recording.rows["module"] = recording.rows["module"].replace(renamed)
    recording = chained(recording, *zip(names[1:], names[:-1], strict=True))
    recording.modules["joined"] = recording.modules["name"].isin(at)
    return recording


BLOCKS = ("blocks.0.in", "blocks.0.out", "blocks.1.in", "blocks.1.out", "head")


def test_where_signals_join_only_layers_in_the_same_place_are_compared() -> None:
    recording = joined(*BLOCKS, at=("blocks.1.in", "head"))
    assert Run(recording.runs[0], recording).chain == ("blocks.0.out", "blocks.1.out")


def test_a_plain_chain_is_compared_as_a_whole_whatever_its_names() -> None:
    recording = joined(*BLOCKS)
    assert Run(recording.runs[0], recording).chain == BLOCKS
    first = joined(*BLOCKS, at=("blocks.0.in",))
    assert Run(first.runs[0], first).chain == BLOCKS


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.Tanh(), nn.Softplus(), torch.sigmoid])
def test_an_activation_that_the_model_returns_makes_no_hidden_layer(end: Any) -> None:
    """As in an autoencoder: the output is not what a next layer is given."""

    class Ending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
            self.end = end

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.end(self.body(x))
            return result

    torch.manual_seed(0)
    inputs = torch.rand(64, 16)
    with attach(model := Ending()) as recorder:
        model(inputs).square().mean().backward()
        recorder.step()
    assert Run.of(recorder.recording(), "model").chain == ("body.0",)
    diagnosis = check(Ending(), inputs, inputs)
    assert not {"AD205", "AD206"} & {finding.code for finding in diagnosis.findings}


def test_an_inner_activation_that_the_model_returns_too_is_hidden() -> None:
    modules = chained(made_up([Layer(), Layer()]), ("layer2.linear", "layer1.linear")).modules
    root = {"name": "", "kind": "container", "same_tensor_as": "layer1.act"}
    modules = pd.concat([modules, modules.head(1).assign(**root)], ignore_index=True)
    assert not ends(Table.of(modules)).any()
