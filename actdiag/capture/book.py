"""The book of a step: every tensor once, its gradient, and what is known of who made it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from actdiag.capture import outputs
from actdiag.capture.guard import Guard, Guards, from_signal
from actdiag.capture.hooks import Alone, Hook, graph_task, unwatched
from actdiag.capture.ledger import FEW, Entry, Ledger
from actdiag.capture.options import Options
from actdiag.capture.sites import START, UNCALLED, Count, ModuleFacts, Rank, Site

Key = tuple[str, int, str, str, int, bool]
APART = "forward passes under no_grad beside others in a step are left out, as validation"
MIXED = "forward passes with and without a gradient are added up in one row"
OTHER_TENSORS = "not selected: with tensors='activations' only activations are recorded"
VIEW = "it is a view of a tensor that was written to"


class GradientHook(Alone):
    """Waits for the gradient of one tensor, and numbers the backward passes through it, from 1."""

    __slots__ = ("_book", "_count", "_generation", "_site", "_task")

    def __init__(self, book: Book, site: Site) -> None:
        self._book, self._site, self._generation = book, site, book.generation
        self._task, self._count = -1, 0

    def __call__(self, gradient: torch.Tensor | None) -> None:
        """Hand on a gradient of the step that the tensor is of."""
        book = self._book
        if gradient is None or self._generation != book.generation or torch.compiler.is_compiling():
            return
        task = graph_task()
        if task != self._task:
            self._task, self._count = task, self._count + 1
        try:
            book.see_gradient(self._site, gradient, self._count)
        except BaseException:
            book.guards.heal()
            raise


class Book:
    """Keeps the sites of one step at a time, and the facts of modules and functions over all steps.

    Attributes:
        facts: what the modules table will say, by module or function site.
        options: of the recorder.
        modules: the names of modules; no function site has one of them.
        sites: everything seen in this step.
        called: products called in this step.
        weights: function site -> the parameter it multiplied by.
        notes: for the reader of the recording, in order.
        ledger: whose a tensor is.
        backward_seen: a backward pass reached a tensor since the forward pass began.
        differentiable: a tensor of this forward pass takes part in a graph.
        passes: forward passes of this step so far, each but the last with its backward pass.
        lock: held by whoever writes here.
        guards: those that are open.
        generation: counts the steps that were begun; a gradient of an earlier one is not this one's.
    """

    def __init__(self, facts: dict[str, ModuleFacts], options: Options) -> None:
        self.facts, self.options = facts, options
        self.modules = frozenset(facts)
        self.sites: dict[Key, Site] = {}
        self.called: set[str] = set()
        self.weights: dict[str, nn.Parameter] = {}
        self.notes: dict[str, None] = {}
        self.ledger = Ledger()
        self.backward_seen = self.differentiable = False
        self.passes = 0
        self._units: dict[Key, int] = {}
        self.lock = threading.RLock()
        self.guards = Guards()
        self._selected: dict[str, bool] = {}
        self._full = FEW
        self._handles: list[RemovableHandle] = []
        self._layers = self._current = self._order = self.generation = 0

    def take(self) -> tuple[list[Site], set[str]]:
        """End a step: return its sites and the products called in it, and begin the next."""
        with self.lock:
            sites, called = self._of_the_step(), self.called
            self.clear()
            return sites, called

    def _of_the_step(self) -> list[Site]:
        """Return the sites without those of passes under no_grad, where their module had others."""
        sites = list(self.sites.values())
        trained = {site.module for site in sites if not site.apart}
        kept = [site for site in sites if not (site.apart and site.module in trained)]
        if len(kept) < len(sites):
            self.note(APART)
        return kept

    @property
    def open(self) -> bool:
        """Return whether a pass that is no validation was seen since the last step."""
        return any(not site.apart for site in list(self.sites.values()))

    def clear(self) -> None:
        """Forget the step's tensors, and take the hooks off those that live on."""
        self.generation += 1
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.ledger.clear()
        self.sites, self.called = {}, set()
        self.backward_seen = self.differentiable = False
        self.passes = 0

    def prune(self) -> None:
        """Forget tensors that no longer live."""
        self.ledger.prune()
        if len(self._handles) >= self._full:
            self._handles = [handle for handle in self._handles if handle.hooks_dict_ref() is not None]
            self._full = 2 * len(self._handles) + FEW

    def guard(self, name: str) -> Guard:
        """Return a context for the tool's own work on a module or function."""
        return Guard(self, name)

    def lightly(self, name: str, work: Callable[..., None], *args: Any) -> None:
        """Do the tool's own work as `guard` lets it be done, but set no mode and no graph aside.

        The caller knows that no mode is on, and that the work makes no graph.
        """
        try:
            with self.lock:
                work(*args)
        except Exception as error:
            if from_signal(error):
                raise
            self.failed(name, error)

    def failed(self, name: str, error: Exception) -> None:
        """Say that something could not be measured."""
        text = f"could not be measured: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        self.note(f"{name or 'the model'} {text}")
        if name in self.facts:
            self.facts[name].reason = text

    def selects(self, name: str) -> bool:
        """Return whether a module or function is to be recorded."""
        if name not in self._selected:
            self._selected[name] = self.options.selects(name)
        return self._selected[name]

    def records(self, site: Site) -> bool:
        """Return whether a site's tensor is to be measured."""
        wanted = self.options.tensors == "all" or site.tensor == "activation"
        return wanted and self.selects(site.module)

    def keeps(self, owner: Site) -> bool:
        """Return whether a tensor stays its owner's: it was measured, or would be were it an activation."""
        return owner.forward is not None or (self.options.tensors != "all" and self.selects(owner.module))

    def note(self, text: str) -> None:
        """Tell the reader of the recording something, once."""
        self.notes[text] = None

    def number(self, facts: ModuleFacts, parents: Iterable[torch.Tensor]) -> None:
        """Number a product at its first call, and say which product it follows."""
        if not facts.layer:
            self._layers += 1
            facts.layer = self._layers
            known = [entry for tensor in parents if (entry := self.ledger.find(tensor)) is not None]
            if known:
                source = max(known, key=lambda entry: entry.site.rank)
                facts.follows, facts.joined = source.site.product, source.joined
        self._current = facts.layer
        self.called.add(facts.name)

    def situate(self, site: Site, origin: Entry | None, facts: ModuleFacts) -> Site:
        """Say how far along the signal's way a tensor's new site lies, and to which layer it belongs.

        Args:
            site: the new one.
            origin: what is known of the tensor, or of what it was made from.
            facts: of the module or function that made it.
        """
        self._order += 1
        source = None if origin is None else origin.site
        before = START if source is None else source.rank
        product, activated = facts.kind == "product", bool(site.activation)
        site.rank = Rank(before.activations + activated, before.products + product, self._order)
        if product:
            site.product, site.layer = facts.name, facts.layer
            site.fresh = site.tensor == "preactivation"
        elif origin is None or source is None:
            site.layer = self._current
        else:
            site.product, site.fresh = source.product, source.fresh and not activated
            site.joined = origin.joined
            site.layer = self.facts[site.product].layer if site.product else 0
        return site

    def meet(self, site: Site, tensor: torch.Tensor, saturated: Count | None = None) -> Site | None:
        """Fold a tensor into its site, and its gradient when that comes; return the site that has it."""
        site.choose_axes(tensor)
        if graph_task() != -1:
            return self._meet_again(site, tensor)
        site.units = site.units_of(tensor)
        if self.records(site):
            key = (site.module, site.call, site.path, site.tensor, site.units, site.apart)
            self._compare(key)
            site = self.sites.setdefault(key, site)
            site.see(tensor, saturated)
            if site.graph not in (None, tensor.requires_grad):
                self.note(f"{site.module or 'the model'}: {MIXED}")
            site.graph = tensor.requires_grad
            self._await_gradient(site, tensor)
        self.ledger.claim(tensor, site)
        return site

    def _compare(self, key: Key) -> None:
        """Note where a tensor has another number of units than before: that makes another row."""
        units = key[4]
        if self._units.setdefault((*key[:4], 0, key[5]), units) != units:
            self.note(f"{key[0] or 'the model'}: tensors with other numbers of units have rows of their own")

    def conclude(self, facts: ModuleFacts, seen: list[str], problems: list[str]) -> None:
        """Say in a module's facts what was observed of one call.

        Args:
            facts: of the module or function.
            seen: for each tensor that was measured, the module that owns it, "" for this one.
            problems: for each part that was not, what it is.
        """
        if not self.selects(facts.name):
            facts.reason = "not selected"
            return
        facts.observed = facts.observed or bool(seen)
        if seen and all(seen):
            facts.same_tensor_as = seen[0]
        elif seen and self.options.tensors != "all" and facts.kind != "activation":
            problems = [OTHER_TENSORS, *problems]
        if problems:
            facts.reason = "; ".join(problems)
        elif facts.reason == UNCALLED:
            facts.reason = "" if seen else "it returns no tensor"

    def _meet_again(self, fresh: Site, tensor: torch.Tensor) -> Site | None:
        """Find the site of a tensor that activation checkpointing computes again, inside backward.

        Where the first computation took part in no graph (reentrant checkpointing), the gradient passes
        through this one.
        """
        name = fresh.module
        same = [site for site in self.sites.values() if (site.module, site.path) == (name, fresh.path)]
        if not same and not self.facts[name].calls:
            self.note(f"{name or 'the model'} ran inside backward only: not recorded")
        return self.recognise(same, tensor)

    def recognise(self, candidates: Iterable[Site], tensor: torch.Tensor) -> Site | None:
        """Return the latest site that waits for a gradient and last saw this very tensor, now waiting here.

        Backward comes to the last call first, so that of two calls with the same values it is the latter.
        """
        for site in reversed(list(candidates)):
            waits = not site.differentiable and site.fits(tensor)
            if waits and site.is_again(site.state_of(tensor)):
                self.ledger.claim(tensor, site)
                self._await_gradient(site, tensor)
                return site
        return None

    def wrote(self, tensor: torch.Tensor) -> None:
        """Note that a tensor was written to; autograd then forgets other views of what it is a view of."""
        self.ledger.wrote(tensor)
        if tensor.is_inference() or tensor._base is None or not tensor.requires_grad:
            return
        for site in self.ledger.views_of(tensor._base):
            if site.differentiable:
                facts = self.facts[site.module]
                text = f"{outputs.where(site.path)} has a gradient that is lost: {VIEW}"
                known = [part for part in facts.reason.split("; ") if part not in ("", UNCALLED)]
                facts.reason = "; ".join(dict.fromkeys([*known, text]))

    def notice(self, tensor: torch.Tensor) -> None:
        """Wait for the gradient of a tensor that took part in no graph when it was met, and now does.

        So it is with what a custom autograd function or reentrant checkpointing returns.
        """
        owner = self.ledger.owner(tensor)
        if owner is not None and tensor.requires_grad and not owner.differentiable and owner.forward:
            self._await_gradient(owner, tensor)

    def _await_gradient(self, site: Site, tensor: torch.Tensor) -> None:
        site.differentiable = tensor.requires_grad
        if site.differentiable:
            self.differentiable = True
            self._handles.append(tensor.register_hook(GradientHook(self, site)))  # type: ignore[no-untyped-call]

    def await_backward(self, returned: Iterable[torch.Tensor]) -> None:
        """Wait for backward to begin at what the model returns, where not all that follows is recorded."""
        if self.options.tensors == "all" and not self.options.select:
            return
        for tensor in returned:
            if tensor.requires_grad:
                self.differentiable = True
                hook = Hook(self._backward_began, self.guards.heal)
                self._handles.append(tensor.register_hook(hook))  # type: ignore[no-untyped-call]

    def _backward_began(self, gradient: torch.Tensor | None) -> None:
        self.backward_seen = self.backward_seen or not torch.is_grad_enabled()

    def see_gradient(self, site: Site, gradient: torch.Tensor, number: int) -> None:
        """Fold the gradient of a tensor into its site; under create_graph it is part of computing the loss.

        Args:
            site: of the tensor.
            gradient: dLoss/dTensor.
            number: of the backward pass through the tensor.
        """
        self.backward_seen = self.backward_seen or not torch.is_grad_enabled()
        if outputs.is_plain(gradient) and unwatched():
            self.lightly(site.module, site.see_gradient, gradient, number)
            return
        with self.guard(site.module):
            why = outputs.obstacle(gradient)
            if why:
                self.note(f"the gradient of {site.module or 'the model'} is {why}")
                return
            site.see_gradient(gradient, number)
