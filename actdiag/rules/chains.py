"""Chains of modules: which products the signal passes one after the other."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np

from actdiag.tables import Flags, Table


def longest_chain(modules: Table, hidden: Container[str], numbered: bool = False) -> tuple[str, ...]:
    """Return the products on the longest way of the signal, first to last, as `follows` tells it.

    That is the way with the most hidden products, then with the most products, then the latest.

    Args:
        modules: the modules table of one run.
        hidden: names of the products that an activation follows.
        numbered: the products are known to be a chain by their number, should no module say what it follows.
    """
    products = modules[modules["kind"] == "product"].sorted_by("layer")
    follows = products.pairs("name", "follows")
    if not follows or (numbered and not any(follows.values())):
        return tuple(follows)
    lengths = _lengths(follows, hidden)
    last = max(reversed(list(follows)), key=lengths.__getitem__)
    return tuple(reversed(list(_back(last, follows))))


def peers(modules: Table, chain: Sequence[str], hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Return the hidden products that may be compared: all, or where signals join, the largest group alike.

    Products are alike whose names differ in numbers only, `layer.0.dense` and `layer.1.dense`; of equally
    large groups the latest counts.

    Args:
        modules: the modules table of one run.
        chain: the products on the way of the signal.
        hidden: those of them that an activation follows.
    """
    joined = set(modules[modules["joined"]]["name"])
    if not joined.intersection(chain[1:]):
        return hidden
    groups: dict[str, list[str]] = {}
    for name in hidden:
        groups.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    largest = max(map(len, groups.values()), default=0)
    return next((tuple(group) for group in reversed(groups.values()) if len(group) == largest), ())


def ends(modules: Table) -> Flags:
    """Return which products make what the model returns, through an activation and nothing else, (rows,).

    Args:
        modules: the modules table of one run.
    """
    returned = set(modules[modules["name"] == ""]["same_tensor_as"]) - {""}
    if not returned:
        return np.zeros(len(modules), dtype=np.bool_)
    outer = modules[modules.among("name", returned) & (modules["kind"] == "activation")]
    last = (modules["kind"] == "product") & modules.among("layer", set(outer["layer"]))
    return np.asarray(last & ~modules.among("name", set(modules["follows"])))


FULLY_CONNECTED = ("Linear", "LazyLinear", "linear", "addmm", "matmul", "mm")
RESHAPING = ("Flatten", "Unflatten", "Identity")


def is_plain(modules: Table) -> bool:
    """Return whether the signal passes fully connected layers one after the other, and nothing else.

    Activations, norms and dropout may lie between them; another signal that joins, a module of another kind
    with an output of its own, or a layer that was not seen makes it another network.

    Args:
        modules: the modules table of one run.
    """
    called = modules[modules["calls"] > 0]
    products = called[called["kind"] == "product"]
    others = called[(called["kind"] == "other") & (called["same_tensor_as"] == "")]
    return bool(
        len(products)
        and products.among("type", FULLY_CONNECTED).all()
        and others.among("type", RESHAPING).all()
        and not products["joined"].any()
        and called["observed"].all()
        and len(longest_chain(products, ())) == len(products)
    )


def _lengths(follows: Mapping[str, str], hidden: Container[str]) -> dict[str, tuple[int, int]]:
    """Return, of each product's way from the start, how many products are hidden and how many there are."""
    lengths: dict[str, tuple[int, int]] = {}
    for name in follows:
        fresh = list(_back(name, follows, lengths))
        length = lengths.get(follows[fresh[-1]], (0, 0)) if fresh else (0, 0)
        for each in reversed(fresh):
            length = lengths[each] = (length[0] + (each in hidden), length[1] + 1)
    return lengths


def _back(name: str, follows: Mapping[str, str], known: Container[str] = ()) -> Iterator[str]:
    """Yield a product and those before it, until the start, a known one, or in a loop one seen before."""
    seen: set[str] = set()
    while name in follows and name not in seen and name not in known:
        yield name
        seen.add(name)
        name = follows[name]
