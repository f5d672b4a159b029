"""AD902 and AD903: what must not fire first, then what must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fake_recording import log_counts
from judging import found, silent
from recordings import Layer, made_up
from torch import nn

from actdiag import RunSpec, attach, scan
from actdiag.diagnosis import diagnose
from actdiag.recording import Recording
from actdiag.rules.formats import FORMATS, share_below
from actdiag.types import Severity


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_torchs(name: str) -> None:
    known = torch.finfo(getattr(torch, name))
    assert FORMATS[name].smallest_normal == known.smallest_normal
    assert FORMATS[name].largest == known.max
    smallest = torch.tensor(FORMATS[name].smallest, dtype=getattr(torch, name))
    assert smallest > 0
    assert smallest / 2 == 0


def test_share_is_what_torch_rounds_to_zero() -> None:
    x = np.random.default_rng(0).normal(size=(100, 200)) * 10.0 ** np.linspace(-12, 0, 200)
    x[:, :7] = 0.0
    half = torch.from_numpy(x).half()
    lost = int(((half == 0) & torch.from_numpy(x != 0)).sum()) / (x != 0).sum()
    assert share_below(log_counts(x), 2.0**-25, float((x == 0).sum())) == pytest.approx(lost, abs=1e-4)


def graded(values: float, **spec: object) -> Recording:
    """Return a recording whose hidden gradients are N(0, values^2), with histograms."""
    recording = made_up([Layer(preactivation_grad=values)] * 3, spec=spec)
    x = values * np.random.default_rng(0).normal(size=(64, 8))
    rows = recording.rows.index[recording.rows["tensor"] == "preactivation_grad"]
    return replace(recording, histograms=dict.fromkeys(map(int, rows), log_counts(x)))


def test_underflow_a_few_subnormals_are_healthy() -> None:
    silent("AD902", made_up([Layer(subnormal_fraction=0.04)] * 3))


def test_underflow_what_float16_holds_is_healthy() -> None:
    silent("AD902", graded(1e-6))


def test_underflow_bfloat16_reaches_as_far_as_float32() -> None:
    silent("AD902", graded(1e-9, dtype="bfloat16"))


def test_underflow_in_float16_is_worth_knowing() -> None:
    finding = found("AD902", graded(1e-9))
    assert finding.severity is Severity.INFO
    assert finding.layers == (1, 2, 3)
    assert "In float16 100% of what is not zero" in finding.message


def test_underflow_in_the_format_in_use_is_a_warning() -> None:
    layers = [Layer(preactivation_grad=0.0), Layer(subnormal_fraction=0.5), Layer()]
    finding = found("AD902", made_up(layers))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (2,))
    assert "50% of what is not zero in the preactivation_grad of layer 2 is subnormal in float32" in (
        finding.message
    )
    assert "in 1 hidden layers all of it is zero (see AD103)" in finding.message


def test_underflow_zeros_do_not_count() -> None:
    recording = made_up([Layer(subnormal_fraction=0.04)] * 3)
    recording.rows.loc[recording.rows["tensor"] == "preactivation_grad", "zero_fraction"] = 0.5
    assert found("AD902", recording).evidence["measured"] == pytest.approx(0.08)


def in_half(largest: float) -> Recording:
    """Return a recording whose tensors are of float16."""
    recording = made_up([Layer(largest=largest)], own=False)
    return replace(recording, rows=recording.rows.assign(dtype="float16"))


def test_overflow_a_twentieth_of_the_largest_is_healthy() -> None:
    silent("AD903", made_up([Layer(largest=6.5e4)] * 2))
    silent("AD903", in_half(0.05 * 65504.0))


def test_overflow_above_a_tenth_is_a_warning() -> None:
    finding = found("AD903", made_up([Layer(), Layer(largest=4e37)]))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (2,))
    assert "reach 4e37, and float32 ends at 3.4e38" in finding.message
    assert found("AD903", in_half(7e3)).severity is Severity.WARNING


def test_overflow_beyond_float16_is_worth_knowing() -> None:
    finding = found("AD903", made_up([Layer(), Layer(largest=1e5)]))
    assert (finding.severity, finding.layers) == (Severity.INFO, (2,))


def test_overflow_the_sign_does_not_matter() -> None:
    recording = made_up([Layer()] * 2)
    recording.rows.loc[recording.rows["tensor"] == "weight", "min"] = -4e37
    assert found("AD903", recording).severity is Severity.WARNING


def test_the_format_of_a_models_tensors_is_recorded() -> None:
    """Of weights their own, of what runs under autocast its own; of a scan the spec's."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with attach(model) as recorder:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))
        out.float().square().mean().backward()
        recorder.step()
    rows = recorder.recording().measured
    kinds = rows.groupby("tensor")["dtype"].unique().map(list).to_dict()
    assert kinds["input"] == kinds["weight"] == kinds["weight_grad"] == ["float32"]
    assert kinds["preactivation"] == kinds["preactivation_grad"] == kinds["activation"] == ["bfloat16"]
    scanned = scan(RunSpec(depth=2, width=8, batch=4, dtype="float64")).rows
    assert set(scanned["dtype"]) == {"float64"}


def test_gradients_of_a_float16_model_underflow_without_loss_scaling() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)).half()
    recordings = []
    for scale in (1e-3, 1e4):
        with attach(model) as recorder:
            out = model(torch.randn(256, 64).half())
            (scale * torch.nn.functional.cross_entropy(out.float(), torch.arange(256) % 10)).backward()
            recorder.step()
        recordings.append(recorder.recording())
    small, large = (
        [(f.severity, f.message) for f in diagnose(each).findings if f.code == "AD902"] for each in recordings
    )
    assert small[0][0] is Severity.WARNING
    assert "subnormal in float16" in small[0][1]
    assert not large


def test_underflow_in_float16_later_in_training_is_no_fault_of_training() -> None:
    """The loss has converged, so gradients are small: scaling the loss is still what helps."""
    first, later = graded(1.0), graded(1e-9)
    rows = pd.concat([first.rows, later.rows.assign(step=10)], ignore_index=True)
    counts = {place + len(first.rows): each for place, each in later.histograms.items()}
    recording = replace(first, rows=rows, histograms={**first.histograms, **counts})
    finding = found("AD902", recording)
    assert (finding.severity, finding.step) == (Severity.INFO, 10)
    assert "scale the loss" in finding.remedy
