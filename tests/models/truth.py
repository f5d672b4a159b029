"""The truth about a training step, had without hooks: wrapped forwards, copies handed on, plain autograd.

Each module's output is kept, and a copy is handed on in its place, so that no later write can reach what is
kept. Just before a backward pass `torch.autograd.grad` gives the gradient of everything kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import nn

from models import functions
from models.figures import Array, array
from models.walk import rebuilt, tensors_in

ACTIVATIONS = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.Softsign,
    nn.Mish,
)
PRODUCTS = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)


@dataclass(eq=False)
class Kept:
    """One version of a tensor as a module or function returned it.

    Attributes:
        step, module, call, path: where; a row says the same.
        tensor: input, preactivation, activation or output.
        values: (count,) float64; None where a tensor has none (meta, vmap, sparse, complex).
        alias: the first to return this very version, None where it is this one.
        handle: the tensor in the graph, until the step ends.
        gradients: one array per backward pass that reached it.
        apart: of a forward pass that was under no_grad as a whole.
    """

    step: int
    module: str
    call: int
    path: str
    tensor: str
    values: Array | None
    alias: Kept | None = None
    handle: torch.Tensor | None = None
    gradients: list[Array] = field(default_factory=list)
    apart: bool = False

    @property
    def owner(self) -> Kept:
        """Return the first to return this version."""
        return self if self.alias is None else self.alias.owner


@dataclass
class Running:
    """A module that is under way."""

    name: str
    call: int
    kind: str
    functions: Counter[str] = field(default_factory=Counter)


@dataclass
class Truth:
    """What there was to be measured.

    Attributes:
        gradient_scale: by which the graph's gradients are larger than the true ones.
        after_hooks: look at what modules return after the user's own hooks.
        every: look at every so many steps.
        kept: every tensor version that a module or a known function returned, and the inputs.
        calls: module -> how often it returned.
        weights: function with a product -> the parameter in it.
        model, modules: as they were when the run began.
    """

    gradient_scale: float = 1.0
    after_hooks: bool = False
    every: int = 1
    kept: list[Kept] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    step: int = 0
    model: nn.Module = field(default_factory=nn.Module)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list)
    _numbers: Counter[str] = field(default_factory=Counter)
    _handed: dict[int, tuple[torch.Tensor, int, Kept]] = field(default_factory=dict)
    _copies: dict[int, tuple[torch.Tensor, int, torch.Tensor]] = field(default_factory=dict)
    _wrapped: dict[nn.Module, str] = field(default_factory=dict)
    _patched: dict[Any, Any] = field(default_factory=dict)
    _counted: dict[bool, Counter[str]] = field(default_factory=lambda: {True: Counter(), False: Counter()})
    _apart: bool = False
    _passed: bool = False
    _pending: bool = False
    _busy: bool = False

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Watch a model's modules, the known functions and the backward passes."""
        with ExitStack() as stack:
            for patch in functions.patches(self):
                original, _ = patch.get_original()
                self._patched[original] = stack.enter_context(patch)
            for name in ("backward", "grad"):
                original = getattr(torch.autograd, name)
                stack.enter_context(mock.patch.object(torch.autograd, name, self._pass(name, original)))
            self.model, self.modules = model, dict(model.named_modules())
            self._wrap_all()
            try:
                yield
            finally:
                self._unwrap_all()

    def end_step(self) -> None:
        """End a training step; a module's calls under no_grad are no part of it where it has others."""
        trained = {kept.module for kept in self.kept if kept.step == self.step and not kept.apart}
        gone = [k for k in self.kept if k.step == self.step and k.apart and k.module in trained]
        self.kept = [kept for kept in self.kept if kept not in gone]
        for kept in self.kept:
            kept.handle = None
        self._handed.clear()
        self._copies.clear()
        self._begin_pass()
        self.step += 1

    def _begin_pass(self) -> None:
        self._counted[False].clear()
        self._passed = self._pending = False

    # modules

    def _wrap_all(self) -> None:
        attribute = "_call_impl" if self.after_hooks else "forward"
        for name, module in self.modules.items():
            self._wrapped[module] = attribute
            vars(module)[attribute] = self._watched(name, module, getattr(module, attribute))
            held = vars(module).get("activation")  # a Transformer layer's, taken from torch long ago
            if held in self._patched:
                vars(module)["activation"] = self._patched[held]

    def _unwrap_all(self) -> None:
        for module, attribute in self._wrapped.items():
            vars(module).pop(attribute, None)
        self._wrapped.clear()

    def _watched(self, name: str, module: nn.Module, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if recomputing() or self.step % self.every:
                return original(*args, **kwargs)
            if not self._running:
                self._begin()
            running = Running(name, self._numbers[name], kind_of(module))
            self._numbers[name] += 1
            if module is self.model:
                self._keep_inputs(running.call, args, kwargs)
            if running.kind == "activation" and args:
                self.feed(name, running.call, args[0], getattr(module, "inplace", False))
            self._running.append(running)
            try:
                output = original(*args, **kwargs)
            finally:
                self._running.pop()
            self.calls[name] += 1
            tensors = iter(
                [{"product": "preactivation", "activation": "activation"}.get(running.kind, "output")]
            )
            return rebuilt(
                output, lambda path, part: self.keep(name, running.call, path, next(tensors, "output"), part)
            )

        return forward

    def _begin(self) -> None:
        """Begin a forward pass, unless an earlier one still waits for its backward pass."""
        self._apart = not torch.is_grad_enabled()
        self._numbers = self._counted[self._apart]
        if self._apart:
            self._numbers.clear()
        elif self._passed or not self._pending:
            self._begin_pass()

    def _keep_inputs(self, call: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found = list(tensors_in(args)) + list(tensors_in(kwargs))
        for path, tensor in found:
            if tensor.is_floating_point() and self.owner(tensor) is None:
                self._note(tensor, tensor, "", call, "" if len(found) == 1 else path, "input")

    def feed(self, module: str, call: int, z: Any, overwritten: bool) -> None:
        """Note what goes into a known activation; keep it, before it is overwritten, if it is no module's."""
        if not isinstance(z, torch.Tensor) or not z.is_floating_point():
            return
        kept = self.owner(z)
        if kept is not None:
            kept.owner.tensor = "preactivation" if kept.owner.tensor == "output" else kept.owner.tensor
        elif overwritten and z.requires_grad and torch.is_grad_enabled():
            before = z.clone()
            z.copy_(before)
            self._note(before, z, module, call, "", "preactivation")
        else:
            self._note(z, z, module, call, "", "preactivation")

    # tensors

    def keep(self, module: str, call: int, path: str, tensor: str, value: torch.Tensor) -> torch.Tensor:
        """Keep a tensor version and return a copy of it."""
        if not (value.is_floating_point() or value.is_complex()):
            return value
        original, version, copied = self._copies.get(id(value), (None, -1, value))
        if original is not value or version != version_of(value) or value.is_inference():
            copied = value.clone() if measurable(value) else value
            self._copies[id(value)] = value, version_of(value), copied
        self._note(value, copied, module, call, path, tensor)
        return copied

    def keep_in_place(self, module: str, call: int, tensor: str, value: torch.Tensor) -> None:
        """Keep a tensor version that is handed on itself."""
        self._note(value, value, module, call, "", tensor)

    def owner(self, tensor: torch.Tensor) -> Kept | None:
        """Return what was kept of this very version of a tensor."""
        handed, version, kept = self._handed.get(id(tensor), (None, -1, None))
        if handed is not tensor or kept is None or version != version_of(tensor):
            return None
        if tensor.is_inference() and (kept.values is None or (array(tensor) != kept.values).any()):
            return None
        return kept

    def _note(
        self, value: torch.Tensor, handed: torch.Tensor, module: str, call: int, path: str, tensor: str
    ) -> None:
        alias = self.owner(value)
        values = array(value) if measurable(value) else None
        handle = value if value.requires_grad and values is not None else None
        self._pending = self._pending or handle is not None
        kept = Kept(self.step, module, call, path, tensor, values, alias, handle, apart=self._apart)
        self.kept.append(kept)
        for known in (value, handed):
            self._handed[id(known)] = (known, version_of(known), kept)

    # functions

    @property
    def innermost(self) -> Running | None:
        """Return the innermost running module; None outside the model, in a function or in backward."""
        return None if self._busy or recomputing() or not self._running else self._running[-1]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Look at no function that is called inside."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def site(self, running: Running, function: str) -> str:
        """Return the name of a function called in a module."""
        number = running.functions[function]
        running.functions[function] += 1
        name = f"{running.name}:{function}#{number}"
        return f"{name}'" if name in self.modules else name

    # backward

    def _pass(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if self._busy or recomputing():
                return original(tensors, *args, **kwargs)
            with self.alone():
                self._differentiate(name, tensors, args, kwargs)
            self._passed = self._passed or not kwargs.get("create_graph")
            return original(tensors, *args, **kwargs)

        return backward

    def _differentiate(self, name: str, tensors: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = kwargs.get("inputs")
        if name == "grad":
            inputs, args = (args[0], args[1:]) if args else (kwargs["inputs"], args)
        seeds = args[0] if args else kwargs.get("grad_outputs", kwargs.get("grad_tensors"))
        handled = [kept for kept in self.kept if kept.handle is not None]
        if inputs is not None:
            handled = [kept for kept in handled if _leads_to(kept.handle, inputs)]
        if not handled:
            return
        retained = [(tensor, tensor.grad) for tensor, _, _ in self._handed.values() if _retains(tensor)]
        gradients = grad(tensors, [kept.handle for kept in handled], seeds)
        for tensor, before in retained:
            tensor.grad = before
        for kept, gradient in zip(handled, gradients, strict=True):
            if gradient is not None:
                kept.gradients.append(array(gradient) / self.gradient_scale)


_grad = torch.autograd.grad


def grad(outputs: Any, inputs: Sequence[Any], seeds: Any) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients; the graph stays."""
    return _grad(outputs, inputs, seeds, retain_graph=True, allow_unused=True)


def _retains(tensor: torch.Tensor) -> bool:
    return tensor.requires_grad and not tensor.is_leaf and tensor.retains_grad


def _leads_to(tensor: torch.Tensor | None, inputs: Any) -> bool:
    assert tensor is not None
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    return any(found is not None for found in grad(tensor, inputs, torch.ones_like(tensor)))


def kind_of(module: nn.Module) -> str:
    """Return product, activation or other."""
    if isinstance(module, PRODUCTS):
        return "product"
    if isinstance(module, nn.Softplus) and module.beta != 1:
        return "other"
    if isinstance(module, (nn.LeakyReLU, nn.PReLU, nn.ELU)):
        return "activation"
    hardtanh = type(module) is nn.Hardtanh and (module.min_val, module.max_val) == (-1.0, 1.0)
    return "activation" if hardtanh or type(module) in ACTIVATIONS else "other"


def measurable(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has numbers to compare."""
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor) or tensor.is_nested or tensor.is_quantized:
        return False
    return tensor.is_floating_point() and tensor.layout == torch.strided and tensor.device.type != "meta"


def version_of(tensor: torch.Tensor) -> int:
    """Return how often a tensor was written to; 0 where that is not known."""
    return 0 if tensor.is_inference() else tensor._version


def recomputing() -> bool:
    """Return whether a backward pass is running."""
    return torch._C._current_graph_task_id() != -1
