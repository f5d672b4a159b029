"""Backward passes: several, of second order, through other functions; and passes that never come."""
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.case import Case, Probe
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression, sequential


def smooth() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 1))


def micro_batches(model: nn.Module, probe: Probe) -> torch.Tensor:
    total = torch.zeros(())
    for samples in (7, 3, 1):
        loss = loss_of(probe.output(model(torch.randn(samples, FEATURES)))) * (samples / 11)
        loss.backward()
        total += loss.detach()
    probe.end_step()
    return total


def two_forwards(model: nn.Module, probe: Probe) -> torch.Tensor:
    first = probe.output(model(torch.randn(SAMPLES, FEATURES)))
    second = probe.output(model(torch.randn(SAMPLES + 2, FEATURES)))
    loss = loss_of((first, second))
    loss.backward()
    probe.end_step()
    return loss.detach()


def backward_twice(model: nn.Module, probe: Probe) -> torch.Tensor:
    output = probe.output(model(torch.randn(SAMPLES, FEATURES)))
    loss = loss_of(output)
    loss.backward(retain_graph=True)
    (output.mean() * 3.0).backward()
    probe.end_step()
    return loss.detach()


def once_too_often(model: nn.Module, probe: Probe) -> None:
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
    loss.backward()
    loss.backward()


def gradient_penalty(model: nn.Module, probe: Probe) -> torch.Tensor:
    x = probe.leaf(torch.randn(SAMPLES, FEATURES, requires_grad=True))
    output = probe.output(model(x))
    (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    loss = output.mean() + (slope.norm(dim=1) - 1.0).square().mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


def physics(model: nn.Module, probe: Probe) -> torch.Tensor:
    """U'' = -u inside, u = 0 on the boundary."""
    x = probe.leaf(torch.rand(SAMPLES, FEATURES, requires_grad=True))
    u = model(x)
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    loss = (second.sum(1, keepdim=True) + u).square().mean() + model(torch.zeros(4, FEATURES)).square().mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


def create_graph(model: nn.Module, probe: Probe) -> list[torch.Tensor]:
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
    loss.backward(create_graph=True)
    probe.end_step()
    gradients = [
        parameter.grad.detach().clone() for parameter in model.parameters() if parameter.grad is not None
    ]
    for parameter in model.parameters():  # breaks the cycle of parameter and gradient
        parameter.grad = None
    return [loss.detach(), *gradients]


def line_search(model: nn.Module, probe: Probe) -> torch.Tensor:
    x = torch.randn(SAMPLES, FEATURES)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=3, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = loss_of(probe.output(model(x)))
        loss.backward()
        return loss

    loss = optimiser.step(closure)
    probe.end_step()
    return loss.detach()


class Adversaries(nn.Module):
    """A generator and a discriminator, which never run in one forward."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, FEATURES))
        self.judge = nn.Sequential(nn.Linear(FEATURES, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))


def game(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Judge real and made samples, go back; then make, judge and go back through both."""
    made = model.make(torch.randn(SAMPLES, 4))
    real, fake = model.judge(torch.randn(SAMPLES, FEATURES)), model.judge(made.detach())
    (nn.functional.softplus(-real) + nn.functional.softplus(fake)).mean().backward()
    loss = nn.functional.softplus(-model.judge(made)).mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


def judged(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Attach to the judge alone: called twice before backward."""
    real, fake = model(torch.randn(SAMPLES, FEATURES)), model(torch.randn(SAMPLES, FEATURES) - 1.0)
    loss = (nn.functional.softplus(-probe.output(real)) + nn.functional.softplus(probe.output(fake))).mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


class Straight(torch.autograd.Function):
    """Rounds forward, and lets the gradient through, doubled."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Round."""
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Double."""
        return gradient * 2.0


class Rounding(Net):
    """Uses a function of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(Straight.apply(self.first(x))))


class Detached(Net):
    """Stops the gradient, and has a part without graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = torch.tanh(self.middle(x))
        return self.last(self.act(self.first(x)).detach()) - target


def without_gradients(model: nn.Module, probe: Probe) -> torch.Tensor:
    with torch.no_grad():
        output = [probe.output(model(torch.randn(SAMPLES, FEATURES))) for _ in range(2)]
    probe.end_step()
    return torch.stack([part.sum() for part in output])


def inference(model: nn.Module, probe: Probe) -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = probe.output(model(torch.randn(SAMPLES, FEATURES)))
        total = output.sum().item()
    probe.end_step()
    return torch.tensor(total)


def overwriting() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(inplace=True), nn.Linear(8, 8), Overwrite())


class Overwrite(nn.Module):
    """Overwrites its input by function, and adds to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.relu_()
        x += 1.0
        return x


class Forces(nn.Module):
    """Returns an energy and its slope, as models of molecules do."""

    def __init__(self) -> None:
        super().__init__()
        self.energy, self.graph = smooth(), True

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        energy = self.energy(torch.tanh(x))
        (slope,) = torch.autograd.grad(energy.sum(), x, create_graph=self.graph, retain_graph=True)
        return energy, -slope


def on_forces(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss: torch.Tensor = regression(model, probe)
    return loss


def on_energy(model: nn.Module, probe: Probe) -> torch.Tensor:
    model.graph = False  # type: ignore[assignment]
    losses = [on_forces(model, probe) for _ in range(2)]
    return torch.stack(losses)


class Implicit(Net):
    """Solves for the gradient in backward, as equilibrium models do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)

        def solve(gradient: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return gradient + 0.1 * torch.relu(self.middle(gradient))

        out = self.act(h) * 2.0
        out.register_hook(solve)
        return self.last(out)


class Calling(Net):
    """Does something around its own call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Double what the model returns."""
        return super().__call__(*args, **kwargs) * 2.0


def several_steps(model: nn.Module, probe: Probe) -> torch.Tensor:
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
        loss.backward()
        probe.end_step()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def left_open(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
    loss.backward()
    return loss.detach()


CASES = (
    Case("micro-batches", smooth, micro_batches),
    Case("two forwards before backward", Net, two_forwards),
    Case("backward twice", Net, backward_twice),
    Case("gradient penalty", smooth, gradient_penalty),
    Case("physics-informed loss", smooth, physics),
    Case("backward with create_graph", smooth, create_graph),
    Case("LBFGS", smooth, line_search),
    Case("adversaries", Adversaries, game),
    Case("a discriminator called twice", lambda: Adversaries().judge, judged),
    Case("custom autograd function", Rounding, regression),
    Case("detached and without graph", Detached, regression),
    Case("no_grad", Net, without_gradients),
    Case("inference mode", overwriting, inference),
    Case("no_grad, in place", overwriting, without_gradients),
    Case("several steps", smooth, several_steps),
    Case("every second step", smooth, several_steps, options=lambda model: {"every": 2}),
    Case("forces", Forces, on_forces),
    Case("forces without their graph", Forces, on_energy),
    Case("a module called in a gradient's hook", Implicit, regression),
    Case("a call of its own", Calling, regression),
    Case("backward once too often", smooth, once_too_often, raises=RuntimeError),
    Case("a step left open", sequential(lambda: nn.Linear(FEATURES, 4), nn.GELU), left_open),
)
