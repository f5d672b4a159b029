"""Follow the calls of torch functions: activations, products, and where every tensor comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from actdiag.capture import outputs
from actdiag.capture.activations import before_activation
from actdiag.capture.book import Book
from actdiag.capture.functions import (
    ACTIVATIONS,
    MULTIPLICATIONS,
    Function,
    Product,
    is_layer,
    name_of,
    product_of,
    writes_in_place,
)
from actdiag.capture.hooks import graph_task
from actdiag.capture.sites import TENSOR_OF, ModuleFacts, Site
from actdiag.capture.window import Call, Window

UNKNOWN = -2


@dataclass(frozen=True)
class Layer:
    """A function call that is an activation (by name) or a product."""

    facts: ModuleFacts
    activation: str
    product: Product | None


class FunctionWatch:
    """Runs each torch function, and sees what it is and what it returns."""

    def __init__(self, book: Book, window: Window) -> None:
        self._book, self._window = book, window

    def run(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function; it belongs to the innermost module under way."""
        if not self._window.calls:
            return self._run_outside(function, args, kwargs)
        call, known = self._window.calls[-1], is_layer(function)
        layer = self._layer(call, function, args, kwargs) if known and call.silent != "all" else None
        before = _version(args)
        result = function(*args, **kwargs)
        wrote = before != _version(args) or (before == UNKNOWN and writes_in_place(function, kwargs))
        if wrote or isinstance(result, (torch.Tensor, tuple, list)):
            with self._book.guard(call.name):
                self._descend(function, args, kwargs, result, wrote)
                if layer is not None and layer.facts.name == call.name:
                    self._pass_on(layer.facts, result)
                elif layer is not None:
                    self._see(call, layer, args, kwargs, result)
        return result

    def _run_outside(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function outside any module: checkpointing computes some again so, inside backward."""
        if graph_task() == -1 or not is_layer(function):
            return function(*args, **kwargs)
        short, kind = name_of(function), "activation" if function in ACTIVATIONS else "product"
        with self._book.guard(short):
            z = outputs.first_tensor(args, kwargs)
            if kind == "activation" and z is not None and self._book.ledger.owner(z) is None:
                self._book.recognise(self._sites(short, "preactivation"), z)
        result = function(*args, **kwargs)
        with self._book.guard(short):
            self._book.recognise(self._sites(short, TENSOR_OF[kind]), result)
        return result

    def _sites(self, short: str, tensor: str) -> list[Site]:
        """Return the sites of a function by its short name."""
        sites = self._book.sites.values()
        return [site for site in sites if (site.module_type, site.tensor) == (short, tensor)]

    def _pass_on(self, facts: ModuleFacts, tensor: torch.Tensor) -> None:
        """Note that a tensor is what a module derived from a Linear or the like computes its output from."""
        site = Site(facts.name, facts.type, 0, 0, "", "preactivation", -1, self._book.options.batch_axis)
        origin = self._book.ledger.find(tensor)
        self._book.ledger.come_from(tensor, self._book.situate(site, origin, facts))

    def _layer(
        self, call: Call, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Layer | None:
        """Return what is known of a call as a layer, before it runs; None where it is none."""
        layer = None
        if outputs.first_tensor(args, kwargs) is None:
            return None  # stand-ins, as torch.fx has them
        with self._book.guard(call.name):
            namer = ACTIVATIONS.get(function)
            act = None if namer is None else namer(args, kwargs)
            product = None if act else product_of(function, args, kwargs)
            if product is not None and call.silent:
                layer = Layer(self._book.facts[call.name], "", None)
            elif (act or product) and not self._window.drop_stale(running=1):
                layer = Layer(self._facts(call, name_of(function), product), act or "", product)
                if act:
                    before_activation(self._book, call, layer.facts, act, outputs.first_tensor(args, kwargs))
        return layer

    def _facts(self, call: Call, short: str, product: Product | None) -> ModuleFacts:
        name = f"{call.name}:{short}#{call.count(short)}"
        while name in self._book.modules:
            name += "'"
        kind, fans = ("activation", (0, 0)) if product is None else ("product", product.fans)
        return self._book.facts.setdefault(name, ModuleFacts(name, short, kind, *fans))

    def _descend(
        self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, wrote: bool
    ) -> None:
        """Note what the result was made from, and whether the first argument was written to."""
        if wrote:
            self._book.wrote(args[0])
        made = [result] if isinstance(result, torch.Tensor) else [t for _, t in outputs.find(result).tensors]
        if made:
            parents = [tensor for _, tensor in outputs.arguments(args, kwargs).tensors]
            if function in MULTIPLICATIONS:
                self._ungate(parents)
            for tensor in made:
                self._book.ledger.descend(tensor, parents)

    def _ungate(self, factors: list[torch.Tensor]) -> None:
        """Tell a gate from an activation: in z sigmoid(z) no layer's activation is a sigmoid.

        So are Swish, GELU's approximations and the like written out. A gate on another signal, or on the
        other half of the same, as in gated linear units, stays its layer's activation.
        """
        source = self._book.ledger.source
        pairs = [(factor, site) for factor in factors if (site := source(factor)) is not None]
        products = {site.product for factor, site in pairs if site.fresh and site.is_whole(factor)}
        for _, gate in pairs:
            if gate.activation and not gate.fresh and gate.product in products:
                gate.tensor = "output"
                self._book.facts[gate.product].activation_after = ""

    def _see(
        self, call: Call, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """See the result of an activation or a product."""
        facts, product, book = layer.facts, layer.product, self._book
        if graph_task() == -1:
            facts.calls += 1
            if product is not None:
                book.number(facts, [tensor for _, tensor in outputs.arguments(args, kwargs).tensors])
                if product.weight is not None:
                    book.weights[facts.name] = product.weight
        why = outputs.obstacle(result)
        if why:
            book.conclude(facts, [], [f"its output is {why}"])
            return
        site = self._site(call, layer, result)
        book.meet(site, result, call.saturated)
        facts.layer = facts.layer or site.layer
        book.conclude(facts, [""], [])

    def _site(self, call: Call, layer: Layer, tensor: torch.Tensor) -> Site:
        facts, origin = layer.facts, self._book.ledger.find(tensor)
        site = Site(facts.name, facts.type, 0, call.number, "", TENSOR_OF[facts.kind])
        site.batch_axis, site.apart = self._book.options.batch_axis, call.apart
        if origin is not None:
            site.descend(origin.site)
        if layer.product is not None:
            site.unit_axis = layer.product.unit_axis
        site.activation = layer.activation
        return self._book.situate(site, origin, facts)


def _version(args: tuple[Any, ...]) -> int:
    """Return the version of the first argument; UNKNOWN where it has none, -1 where it is no tensor."""
    if not args or not isinstance(args[0], torch.Tensor):
        return -1
    with torch._C.DisableTorchFunctionSubclass():
        return UNKNOWN if args[0].is_inference() else args[0]._version
