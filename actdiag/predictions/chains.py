"""The chain of layers that theory is made for, from a spec or a model's weights; or why there is none.

Of the measured rows those of the input and of the weights are read, which are given, and no others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actdiag.activations import Activation, activation
from actdiag.initialisers import initialiser
from actdiag.rules.base import Run
from actdiag.theory import Layer, NoTheory, chain

Row = dict[Any, Any]
Biases = Mapping[str, tuple[float, float]]
"""Product -> mean and variance of its bias over the units."""
CENTRED = 5.0
"""Standard errors that the mean of a weight may lie from 0: of the drawn ones one in two million does."""
_READ = (
    "module",
    "units",
    "positions",
    "samples",
    "count",
    "nan_count",
    "inf_count",
    "mean",
    "rms",
    "correlation",
)


@dataclass(frozen=True)
class Chain:
    """Hidden layers one after the other, as theory takes them.

    Attributes:
        act: behind each of them.
        layers: the hidden layers' products and the head's.
        names: of the hidden layers' products.
        plain: nothing but activations lies between the layers.
        banded: the band at finite width is known: plain, and weights that do not depend on the data.
    """

    act: Activation
    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    plain: bool = True
    banded: bool = True


def of_spec(spec: Mapping[str, Any]) -> Chain:
    """Return the chain that a resolved spec describes."""
    depth, init = int(spec["depth"]), initialiser(str(spec["init"]))
    if not depth:
        raise NoTheory("there is no hidden layer")
    layers = tuple(chain(spec, int(spec["features"]), int(spec["classes"])))
    plain = spec["norm"] == "none" and not spec["dropout"] and not spec["residual"]
    names = tuple(f"layer{number}.linear" for number in range(1, depth + 1))
    return Chain(activation(str(spec["act"])), layers, names, plain, plain and init.distribution != "lsuv")


def of_model(run: Run, biases: Biases) -> Chain:
    """Return the chain that the weights of a model of the user's own make."""
    modules = run.recording.modules
    if not run.plain:
        raise NoTheory(
            "theory is made for fully connected layers one after the other, and this is another network"
        )
    own = modules[(modules["calls"] > 0) & (modules["same_tensor_as"] == "")]
    if own["kind"].isin(["norm", "dropout"]).any():
        raise NoTheory("theory of these chains knows no norm and no dropout")
    if run.recording.rows["call"].max() > 0:
        raise NoTheory("a module was called several times")
    called = modules[(modules["kind"] == "product") & (modules["calls"] > 0)]
    products = called.sort_values("layer", kind="stable").to_dict("records")
    acts = [product["activation_after"] for product in products]
    if len(acts) < 2:
        raise NoTheory("there is no hidden layer")
    if len(set(acts[:-1])) > 1 or "" in acts[:-1]:
        raise NoTheory("theory of these chains needs one known activation behind every layer but the last")
    weights = _given(run, "weight")
    layers = tuple(_layer(product, weights, biases) for product in products)
    return Chain(activation(acts[0]), layers, tuple(product["name"] for product in products[:-1]))


def _layer(product: Row, weights: Sequence[Row], biases: Biases) -> Layer:
    """Return a product as theory takes it, from the numbers of its stored weight."""
    name = product["name"]
    own = [weight for weight in weights if weight["module"] == name]
    if len(own) != 1 or name not in biases or not product["fan_in"]:
        raise NoTheory(f"weight and bias of {name} are not known")
    (weight,), (mean, variance) = own, biases[name]
    rms, centre = weight["rms"], weight["mean"]
    if not math.isfinite(rms * rms + centre + mean + variance):
        raise NoTheory(f"weight or bias of {name} is not finite, or its mean was not recorded")
    if abs(centre) * math.sqrt(weight["count"]) > CENTRED * rms:
        raise NoTheory(f"the weights of {name} have the mean {centre:.2g}: theory is made for mean 0")
    return Layer(product["fan_in"], product["fan_out"], rms * rms, variance, mean)


class Batch(NamedTuple):
    """The batch: second moment and mean correlation (NaN where it is not known), samples."""

    second: float
    correlation: float
    samples: int


def batch_of(run: Run, fan_in: int) -> Batch:
    """Return the batch that the first layer takes.

    Raises:
        NoTheory: not one tensor, not finite, or of another size.
    """
    rows = _given(run, "input")
    if len(rows) != 1:
        raise NoTheory("theory starts from the size of one input")
    return batch_in(rows[0], fan_in)


def batch_in(row: Mapping[Any, Any], fan_in: int) -> Batch:
    """Return the batch of which `row` holds the numbers, as `batch_of` does."""
    rms, size = float(row["rms"]), int(row["units"] * row["positions"])
    if row["nan_count"] or row["inf_count"] or not math.isfinite(rms * rms):
        raise NoTheory("the input, or its mean square, is not finite")
    if size != fan_in:
        raise NoTheory(f"the first layer takes {fan_in} numbers and the input has {size}")
    correlation = float(row["correlation"]) if row["positions"] == 1 else math.nan
    return Batch(rms * rms, correlation, int(row["samples"]))


def _given(run: Run, tensor: str) -> list[Row]:
    """Return the first step's rows of a tensor."""
    rows = run.recording.rows
    places = np.flatnonzero((rows["tensor"] == tensor).to_numpy())
    steps = rows["step"].to_numpy()[places]
    first = places[steps == steps.min()] if len(places) else places
    return rows[list(_READ)].iloc[first].to_dict("records")
