"""What the caller's process has set does not reach what is measured and drawn, and stays set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from fake_comparison import networks
from fake_recording import simulate
from matplotlib import pyplot
from torch.overrides import TorchFunctionMode

from actdiag import RunSpec, compare, diagnose, scan
from actdiag.reporters import REPORTERS

SPECS = [
    RunSpec(depth=2, width=8, batch=16, act=act, norm=norm, dropout=dropout)
    for act, norm, dropout in (("tanh", "none", 0.0), ("relu", "batch", 0.2), ("maxout", "layer", 0.0))
]
DARK: dict[str, Any] = {
    "text.usetex": True,
    "savefig.dpi": 30,
    "savefig.bbox": "tight",
    "savefig.facecolor": "red",
    "savefig.transparent": True,
    "font.size": 30.0,
    "text.antialiased": False,
    "figure.constrained_layout.use": True,
    "lines.linewidth": 9.0,
    "axes.titlesize": 40,
    "path.sketch": (2, 2, 2),
}
"""Settings of matplotlib's that somebody may have in a matplotlibrc."""


class Doubling(TorchFunctionMode):
    """Gives twice what every function of torch returns."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function."""
        found = func(*args, **(kwargs or {}))
        return found * 2 if isinstance(found, torch.Tensor) and found.is_floating_point() else found


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
        assert torch.get_default_device() == torch.device(name)
        assert torch.empty(1).device.type == name
    finally:
        torch.set_default_device(None)


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16


SURROUNDINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "within meta": lambda: torch.device("meta"),
    "autocast": autocast,
    "function mode": Doubling,
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "numpy raises": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_a_scan_is_the_same_whatever_is_set(surroundings: Any) -> None:
    expected = [scan(spec, jacobian=True) for spec in SPECS], compare(SPECS)
    context: AbstractContextManager[Any] = surroundings()
    with context:
        found = [scan(spec, jacobian=True) for spec in SPECS], compare(SPECS)
        verdicts = [diagnose(recording) for recording in found[0]]
    assert found == expected
    assert verdicts == [diagnose(recording) for recording in expected[0]]


def test_pictures_are_the_same_whatever_matplotlibs_settings_are() -> None:
    recordings = [simulate(2)[0], networks(inits=("xavier", "he"), depths=(2,))[0]]
    expected = [REPORTERS["png"](recording, diagnose(recording)) for recording in recordings]
    with matplotlib.rc_context(DARK):
        assert [REPORTERS["png"](recording, diagnose(recording)) for recording in recordings] == expected
        assert pyplot.rcParams["text.usetex"]
        assert pyplot.rcParams["savefig.dpi"] == 30
