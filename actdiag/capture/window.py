"""What is running: the modules under way in each thread, and the function mode while there are any."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from actdiag.capture.hooks import graph_task

_CALL = nn.Module._call_impl.__code__


def _running(frame: FrameType | None) -> int:
    """Return how many modules are being called in a stack."""
    count = 0
    while frame is not None:
        count += frame.f_code is _CALL
        frame = frame.f_back
    return count


@dataclass(slots=True, eq=False)
class Call:
    """One call of a module that is under way.

    Attributes:
        name: the module's.
        number: which call of the module within the forward pass.
        silent: which functions inside are its own: "all" in a Linear or a ReLU, "products" in what is
            derived from a Linear.
        in_graph: gradients were on when it began.
        apart: gradients were off when the outermost call began: validation, a target, no part of a step.
        error: the exception that was being handled when it began.
        saturated: count taken on an activation's input.
        hushed: the function mode is off while it lasts.
        functions: how often each function was called in it so far.
    """

    name: str
    number: int
    silent: str = ""
    in_graph: bool = False
    apart: bool = False
    error: BaseException | None = None
    saturated: int | torch.Tensor | None = None
    hushed: bool = False
    functions: dict[str, int] | None = None

    def count(self, function: str) -> int:
        """Count a function that is called in it; return how often it was before."""
        self.functions = self.functions or {}
        before = self.functions.get(function, 0)
        self.functions[function] = before + 1
        return before


class FunctionMode(TorchFunctionMode):
    """Hands every torch function call to `watch(function, args, kwargs)`, which runs it."""

    def __init__(self, watch: Callable[..., Any]) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Pass the call on; a compiler that traces it sees the function alone."""
        if torch.compiler.is_compiling():
            return func(*args, **(kwargs or {}))
        return self.watch(func, args, kwargs or {})


class Window(threading.local):
    """The calls under way in this thread; the function mode is on exactly while there is one.

    A KeyboardInterrupt leaves no hook a chance to end its call: the stack tells which calls are over.

    Args:
        watch: what the function mode calls; None: no mode.
        threads: every thread's calls, by its identity.
    """

    def __init__(self, watch: Callable[..., Any] | None, threads: dict[int, list[Call]]) -> None:
        self.calls: list[Call] = []
        self._mode = None if watch is None else FunctionMode(watch)
        self._legible = True
        self._threads = threads
        threads[threading.get_ident()] = self.calls

    def open(self, call: Call) -> None:
        """Begin a call."""
        if not self.calls:
            self._legible = _running(sys._getframe(1)) > 0
        call.apart = self.calls[0].apart if self.calls else not call.in_graph
        self.calls.append(call)
        self.watch_functions()

    def hush(self, call: Call) -> bool:
        """Begin a call inside another one and take the function mode off meanwhile.

        Returns:
            Whether this was done: not where it is the first, nor where other modes are on.
        """
        modes = torch._C._len_torch_function_stack()
        if not self.calls or modes > 1 or torch._C._len_torch_dispatch_stack():
            return False
        if modes:
            if not self._is_on():
                return False
            torch._C._pop_torch_function_stack()
        call.hushed, call.apart, call.in_graph = True, self.calls[0].apart, torch.is_grad_enabled()
        self.calls.append(call)
        return True

    def watch_functions(self) -> None:
        """Put the function mode on the stack, where it is not there yet."""
        if self._mode is not None and not self._is_on():
            torch._C._push_on_torch_function_stack(self._mode)

    def end(self, name: str) -> Call | None:
        """End the innermost call of `name`, and whatever inside it was left open; None where none is.

        Inside backward the mode stays on, for what activation checkpointing computes again outside any
        module; autograd gives each of its nodes the stack of modes that was there when backward began.
        """
        if self.calls and self.calls[-1].name == name:
            call = self.calls.pop()
        else:
            places = [place for place, call in enumerate(self.calls) if call.name == name]
            if not places:
                return None
            call = self.calls[places[-1]]
            del self.calls[places[-1] :]
            self.resume()
        if not self.calls and graph_task() == -1:
            self._leave()
        return call

    def resume(self) -> None:
        """Put the function mode back where a hushed call ended, or was left open."""
        if self.calls and not self.calls[-1].hushed:
            self.watch_functions()

    def close(self) -> None:
        """End every call of this thread."""
        self.calls.clear()
        self._leave()

    def drop_stale(self, running: int) -> bool:
        """End all calls if fewer than `running` modules run in this thread; return whether that was so.

        Where somebody replaced torch's way to call a module the stack tells nothing.
        """
        stale = bool(self.calls) and self._legible and _running(sys._getframe(1)) < running
        if stale:
            self.close()
        return stale

    def elsewhere(self) -> set[str]:
        """Return the names of modules under way in other threads."""
        frames, here = sys._current_frames(), threading.get_ident()
        threads = self._threads.copy().items()
        others = [(frames.get(ident), calls) for ident, calls in threads if ident != here]
        return {call.name for frame, calls in others if _running(frame) for call in calls}

    def _leave(self) -> None:
        """Take the mode off the stack, wherever in it others have put theirs."""
        if not self._is_on():
            return
        above = []
        while torch._C._len_torch_function_stack():
            mode = torch._C._pop_torch_function_stack()
            if mode is self._mode:
                break
            above.append(mode)
        for mode in reversed(above):
            torch._C._push_on_torch_function_stack(mode)

    def _is_on(self) -> bool:
        modes = torch._C._len_torch_function_stack()
        if modes < 2:  # as nearly always, and every leaf asks
            return modes == 1 and torch._C._get_function_stack_at(0) is self._mode
        return any(torch._C._get_function_stack_at(place) is self._mode for place in range(modes))
