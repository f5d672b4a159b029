"""What runs around a model, or inside it, that has hooks and modes of its own."""
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from models.case import Case, Probe, Step
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression


class Doubling(TorchFunctionMode):
    """Doubles what tanh returns."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function."""
        result = func(*args, **(kwargs or {}))
        return result * 2.0 if func is torch.exp else result


class Exponential(Net):
    """Switches a function mode of its own on and off in forward."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with Doubling():
            h = torch.exp(-self.first(x).square())
        return self.last(torch.tanh(h))


def inside(surroundings: Callable[[], AbstractContextManager[Any]]) -> Step:
    """Return a step within something."""

    def step(model: nn.Module, probe: Probe) -> torch.Tensor:
        with surroundings():
            loss: torch.Tensor = regression(model, probe)
        return loss

    return step


class Counted(Net):
    """Holds how much arithmetic its step took, and which operations."""

    def __init__(self) -> None:
        super().__init__()
        self.on = True
        self.register_buffer("flops", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


class Operations(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation."""
        self.count += 1
        return func(*args, **(kwargs or {}))


def counting(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Count operations: the tool's own must not be among them."""
    if not model.on:
        loss: torch.Tensor = regression(model, probe)
        return loss
    with FlopCounterMode(display=False) as counter, Operations() as operations:
        loss = regression(model, probe)
    model.flops.fill_(counter.get_total_flops())
    model.count.fill_(operations.count)
    return loss


def count_nothing(model: nn.Module) -> None:
    """Let the model's step run plainly."""
    model.on = False  # type: ignore[assignment]


@contextmanager
def packed_in_half() -> Iterator[None]:
    """Keep what backward needs in less precision."""
    with saved_tensors_hooks(lambda saved: saved.to(torch.bfloat16), lambda packed: packed.float()):
        yield


class Marked(torch.Tensor):
    """A tensor type of the user's own."""


def marked(model: nn.Module, probe: Probe) -> torch.Tensor:
    x = torch.randn(SAMPLES, FEATURES).as_subclass(Marked)
    output = probe.output(model(x))
    loss = loss_of(output)
    loss.backward()
    probe.end_step()
    return loss.detach().as_subclass(torch.Tensor)


def in_backward(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Take each parameter's step as soon as its gradient is there."""

    def update(parameter: torch.Tensor) -> None:
        with torch.no_grad():
            parameter.sub_(0.1 * parameter.grad)
        parameter.grad = None

    handles = [part.register_post_accumulate_grad_hook(update) for part in model.parameters()]
    loss: torch.Tensor = regression(model, probe)
    for handle in handles:
        handle.remove()
    return loss


def kept_gradient(model: nn.Module, probe: Probe) -> list[torch.Tensor]:
    """Keep the gradient of a hidden tensor, written to after the model returned it."""
    output = model(torch.randn(SAMPLES, FEATURES))
    output.retain_grad()
    loss = loss_of(output)
    loss.backward()
    probe.end_step()
    assert output.grad is not None
    return [loss.detach(), output.grad]


def written_to(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Write into the model's output before the loss."""
    output = model(torch.randn(SAMPLES, FEATURES))
    output += 1.0
    output[:, 0].mul_(2.0)
    loss = loss_of(output)
    loss.backward()
    probe.end_step()
    return loss.detach()


def forward_mode(model: nn.Module, probe: Probe) -> torch.Tensor:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(torch.randn(SAMPLES, FEATURES), torch.randn(SAMPLES, FEATURES))
        output = model(x)
        tangent = forward_ad.unpack_dual(output).tangent
        loss = loss_of(output)
    loss.backward()
    probe.end_step()
    return tangent.detach().clone()


def forward_itself(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Call forward and not the model."""
    loss = loss_of(probe.output(model.forward(torch.randn(SAMPLES, FEATURES))))
    loss.backward()
    probe.end_step()
    return loss.detach()


def target_network(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Evaluate between forward and backward, as value learning does."""
    value = model(torch.randn(SAMPLES, FEATURES))
    with torch.no_grad():
        target = model(torch.randn(SAMPLES, FEATURES))
    loss = (value - target).square().mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


def by_inputs(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Go back to some parameters only."""
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
    loss.backward(inputs=list(model.last.parameters()))
    probe.end_step()
    return loss.detach()


class Decorated(Net):
    """Has a forward set on the object, as wrappers of models do."""

    def __init__(self) -> None:
        super().__init__()
        plain = self.first.forward
        self.first.forward = lambda x: plain(x) * 2.0  # type: ignore[method-assign]


CASES = (
    Case("a function mode inside", Exponential, regression),
    Case("a device context", Net, inside(lambda: torch.device("cpu"))),
    Case("operations counted", Counted, counting, count_nothing),
    Case("anomaly detection", Net, inside(lambda: torch.autograd.set_detect_anomaly(True))),
    Case("saved tensors packed", Net, inside(packed_in_half)),
    Case("saved tensors on the CPU", Net, inside(save_on_cpu)),
    Case("a tensor type of the user's own", Net, marked),
    Case("updates in backward", Net, in_backward),
    Case("a gradient retained", Net, kept_gradient),
    Case("the model's output is written to", Net, written_to),
    Case("forward-mode gradients", Net, forward_mode),
    Case("forward called, not the model", Net, forward_itself, after_hooks=True),
    Case("evaluation between forward and backward", Net, target_network),
    Case("backward to some parameters", Net, by_inputs),
    Case("a forward set on the object", Decorated, regression),
    Case("DataParallel without devices", lambda: nn.DataParallel(Net()), regression),
)
