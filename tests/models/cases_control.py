"""Control flow: exceptions, hooks of the user's own, transforms, names, changing models, many modules."""
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from models.case import Case, Probe
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression


class Failing(Net):
    """Raises in the middle of a forward when asked to."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error, self.fails = error, True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.middle(torch.tanh(self.first(x))))
        if self.fails:
            raise self.error("odd input")
        return self.last(h)


def failing(model: nn.Module, probe: Probe) -> None:
    regression(model, probe)


def failing_then_training(model: nn.Module, probe: Probe) -> torch.Tensor:
    try:
        model(torch.randn(SAMPLES, FEATURES))
    except (KeyboardInterrupt, ValueError):
        probe.end_step()
    model.fails = False  # type: ignore[assignment]
    loss: torch.Tensor = regression(model, probe)
    return loss


class Catching(Net):
    """Catches what a module inside it raises."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Failing(ValueError)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            x = self.inner(x)
        except ValueError:
            x = torch.tanh(self.first(x))
        return torch.relu(self.last(x))


def wrong_shape(model: nn.Module, probe: Probe) -> None:
    model(torch.randn(SAMPLES, FEATURES + 1))


def hooked(after: bool) -> Callable[[nn.Module, Probe], torch.Tensor]:
    """Return a step with hooks of the user's own, added in the step or found there."""

    def step(model: nn.Module, probe: Probe) -> torch.Tensor:
        if after:
            add_hooks(model)
        loss: torch.Tensor = regression(model, probe)
        return loss

    return step


def add_hooks(model: nn.Module) -> None:
    model.first.register_forward_hook(lambda module, args, output: None)
    model.middle.register_forward_pre_hook(lambda module, args: (args[0] * 2.0,))
    model.middle.register_full_backward_hook(lambda module, given, gradient: None)
    model.last.register_full_backward_pre_hook(lambda module, gradient: (gradient[0] * 2.0,))
    model.first.weight.register_hook(lambda gradient: gradient * 0.5)


class Chain(Net):
    """Uses every module, and something after the last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(self.middle(self.act(self.first(x))))) * 2.0


def with_hooks() -> nn.Module:
    model = Chain()
    add_hooks(model)
    return model


def replacing() -> nn.Module:
    """Return a model with hooks that replace an output, and inputs by keyword."""
    model = Chain()
    model.first.register_forward_hook(lambda module, args, output: output * 3.0)
    model.act.register_forward_hook(lambda module, args, output: output.clamp(max=0.5))
    return model


class StopForwardError(Exception):
    """All that was wanted is there."""


class Stopping(Chain):
    """Has a hook that ends a forward as soon as its feature is there."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = True
        self.middle.register_forward_hook(stop)


def stop(module: nn.Module, args: Any, output: torch.Tensor) -> None:
    """Raise, with the feature."""
    raise StopForwardError(output)


