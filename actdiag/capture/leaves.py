"""Follow the calls of torch's own small modules, of which nets are made, at little cost."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as everywhere

from actdiag.capture import outputs
from actdiag.capture.activations import before_activation
from actdiag.capture.book import Book
from actdiag.capture.counts import Counts
from actdiag.capture.hooks import graph_task
from actdiag.capture.kinds import is_unbatched, unit_axis_of
from actdiag.capture.ledger import Entry
from actdiag.capture.sites import TENSOR_OF, UNCALLED, ModuleFacts, Site
from actdiag.capture.window import Call, Window
from actdiag.catalogue import recognise

LEAVES = frozenset(
    (
        *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
        *(nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
        *(nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Softplus, nn.Softsign),
    )
)
"""Modules that make a new tensor of one tensor, by functions that are their own affair."""


@dataclass(slots=True, eq=False)
class Leaf:
    """A module of one of these types, and what is known of it."""

    type: type[nn.Module]
    facts: ModuleFacts


class LeafWatch:
    """Turns the start and the end of an ordinary call of such a module into a site.

    While it runs the function mode is off, which costs as much as a small layer itself. What is out of the
    ordinary (several arguments, subclasses, writing in place, hooks and modes of the user's, a computation
    inside backward) is refused, and left to `ModuleWatch`, which sees the same in it, the long way.
    """

    def __init__(self, book: Book, window: Window, counts: Counts, modules: Mapping[str, nn.Module]) -> None:
        self._book, self._window, self._counts = book, window, counts
        self._leaves = {
            name: Leaf(type(module), book.facts[name])
            for name, module in modules.items()
            if type(module) in LEAVES
        }

    def started(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """React to the start of a call; return whether it is an ordinary one."""
        leaf = self._leaves.get(name)
        if leaf is None or kwargs or len(args) != 1 or type(args[0]) is not torch.Tensor:
            return False
        own = module.__dict__
        if type(module) is not leaf.type or own.get("inplace") or "forward" in own or graph_task() != -1:
            return False
        if len(own["_forward_hooks"]) != 1 or len(own["_forward_pre_hooks"]) != 1 or _is_wrapped(own):
            return False  # what hooks of the user's call, or put in an argument's place, is to be seen
        call = Call(name, 0, "all")
        if not self._window.hush(call):
            return False
        call.error = sys.exc_info()[1]
        self._book.lightly(name, self._given, leaf.facts, call, module, args[0])
        return True

    def _given(self, facts: ModuleFacts, call: Call, module: nn.Module, z: torch.Tensor) -> None:
        """Count a call, and look at what the module is given."""
        book = self._book
        call.number = self._counts.add(call)
        origin = book.ledger.find(z)
        if origin is not None and not origin.site.differentiable:
            book.notice(z)
        if facts.kind == "product":
            book.number(facts, (z,))
        elif facts.kind == "activation" and (act := recognise(module)) is not None:
            before_activation(book, call, facts, act, z)

    def ended(self, call: Call, module: nn.Module, args: tuple[Any, ...], output: Any) -> bool:
        """React to the end of such a call; return whether it ended in the ordinary way."""
        new = type(output) is torch.Tensor and outputs.is_plain(output)
        if not new or self._book.ledger.owner(output) is not None:
            return False
        self._book.lightly(call.name, self._see, self._leaves[call.name].facts, call, module, args[0], output)
        return True

    def _see(
        self, facts: ModuleFacts, call: Call, module: nn.Module, z: torch.Tensor, output: torch.Tensor
    ) -> None:
        """Measure the output."""
        facts.calls += 1
        facts.in_graph = facts.in_graph or call.in_graph
        site = self._site(facts, call, module, self._book.ledger.find(z), output)
        self._book.meet(site, output, call.saturated)
        facts.layer = facts.layer or site.layer
        if not facts.observed or facts.reason == UNCALLED:
            self._book.conclude(facts, [""], [])

    def _site(
        self, facts: ModuleFacts, call: Call, module: nn.Module, origin: Entry | None, output: torch.Tensor
    ) -> Site:
        """Return a site for the output, which comes from what the module was given."""
        kind = TENSOR_OF.get(facts.kind, "output")
        site = Site(facts.name, facts.type, 0, call.number, "", kind, -1, self._book.options.batch_axis)
        if origin is not None:
            site.descend(origin.site)
        site.unit_axis = unit_axis_of(module, None if origin is None else origin.site)
        site.single = site.single or is_unbatched(module, output)
        site.apart = call.apart
        if kind == "activation":
            site.activation = recognise(module) or ""
        return self._book.situate(site, origin, facts)


def _is_wrapped(own: Mapping[str, Any]) -> bool:
    """Return whether full backward hooks make torch give a module copies of its arguments."""
    return bool(
        own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or everywhere._global_backward_hooks
        or everywhere._global_backward_pre_hooks
    )
