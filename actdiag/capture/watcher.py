"""Watch a model run: one place that hooks and the function mode report to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from actdiag.capture.book import Book
from actdiag.capture.calls import FunctionWatch
from actdiag.capture.counts import Counts
from actdiag.capture.leaves import LeafWatch
from actdiag.capture.modules import ModuleWatch
from actdiag.capture.options import Options
from actdiag.capture.sites import ModuleFacts, Site
from actdiag.capture.window import Window

TRACED = "torch.jit.trace ran the model while attached: that run was not recorded"


def _nothing() -> None:
    """Do nothing."""


class Watcher:
    """Passes on what starts, ends and is called, while a step is recorded.

    Attributes:
        book: what was seen.
        idle: nothing is recorded in this step.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], facts: dict[str, ModuleFacts], options: Options
    ) -> None:
        self.book = Book(facts, options)
        self.idle = False
        self._window = Window(None if options.passive else self.function, {})
        self._at_end: dict[str, Callable[[], None]] = {}
        self._counts = Counts(self.book)
        self._leaves = LeafWatch(self.book, self._window, self._counts, modules)
        self._modules = ModuleWatch(self.book, self._window, self._counts)
        self._functions = FunctionWatch(self.book, self._window)

    def take(self) -> tuple[list[Site], set[str]]:
        """End a step: return its sites and the products called in it."""
        with self.book.lock:
            self._counts.clear()
            return self.book.take()

    def close(self, removals: Mapping[str, Callable[[], None]]) -> None:
        """Stop watching for good.

        Args:
            removals: module -> what takes its last hook off; where another thread is inside the module, that
                is left until its call ends.
        """
        self.take()
        self.idle = True
        self._window.close()
        elsewhere = self._window.elsewhere()
        for name, remove in removals.items():
            if name in elsewhere:
                self._at_end[name] = remove
            else:
                remove()

    def started(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """React to the start of a module's call."""
        if torch._C._get_tracing_state() is not None:
            self.book.note(TRACED)
        elif not self.idle and not self._leaves.started(name, module, args, kwargs):
            self._modules.started(name, module, args, kwargs)

    def ended(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """React to the end of a module's call."""
        call = self._window.end(name)
        if self._at_end:
            self._at_end.pop(name, _nothing)()
        if call is None:
            return
        try:
            ordinary = call.hushed and not self.idle and self._leaves.ended(call, module, args, output)
        finally:
            if call.hushed:
                self._window.resume()
        if not (ordinary or self.idle):
            self._modules.ended(call, module, args, kwargs, output)

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a torch function."""
        if self.idle:
            return function(*args, **kwargs)
        try:
            return self._functions.run(function, args, kwargs)
        except BaseException:
            self.book.guards.heal()
            raise
