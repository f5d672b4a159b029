"""What may happen around and inside a call of one of torch's own small modules."""
# ruff: noqa: D102

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from models.case import Case, Probe, Step
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression, sequential

Hook = Callable[..., Any]


class Functions(TorchFunctionMode):
    """Lets every function pass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    """Lets every operation pass."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class UnderModes(Net):
    """Calls a layer under each sort of mode, and functions before, between and after."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        with Functions():
            x = torch.sigmoid(self.middle(x))
        x = self.act(self.middle(x))
        with Operations():
            x = self.last(torch.tanh(x))
        with Functions(), Operations():
            x = self.last(functional.gelu(x))
        return functional.relu(self.act(x))


class Mistaken(Net):
    """Calls a layer with a shape that it cannot take, and goes on otherwise."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        try:
            x = self.middle(x.T)
        except RuntimeError:
            x = torch.tanh(x)
        return self.last(functional.relu(x) * torch.sigmoid(self.act(x)))


class Interrupted(Net):
    """Is interrupted inside an activation, and goes on otherwise."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        try:
            x = self.act(x)
        except KeyboardInterrupt:
            x = self.middle(x)
        x = torch.tanh(self.last(x))
        return torch.sigmoid(self.middle(x))


def interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


def hooked_later(place: str, hook: Hook, before: bool = False) -> Step:
    """Return a step before which the user hangs a hook on a module."""

    def step(model: nn.Module, probe: Probe) -> Any:
        module = model.get_submodule(place)
        register = module.register_forward_pre_hook if before else module.register_forward_hook
        handle = register(hook)
        result = regression(model, probe)
        handle.remove()
        return result

    return step


def hooked(place: str, hook: Hook, build: Callable[[], nn.Module] = Net) -> Callable[[], nn.Module]:
    """Return what builds a model with a hook of the user's on a module."""

    def built() -> nn.Module:
        model = build()
        model.get_submodule(place).register_forward_hook(hook)
        return model

    return built


def squash_beside(module: nn.Module, args: Any, output: torch.Tensor) -> None:
    torch.tanh(output.detach() * 2.0)


def double_in_place(module: nn.Module, args: Any) -> None:
    args[0].mul_(2.0)


class Residual(Net):
    """Has a hook that adds an earlier signal to what an activation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.earlier: list[torch.Tensor] = []
        self.act.register_forward_hook(self.add_earlier)

    def add_earlier(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        """Return output + earlier."""
        return output + self.earlier.pop()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        self.earlier.append(h)
        return self.last(self.act(self.middle(h)))


class Nesting(Net):
    """Has a hook on an activation that calls a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.act.register_forward_hook(lambda module, args, output: self.middle(output))


class InThreads(Net):
    """Calls one layer in another thread, and functions in both."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, found = torch.tanh(self.first(x)), []
        thread = threading.Thread(target=lambda: found.append(self.act(self.middle(h))))
        thread.start()
        thread.join()
        return self.last(torch.sigmoid(found[0]))


class Twice(Net):
    """Calls a layer and an activation twice, the second time by keyword."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.middle(self.act(self.middle(x))))
        x = self.act(input=self.middle(input=x))
        return self.last(functional.gelu(x))


class Switching(Net):
    """Has gradients off for a part, and inference mode for another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            h = self.act(self.first(x))
        with torch.inference_mode():
            torch.tanh(self.act(self.last(x)))
        with torch.autocast("cpu", torch.bfloat16):
            z = self.act(self.middle(h))
        return torch.relu(self.middle(z.float()))


def given_another_forward(model: nn.Module, probe: Probe) -> Any:
    middle = model.get_submodule("middle")
    vars(model.act)["forward"] = lambda x: torch.relu(x) + middle(x)
    try:
        return regression(model, probe)
    finally:
        vars(model.act).pop("forward")


def parametrised(model: nn.Module, probe: Probe) -> Any:
    nn.utils.parametrizations.weight_norm(model.get_submodule("first"))
    return regression(model, probe)


class Subclassed(nn.Linear):
    """Is no longer torch's own."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(torch.tanh(input)))


class Slices(Net):
    """Gives an activation a view that is written to afterwards."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x).clone()
        a = self.act(h[:, :3])
        b = self.act(h[:, 3:])
        return self.last(torch.cat([a, b], 1))


def micro_batches(model: nn.Module, probe: Probe) -> torch.Tensor:
    losses = []
    for samples in (SAMPLES, 3):
        loss = loss_of(probe.output(model(probe.leaf(torch.randn(samples, FEATURES, requires_grad=True)))))
        loss.backward()
        losses.append(loss.detach())
    probe.end_step()
    return torch.stack(losses)


def wrapped(*places: str) -> Callable[[], nn.Module]:
    """Return what builds a model with full backward hooks, for which torch gives modules copies."""

    def build() -> nn.Module:
        model = Net()
        for place in places:
            model.get_submodule(place).register_full_backward_hook(lambda *args: None)
        return model

    return build


PARTS = (
    *(nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardtanh, nn.Sigmoid),
    *(nn.Softplus, nn.Softsign, lambda: nn.LayerNorm(FEATURES), lambda: nn.RMSNorm(FEATURES)),
    *(lambda: nn.BatchNorm1d(FEATURES), lambda: nn.GroupNorm(2, FEATURES), nn.Identity),
)

CASES = (
    Case("a layer alone", lambda: nn.Linear(FEATURES, 3), regression),
    Case("an activation alone", nn.Tanh, regression),
    Case("layers under modes of the user's", UnderModes, regression),
    Case("a layer that raises, caught", Mistaken, regression),
    Case("functions in a hook on a layer, later", Net, hooked_later("first", squash_beside)),
    Case("a hook that adds to an activation", Residual, regression, after_hooks=True),
    Case("a hook that calls a layer", Nesting, regression, after_hooks=True),
    Case("a layer in another thread", InThreads, regression),
    Case("layers called twice, micro-batches", Twice, micro_batches),
    Case("layers under no_grad, inference and autocast", Switching, regression, tolerance=1e-2),
    Case("a layer of a derived type", lambda: nn.Sequential(Subclassed(6, 5), nn.Tanh()), regression),
    Case("an activation on views", Slices, regression),
    Case("norms and activations", sequential(*PARTS), micro_batches),
)
ASIDE = (
    Case("functions in a hook on a layer", hooked("act", squash_beside), regression),
    Case(
        "a hook that writes to what a layer is given", Net, hooked_later("act", double_in_place, before=True)
    ),
    Case("a forward set on an activation, later", Net, given_another_forward),
    Case("a layer parametrised, later", Net, parametrised),
    Case("a full backward hook on an activation", wrapped("act"), regression),
    Case("full backward hooks on layers", wrapped("first", "last"), micro_batches),
)
"""Here the truth looks elsewhere: it knows no hooks, and lays a forward of its own over a module's."""
