"""What a model is given: shapes, keywords, containers, and the same tensor again."""
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.case import Case, Probe, Step
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression, sequential, trained_on


class Keywords(Net):
    """Takes keywords only."""

    def forward(self, *, signal: torch.Tensor, gate: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return super().forward(signal) * gate * scale


def by_keyword(model: nn.Module, probe: Probe) -> torch.Tensor:
    signal = probe.leaf(torch.randn(SAMPLES, FEATURES, requires_grad=True))
    loss = loss_of(probe.output(model(gate=torch.rand(SAMPLES, 1), signal=signal, scale=0.5)))
    loss.backward()
    probe.end_step()
    return loss.detach()


class One(Net):
    """Takes one keyword."""

    def forward(self, *, signal: torch.Tensor) -> torch.Tensor:
        return super().forward(signal)


def by_one_keyword(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(signal=torch.randn(SAMPLES, FEATURES))))
    loss.backward()
    probe.end_step()
    return loss.detach()


class Batch(Net):
    """Takes a mapping and a list."""

    def forward(self, batch: dict[str, torch.Tensor], more: list[torch.Tensor]) -> torch.Tensor:
        return super().forward(batch["x"] + more[0]) - batch["y"] + more[1].sum()


def in_containers(model: nn.Module, probe: Probe) -> torch.Tensor:
    batch = {"x": torch.randn(SAMPLES, FEATURES), "y": torch.randn(SAMPLES, FEATURES), "n": torch.arange(3)}
    more = [probe.leaf(torch.randn(SAMPLES, FEATURES, requires_grad=True)), torch.randn(2)]
    loss = loss_of(probe.output(model(batch, more)))
    loss.backward()
    probe.end_step()
    return loss.detach()


def same_again(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Give the same tensor in every forward, with and without a backward pass between."""
    x = probe.leaf(torch.randn(SAMPLES, FEATURES, requires_grad=True))
    total: Any = 0.0
    for number in range(3):
        loss = loss_of([model(x) for _ in range(1 + (number == 2))])
        loss.backward()
        total += loss.detach()
    probe.end_step()
    return total


class Convolutional(nn.Module):
    """Convolves in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(3, 4, 3), nn.Conv2d(4, 5, 3, padding=1)
        self.up, self.pool, self.head = nn.ConvTranspose2d(5, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.two(torch.relu(self.one(x)).unsqueeze(-1))
        return self.head(self.pool(self.up(h)).flatten(-3))


class Unbatched(nn.Module):
    """Convolves one picture without a batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.two, self.act, self.up = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.act(self.two(x)))


class Pictures(nn.Module):
    """Convolves pictures with the channels last in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(inplace=True)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(self.act(self.norm(self.one(x))) + 1.0)


def trained_on_channels_last(model: nn.Module, probe: Probe) -> torch.Tensor:
    x = torch.randn(4, 3, 6, 6).to(memory_format=torch.channels_last)
    loss = loss_of(probe.output(model(x)))
    loss.backward()
    probe.end_step()
    return loss.detach()


def on_inference_tensors(model: nn.Module, probe: Probe) -> torch.Tensor:
    with torch.inference_mode():
        x = torch.randn(SAMPLES, FEATURES)
    with torch.no_grad():
        output: torch.Tensor = probe.output(model(x))
    probe.end_step()
    return output.sum()


class Gated(nn.Module):
    """Halves the units by a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.gate, self.head = nn.Linear(FEATURES, 16), nn.GLU(), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nn.functional.glu(self.gate(self.wide(x)).repeat(1, 2)))


def trained_on_integers(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(torch.randint(7, (SAMPLES, 3)))))
    loss.backward()
    probe.end_step()
    return loss.detach()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 2), nn.Tanh())


def lengths(*counts: int) -> Step:
    """Return a step over micro-batches of sequences of these lengths."""

    def step(model: nn.Module, probe: Probe) -> torch.Tensor:
        losses = []
        for count in counts:
            loss = loss_of(probe.output(model(torch.randn(4, count, FEATURES))))
            loss.backward()
            losses.append(loss.detach())
        probe.end_step()
        return torch.stack(losses)

    return step


CASES = (
    Case("keyword inputs", Keywords, by_keyword),
    Case("one keyword input", One, by_one_keyword),
    Case("inputs in containers", Batch, in_containers),
    Case("the same input again", Net, same_again),
    Case(
        "integer inputs", sequential(lambda: nn.Embedding(7, 4), lambda: nn.Linear(4, 2)), trained_on_integers
    ),
    Case("no sample", small, trained_on((0, FEATURES))),
    Case("one sample", small, trained_on((1, FEATURES))),
    Case("one sample without batch axis", small, trained_on((FEATURES,))),
    Case("sequences of several lengths", small, lengths(5, 2, 7)),
    Case("convolutions", Convolutional, trained_on((4, 3, 9))),
    Case("convolutions without batch axis", Unbatched, trained_on((3, 6, 6))),
    Case("channels last", Pictures, trained_on_channels_last),
    Case("inference tensors given", small, on_inference_tensors),
    Case("gated units", Gated, regression),
)
