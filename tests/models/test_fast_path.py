"""Transformer layers in eval mode: off their fast path while attached, or left on it and listed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from actdiag import attach
from models.plainly import assert_row, bits, facts, notes


class FastPath:
    """Counts the calls of a fused operation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str = "_transformer_encoder_layer_fwd") -> None:
        self.calls = 0
        real = getattr(torch, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(torch, name, counted)


def encoder() -> tuple[nn.TransformerEncoder, torch.Tensor]:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2).eval(), torch.randn(3, 5, 16)


def test_passive_keeps_the_fast_path_of_a_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = FastPath(monkeypatch)
    model, x = encoder()
    with torch.no_grad():
        plain = model(x)
        assert fast.calls == 2
        with attach(model, passive=True) as recorder:
            attached = model(x)
    assert fast.calls == 4
    assert bits(attached) == bits(plain)
    told = facts(recorder.recording(), "layers.0.linear1")
    assert not told["observed"]
    assert told["reason"].startswith("passive"), told


def test_attaching_takes_the_slow_path_of_a_transformer_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = FastPath(monkeypatch)
    model, x = encoder()
    inner = model.layers[0].linear1(model.layers[0].norm1(x + model.layers[0].self_attn(x, x, x)[0]))
    with torch.no_grad():
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            slow = model(x)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
        assert fast.calls == 0
        with attach(model) as recorder:
            attached = model(x)
        assert fast.calls == 0
        assert torch.backends.mha.get_fastpath_enabled()
        model(x)
        assert fast.calls == 2
    assert bits(attached) == bits(slow)
    assert "fast path" in notes(recorder.recording())
    assert_row(recorder.recording(), "layers.0.linear1", "preactivation", inner)


def attention() -> tuple[nn.MultiheadAttention, torch.Tensor]:
    torch.manual_seed(0)
    return nn.MultiheadAttention(16, 2, batch_first=True).eval(), torch.randn(3, 5, 16)


@pytest.mark.parametrize("passive", [False, True])
def test_attention_by_itself_says_which_path_it_took(monkeypatch: pytest.MonkeyPatch, passive: bool) -> None:
    fast = FastPath(monkeypatch, "_native_multi_head_attention")
    model, x = attention()
    with torch.no_grad():
        torch.backends.mha.set_fastpath_enabled(passive)
        try:
            plain = model(x, x, x)[0]
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
        assert fast.calls == passive
        with attach(model, passive=passive) as recorder:
            attached = model(x, x, x)[0]
    assert bits(attached) == bits(plain)
    assert fast.calls == 2 * passive
    assert_row(recorder.recording(), "", "preactivation", plain, path="0")
    assert ("fast path" in notes(recorder.recording())) == (not passive)
