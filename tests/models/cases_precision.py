"""Number formats: autocast, loss scaling, overflow, integers, and tensors without plain numbers."""
# ruff: noqa: D102

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.case import Case, Probe
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression

SCALE = 1024.0
QUANTISES = hasattr(torch.ao, "quantization") and torch.backends.quantized.engine != "none"
NO_ENGINE = "" if QUANTISES else "this torch cannot quantise"


def under_autocast(model: nn.Module, probe: Probe) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
    loss.backward()
    probe.end_step()
    return loss.detach()


class Scaled(Net):
    """A net with the scaler that its training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)


def scaler_of(model: nn.Module) -> dict[str, Any]:
    return {"scaler": model.scaler}


def under_scaler(model: nn.Module, probe: Probe) -> torch.Tensor:
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    scaler: Any = model.scaler
    for _ in range(2):
        optimiser.zero_grad()
        loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
        scaler.scale(loss).backward()
        probe.end_step()
        scaler.step(optimiser)
        scaler.update()
    return loss.detach()


def unscaled_early(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Unscale before the step ends, to clip."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    scaler: Any = model.scaler
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
    scaler.scale(loss).backward()
    scaler.unscale_(optimiser)
    probe.end_step()
    scaler.step(optimiser)
    scaler.update()
    return loss.detach()


class Overflowing(Net):
    """Leaves what half precision can hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.first(x))
        for _ in range(4):
            x = x * 100.0
        return self.last(x)


def in_half(model: nn.Module, probe: Probe) -> torch.Tensor:
    output = probe.output(model(torch.randn(SAMPLES, FEATURES).half()))
    loss = output.float().square().mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


def in_double(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES).double())))
    loss.backward()
    probe.end_step()
    return loss.detach()


class NotFinite(Net):
    """Makes NaN and both infinities."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.act(self.first(x)) / x.clamp(min=0.0)
        return self.last(torch.log(self.middle(x))) + h


class ComplexSignal(nn.Module):
    """Goes through the frequencies and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.spectrum, self.head = nn.Linear(FEATURES, FEATURES), Spectrum(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.spectrum(self.body(x)).abs())


class Spectrum(nn.Module):
    """Returns a complex tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft(x)


class SparseSignal(nn.Module):
    """Has a module that returns a sparse tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.thin, self.head = nn.Linear(FEATURES, FEATURES), Thin(), nn.Linear(FEATURES, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.thin(self.body(x)).to_dense())


class Thin(nn.Module):
    """Returns a sparse tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x).to_sparse()


class NestedSignal(nn.Module):
    """Takes and returns rows of several lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.pad = nn.Linear(FEATURES, FEATURES), Pad()
        self.head = nn.Linear(FEATURES, 2)

    def forward(self, *rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.pad(self.body(torch.nested.as_nested_tensor(list(rows)))))


class Pad(nn.Module):
    """Returns a plain tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nested.to_padded_tensor(x, 0.0)


def on_rows(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(torch.randn(3, FEATURES), torch.randn(5, FEATURES))))
    loss.backward()
    probe.end_step()
    return loss.detach()


def quantised() -> nn.Module:
    plain = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    return model


def evaluated(model: nn.Module, probe: Probe) -> torch.Tensor:
    output: torch.Tensor = probe.output(model(torch.randn(SAMPLES, FEATURES)))
    probe.end_step()
    return output.sum()


def on_meta(model: nn.Module, probe: Probe) -> torch.Size:
    loss = model(torch.randn(SAMPLES, FEATURES, device="meta")).square().mean()
    loss.backward()
    probe.end_step()
    return loss.shape


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 2))


CASES = (
    Case("autocast to bfloat16", small, under_autocast, tolerance=1e-2),
    Case("autocast to bfloat16, functions", Net, under_autocast, tolerance=1e-2),
    Case("loss scaling", Scaled, under_scaler, options=scaler_of, gradient_scale=SCALE),
    Case(
        "loss scaling, unscaled early",
        Scaled,
        unscaled_early,
        options=scaler_of,
        gradient_scale=SCALE,
        weight_scale=1.0,
    ),
    Case("overflow in float16", lambda: Overflowing().half(), in_half),
    Case("float64", lambda: small().double(), in_double),
    Case("NaN and infinities", NotFinite, regression),
    Case("a complex output", ComplexSignal, regression),
    Case("a sparse output", SparseSignal, regression),
    Case("a nested output", NestedSignal, on_rows),
    Case("dynamic quantisation", quantised, evaluated, skip=NO_ENGINE),
    Case("meta device", lambda: small().to("meta"), on_meta),
)
