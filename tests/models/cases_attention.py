"""Attention and Transformers."""
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from models.case import Case, Probe
from models.steps import trained_on

LENGTH, BATCH, WIDTH = 5, 4, 8


class Attention(nn.Module):
    """Attends to itself and to another sequence."""

    def __init__(self, **options: bool) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(WIDTH, 2, **options)
        self.other = nn.MultiheadAttention(WIDTH, 2, kdim=3, vdim=3, **options)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        x, _ = self.own(x, x, x)
        x, weights = self.other(x, memory, memory, need_weights=True)
        return self.head(x) * weights.square().mean()


def encoder(activation: str = "relu", norm_first: bool = False) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        WIDTH, 2, 16, activation=activation, batch_first=True, norm_first=norm_first
    )
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


@contextmanager
def slow_path() -> Iterator[None]:
    """Switch off the fused Transformer layer, which attaching does too."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def evaluated(model: nn.Module, probe: Probe) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        output: torch.Tensor = probe.output(model(torch.randn(BATCH, LENGTH, WIDTH)))
    probe.end_step()
    return output.sum()


def evaluated_with_gradients(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss: torch.Tensor = trained_on((BATCH, LENGTH, WIDTH))(model.eval(), probe)
    return loss


def decoder() -> nn.Module:
    layer = nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True)
    return nn.TransformerDecoder(layer, 2)


one, two = (BATCH, LENGTH, WIDTH), (BATCH, LENGTH, 3)

CASES = (
    Case("attention", Attention, trained_on((LENGTH, BATCH, WIDTH), (LENGTH, BATCH, 3))),
    Case("attention, batch first", lambda: Attention(batch_first=True), trained_on(one, two)),
    Case("TransformerEncoder, training", encoder, trained_on(one)),
    Case("TransformerEncoder, norm first, gelu", lambda: encoder("gelu", True), trained_on(one)),
    Case("TransformerEncoder, eval with gradients", encoder, evaluated_with_gradients),
    Case("TransformerEncoder, eval without gradients", encoder, evaluated, around=slow_path),
    Case("TransformerDecoder", decoder, trained_on(one, one)),
)
