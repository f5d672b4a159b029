"""Follow the calls of modules."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn

from actdiag.capture import outputs
from actdiag.capture.activations import before_activation
from actdiag.capture.book import Book
from actdiag.capture.counts import Counts
from actdiag.capture.hooks import graph_task
from actdiag.capture.kinds import batch_axis_of, facts_of, is_unbatched, unit_axis_of
from actdiag.capture.sites import TENSOR_OF, ModuleFacts, Site
from actdiag.capture.window import Call, Window
from actdiag.catalogue import recognise

FAST_PATH = "the Transformer's fast path, where it would be taken, is off while attached (about 1e-6 apart)"
FUSED = (nn.TransformerEncoderLayer, nn.MultiheadAttention)
"""What leaves its own modules aside for one fused operation, where nobody watches."""


class ModuleWatch:
    """Turns the start and the end of each module's call into sites."""

    def __init__(self, book: Book, window: Window, counts: Counts) -> None:
        self._book, self._window, self._counts = book, window, counts

    def started(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """React to the start of a module's call."""
        again = graph_task() != -1
        if name == "":
            self._window.drop_stale(running=len(self._window.calls) + 1)
        if not self._window.calls and not again:
            self._begin()
        facts = self._book.facts[name]
        call = Call(name, 0, _silences(module, facts.kind))
        call.in_graph, call.error = torch.is_grad_enabled(), sys.exc_info()[1]
        self._window.open(call)
        call.number = self._counts.number(call)
        with self._book.guard(name):
            given = outputs.arguments(args, kwargs)
            if not again:
                self._given(name, module, call, given)
            act = recognise(module) if facts.kind == "activation" else None
            if act is not None:
                before_activation(self._book, call, facts, act, outputs.first_tensor(args, kwargs))
            elif isinstance(module, FUSED) and self._slows(call, module):
                self._book.note(FAST_PATH)

    def ended(
        self, call: Call, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """React to the end of a module's call, also one that raised: then there is no output."""
        name = call.name
        if output is None and sys.exc_info()[1] is not call.error:
            return
        with self._book.guard(name):
            parents = [tensor for _, tensor in outputs.arguments(args, kwargs).tensors]
            found = outputs.find(output)
            facts = self._facts_after(call, module)
            seen: list[str] = []
            problems = list(found.opaque)
            for number, (path, tensor) in enumerate(found.tensors):
                if self._book.ledger.source(tensor) is None:
                    self._book.ledger.descend(tensor, parents)
                why = outputs.obstacle(tensor)
                if why:
                    problems.append(f"{outputs.where(path)} is {why}")
                    continue
                seen.append(self._see(module, facts, call, path, tensor, first=number == 0))
            if graph_task() == -1:
                self._book.conclude(facts, seen, problems)
                if name == "":
                    self._book.await_backward(tensor for _, tensor in found.tensors)
            elif facts.calls == 0:
                facts.reason = "it ran inside backward only: not recorded"

    def _slows(self, call: Call, module: nn.Module) -> bool:
        """Return whether a module may take its fast path, were nobody watching."""
        return not (self._book.options.passive or module.training or call.in_graph)

    def _begin(self) -> None:
        """Begin a forward pass, unless an earlier one still waits for its backward pass."""
        book = self._book
        if not torch.is_grad_enabled():
            self._counts.restart(apart=True)
        elif book.backward_seen or not book.differentiable:
            self._counts.restart(apart=False)
            book.backward_seen = book.differentiable = False
            book.passes += 1
        book.prune()

    def _given(self, name: str, module: nn.Module, call: Call, given: outputs.Found) -> None:
        """Count a call, and look at what the module is given."""
        self._counts.add(call)
        for _, tensor in given.tensors:
            self._book.notice(tensor)
        if name == "":
            self._inputs(module, call, given)
        facts = self._book.facts[name]
        if facts.kind == "product":
            self._book.number(facts, [tensor for _, tensor in given.tensors])

    def _inputs(self, module: nn.Module, call: Call, given: outputs.Found) -> None:
        """See the tensors that the model is given."""
        for path, tensor in given.tensors:
            if not outputs.obstacle(tensor) and self._book.ledger.owner(tensor) is None:
                kind, axis = type(module).__name__, self._book.options.batch_axis
                site = Site("", kind, 0, call.number, path, "input", -1, axis, apart=call.apart)
                self._book.meet(site, tensor)

    def _facts_after(self, call: Call, module: nn.Module) -> ModuleFacts:
        """Count a call in a module's facts; what a lazy module is shows at the first."""
        facts = self._book.facts[call.name]
        if facts.calls == 0:
            facts.become(facts_of(call.name, module))
        facts.calls += graph_task() == -1
        facts.in_graph = facts.in_graph or call.in_graph
        return facts

    def _see(
        self, module: nn.Module, facts: ModuleFacts, call: Call, path: str, tensor: torch.Tensor, first: bool
    ) -> str:
        """Measure one tensor of an output, unless it has a site; return that one's module, or ""."""
        owner = self._book.ledger.owner(tensor)
        if owner is not None and self._book.keeps(owner):
            self._book.notice(tensor)
            facts.layer = facts.layer or owner.layer
            return owner.module or "input"
        site = self._site(module, facts, call, path, tensor, first)
        self._book.meet(site, tensor, call.saturated)
        facts.layer = facts.layer or site.layer
        return ""

    def _site(
        self, module: nn.Module, facts: ModuleFacts, call: Call, path: str, tensor: torch.Tensor, first: bool
    ) -> Site:
        """Return a site for a module's output; the first tensor of several is the output proper."""
        origin = self._book.ledger.find(tensor)
        source = None if origin is None else origin.site
        kind = TENSOR_OF.get(facts.kind, "output") if first else "output"
        site = Site(facts.name, facts.type, 0, call.number, path, kind, unit_axis_of(module, source))
        inherited = self._book.options.batch_axis if source is None else source.batch_axis
        site.batch_axis = batch_axis_of(module, tensor, first, inherited)
        site.apart = call.apart
        site.single = is_unbatched(module, tensor) or (source is not None and source.single)
        site.activation = (recognise(module) or "") if kind == "activation" else ""
        return self._book.situate(site, origin, facts)


def _silences(module: nn.Module, kind: str) -> str:
    """Return which functions inside a module are its own, see `Call.silent`."""
    if kind == "product":
        return "all" if type(module).__module__.startswith("torch.") else "products"
    return "all" if kind == "activation" else ""