def stopped(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Train on a feature, and then on the whole."""
    try:
        model(torch.randn(SAMPLES, FEATURES))
    except StopForwardError as error:
        loss = loss_of(error.args[0])
        loss.backward()
        probe.end_step()
    model.middle._forward_hooks.pop(next(iter(model.middle._forward_hooks)))
    second: torch.Tensor = regression(model, probe)
    return torch.stack([loss.detach(), second])


class Named(nn.Module):
    """Has modules with odd names, each used."""

    NAMES = (
        "a:relu#0",
        "with space",
        "ünïcode ☃",
        "x" * 300,
        "NA",
        "nan",
        "0",
        "#0",
        ":",
        "a, b; c",
        "</script>",
        "'\"\\",
    )

    def __init__(self) -> None:
        super().__init__()
        for name in self.NAMES:
            self.add_module(name, nn.Linear(FEATURES, FEATURES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = torch.relu(layer(x))
        return x


class Clash(nn.Module):
    """Has a module whose name is that of a function inside another."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Scale()
        self.add_module("a:relu#0", nn.Linear(FEATURES, FEATURES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.get_submodule("a:relu#0")(self.a(x)) * 2.0


class Scale(nn.Module):
    """Calls a function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x * 3.0)


def very_many() -> nn.Module:
    pairs = [part for _ in range(1000) for part in (nn.Linear(3, 3), nn.Tanh())]
    return nn.Sequential(nn.Linear(FEATURES, 3), *pairs)


class Shared(nn.Module):
    """Holds one module under three names, inside other modules too."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(FEATURES, FEATURES)
        self.again = self.part
        self.chain = nn.Sequential(self.part, nn.ReLU(), self.part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.chain(self.part(x)))


class Branching(Net):
    """Goes another way for every batch, by its data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        if h.mean() > 0:
            h = self.middle(h)
        while h.abs().max() > 0.2:
            h = torch.tanh(self.middle(h) * 0.3)
        return self.last(h)


class Growing(Chain):
    """Uses one more module where it has one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.more(super().forward(x)) if hasattr(self, "more") else super().forward(x)


class Recursive(nn.Module):
    """Calls itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
        h = torch.tanh(self.layer(x))
        return self(h, depth - 1) + x if depth else h


def changed(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Replace modules and add one after attaching."""
    model.middle = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.SiLU())
    model.last = nn.Linear(FEATURES, 2)
    model.more = nn.ReLU()
    loss: torch.Tensor = regression(model, probe)
    return loss


def removed(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Take a parameter and a module that is never called away after attaching."""
    del model.slope, model.middle
    loss: torch.Tensor = regression(model, probe)
    return loss


def mapped(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Per-sample gradients by torch.func, then a plain training step."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss_at(parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = functional_call(model, parameters, (x.unsqueeze(0),))
        return output.square().mean()

    gradients = vmap(grad(loss_at), (None, 0))(parameters, torch.randn(SAMPLES, FEATURES))
    probe.end_step()
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


def called_functionally(model: nn.Module, probe: Probe) -> list[torch.Tensor]:
    parameters = {name: torch.randn_like(part).requires_grad_() for name, part in model.named_parameters()}
    loss = loss_of(probe.output(functional_call(model, parameters, (torch.randn(SAMPLES, FEATURES),))))
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    probe.end_step()
    return [loss.detach(), *(gradient for gradient in gradients if gradient is not None)]


def deterministic(model: nn.Module, probe: Probe) -> torch.Tensor:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        loss: torch.Tensor = regression(model, probe)
    finally:
        torch.use_deterministic_algorithms(before)
    return loss


class Drawing(Net):
    """Draws random numbers in many ways."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.alpha = nn.Dropout(0.5), nn.AlphaDropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(torch.rrelu(self.first(x), training=True)) + torch.randn_like(x)
        return nn.functional.dropout(self.alpha(self.last(x)), 0.3)


def modes(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Train, evaluate and train again, with the flags left as they fall."""
    losses = [regression(model, probe)]
    with torch.no_grad():
        losses.append(loss_of(model.eval()(torch.randn(SAMPLES, FEATURES))))
    probe.end_step()
    model.act.train()
    return torch.stack([*losses, regression(model, probe)])


def inner_only(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Call submodules and never the model."""
    loss = loss_of(probe.output(model.last(torch.relu(model.first(torch.randn(SAMPLES, FEATURES))))))
    loss.backward()
    probe.end_step()
    return loss.detach()


def never(model: nn.Module, probe: Probe) -> Any:
    probe.end_step()


CASES = (
    Case("exception in forward", lambda: Failing(ValueError), failing, raises=ValueError),
    Case("interrupt in forward", lambda: Failing(KeyboardInterrupt), failing, raises=KeyboardInterrupt),
    Case("training after an exception", lambda: Failing(ValueError), failing_then_training),
    Case("training after an interrupt", lambda: Failing(KeyboardInterrupt), failing_then_training),
    Case("exception caught inside", Catching, regression),
    Case("wrong shape", Net, wrong_shape, raises=RuntimeError),
    Case("hooks of the user's own", with_hooks, hooked(False)),
    Case("hooks of the user's own, added later", Chain, hooked(True)),
    Case("hooks that replace the output", replacing, regression, after_hooks=True),
    Case("a hook that stops the forward", Stopping, stopped),
    Case("odd names", Named, regression),
    Case("a module named like a function", Clash, regression),
    Case("two thousand modules", very_many, regression),
    Case("shared modules", Shared, regression),
    Case("data-dependent flow", Branching, regression),
    Case("a module that calls itself", Recursive, regression),
    Case("modules replaced and added", Growing, changed),
    Case("parameters and modules taken away", Net, removed),
    Case("vmap", lambda: nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh()), mapped),
    Case("functional_call", lambda: nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh()), called_functionally),
    Case("deterministic algorithms", Net, deterministic),
    Case("random numbers", Drawing, regression),
    Case("training and evaluation", Chain, modes),
    Case("only submodules called", Net, inner_only),
    Case("nothing called", Net, never),
)
