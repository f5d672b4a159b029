"""The networks that are timed, with batches in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

CLASSES = 10
TURNS = 3
"""Different batches, taken in turn, so that no histogram is that of the step before."""
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU)

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Workload:
    """A network and its batches.

    Attributes:
        title: what it is, for the reader.
        build: makes the network.
        draw: batch size -> inputs.
        batch: samples in a batch.
        hidden: activations in one forward pass.
    """

    title: str
    build: Callable[[], nn.Module]
    draw: Callable[[int], torch.Tensor]
    batch: int
    hidden: int

    def model(self, device: str = "cpu") -> nn.Module:
        """Return the network, the same one at every call."""
        torch.manual_seed(0)
        return self.build().train().to(device)

    def batches(self, device: str = "cpu", batch: int | None = None) -> list[Batch]:
        """Return inputs and classes, `TURNS` times."""
        torch.manual_seed(1)
        size = batch or self.batch
        drawn = [(self.draw(size), torch.randint(CLASSES, (size,))) for _ in range(TURNS)]
        return [(inputs.to(device), targets.to(device)) for inputs, targets in drawn]


class Encoder(nn.Module):
    """A BERT-like encoder in training mode: embedding with positions, layers, a head on the first token."""

    def __init__(self, vocabulary: int, length: int, size: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.positions = nn.Parameter(torch.randn(length, size) * 0.02)
        layer = nn.TransformerEncoderLayer(size, 4, 4 * size, 0.1, nn.GELU(), batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(size, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (batch, classes) for (batch, length) tokens."""
        return self.head(self.encoder(self.embedding(tokens) + self.positions)[:, 0])


def perceptron(depth: int, width: int, batch: int, activation: type[nn.Module]) -> Workload:
    """Return an MLP with weights of variance 2 / fan_in for ReLU, 1 / fan_in otherwise, and zero biases."""

    def build() -> nn.Module:
        parts = [part for _ in range(depth) for part in (nn.Linear(width, width), activation())]
        model = nn.Sequential(*parts, nn.Linear(width, CLASSES))
        variance = (2.0 if activation is nn.ReLU else 1.0) / width
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=variance**0.5)
                nn.init.zeros_(layer.bias)
        return model

    title = f"MLP, depth {depth} x {width}, batch {batch}, {activation.__name__}"
    return Workload(title, build, lambda size: torch.randn(size, width), batch, depth)


def encoder(layers: int, size: int, length: int, batch: int, vocabulary: int) -> Workload:
    """Return a BERT-like encoder with 4 heads and 4 x size units in its feed-forward part."""
    title = (
        f"encoder, {layers} layers x {size}, 4 heads, feed-forward {4 * size}, GELU, dropout 0.1, "
        f"{length} tokens, batch {batch}, vocabulary {vocabulary}"
    )
    return Workload(
        title,
        lambda: Encoder(vocabulary, length, size, layers),
        lambda count: torch.randint(vocabulary, (count, length)),
        batch,
        layers,
    )


WORKLOADS = {
    "W1": perceptron(50, 512, 512, nn.ReLU),
    "W2": perceptron(10, 500, 1000, nn.Tanh),
    "W3": perceptron(20, 2048, 256, nn.ReLU),
    "W4": perceptron(50, 8, 8, nn.ReLU),
    "W5": encoder(6, 256, 128, 8, 8192),
    "W6": perceptron(20, 128, 128, nn.ReLU),
    "W7": perceptron(20, 256, 128, nn.ReLU),
    "tiny": perceptron(2, 4, 8, nn.ReLU),
}
DEFAULT = ("W1", "W2", "W3", "W4", "W5", "W6", "W7")


def activations(model: nn.Module) -> list[nn.Module]:
    """Return the activation modules."""
    return [module for module in model.modules() if isinstance(module, ACTIVATIONS)]


def outputs(model: nn.Module) -> list[nn.Module]:
    """Return the modules without children that are called: of `out_proj` attention takes the weight only."""
    silent = {id(module.out_proj) for module in model.modules() if isinstance(module, nn.MultiheadAttention)}
    return [module for module in model.modules() if not list(module.children()) and id(module) not in silent]
