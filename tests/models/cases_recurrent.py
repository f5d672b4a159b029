"""Recurrent modules."""
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from models.case import Case
from models.steps import trained_on

LENGTH, BATCH, FEATURES, HIDDEN = 5, 4, 3, 6


class Recurrent(nn.Module):
    """A recurrent module and a head."""

    def __init__(self, kind: Callable[..., nn.Module], **options: Any) -> None:
        super().__init__()
        self.body, self.head = kind(FEATURES, HIDDEN, **options), nn.Linear(HIDDEN, 2)

    def forward(self, x: torch.Tensor) -> Any:
        output, state = self.body(x)
        return self.head(output), state


class Packed(Recurrent):
    """Runs over sequences of several lengths."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, torch.tensor([5, 3, 1, 4]), True, enforce_sorted=False)
        output, _ = self.body(packed)
        assert isinstance(output, PackedSequence)
        padded, _ = pad_packed_sequence(output, batch_first=True)
        return self.head(padded)


class Cells(nn.Module):
    """Calls cells once per time step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(FEATURES, HIDDEN), nn.GRUCell(HIDDEN, HIDDEN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, hidden = None, torch.zeros(x.shape[1], HIDDEN)
        for part in x:
            state = self.lstm(part, state)
            hidden = self.gru(state[0], hidden)
        return hidden


sequence_first = trained_on((LENGTH, BATCH, FEATURES))
batch_first = trained_on((BATCH, LENGTH, FEATURES))

CASES = (
    Case("LSTM", lambda: Recurrent(nn.LSTM), sequence_first),
    Case("LSTM, batch first, deep", lambda: Recurrent(nn.LSTM, batch_first=True, num_layers=2), batch_first),
    Case("GRU", lambda: Recurrent(nn.GRU), sequence_first),
    Case("GRU, batch first", lambda: Recurrent(nn.GRU, batch_first=True), batch_first),
    Case("RNN, unbatched", lambda: Recurrent(nn.RNN), trained_on((LENGTH, FEATURES))),
    Case("packed sequences", lambda: Packed(nn.LSTM, batch_first=True), batch_first),
    Case("cells", Cells, sequence_first),
)
