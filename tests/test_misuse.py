"""The Python calls, called wrongly: one line that says what was expected, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_comparison import networks
from fake_recording import diagnosis, simulate
from hostile import NAMES
from matplotlib import pyplot
from torch import nn

import actdiag
from actdiag import Diagnosis, Recording, RunSpec, schema
from actdiag.errors import ActdiagError, UsageError
from actdiag.recording import frame

EMPTY = Recording(frame([], schema.ROWS), frame([], schema.MODULES), meta={"runs": {}})
BARE = Recording(frame([], schema.ROWS), frame([], schema.MODULES))
SPECS = [RunSpec(depth=1, width=4, batch=8)]
NO_RECORDING = "expected an actdiag.Recording, got NoneType: make one with actdiag.scan"
NO_DIAGNOSIS = "expected an actdiag.Diagnosis, got str: make one with actdiag.diagnose(recording)"
WORDS = np.array(["all", "auto"])
ODD: list[Any] = [[], {}, WORDS, torch.ones(2)]
NO_COLUMNS = "expected an actdiag.Recording with all its columns, got "
NO_PATTERNS = "select takes patterns of module names, as 'encoder.*', got "
NO_FOLDER = "a folder is named by text or a Path, got "


def one() -> Recording:
    return simulate(2)[0]


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def suggest(**options: Any) -> Any:
    return actdiag.suggest(model(), torch.ones(4, 4), **options)


def jacobian(**options: Any) -> Any:
    return actdiag.jacobian(model(), torch.ones(4, 4), **options)


def scan(**options: Any) -> Any:
    return actdiag.scan(SPECS[0], **options)


def check(**options: Any) -> Any:
    return actdiag.check(model(), torch.ones(4, 4), **options)


def attach(**options: Any) -> None:
    actdiag.attach(model(), **options).detach()


def diagnosed(run: Any) -> Any:
    return diagnosis(one()).of(run)


def recorded(run: Any) -> Any:
    return one().of(run)


def without(table: str, column: str) -> Recording:
    whole = one()
    return replace(whole, **{table: getattr(whole, table).drop(columns=column)})


DAMAGED = (
    (without("rows", "rms"), "rows without rms"),
    (without("rows", "source"), "rows without source"),
    (without("modules", "kind"), "modules without kind"),
    (Recording(None, None), "rows of type NoneType"),  # type: ignore[arg-type]
)
TAKERS = (
    actdiag.diagnose,
    actdiag.plot.profile,
    actdiag.plot.distributions,
    actdiag.plot.matrix,
    lambda recording: actdiag.report(recording, diagnosis(one()), "nowhere"),
)


def polar() -> Any:
    return pyplot.figure().add_subplot(projection="polar")


def solid() -> Any:
    return pyplot.figure().add_subplot(projection="3d")


CALLS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: one().of("tahn-xavier"),
        "unknown run 'tahn-xavier': expected one of recording.runs, as tanh",
    ),
    (lambda: one().of(None), "unknown run 'None': expected one of"),  # type: ignore[arg-type]
    (lambda: actdiag.diagnose(None), NO_RECORDING),  # type: ignore[arg-type]
    (lambda: actdiag.diagnose(one().rows), "expected an actdiag.Recording, got DataFrame"),  # type: ignore[arg-type]
    (lambda: actdiag.diagnose(one(), "AD101"), "got 'AD101': write Settings.parse(['AD101'])"),  # type: ignore[arg-type]
    (lambda: actdiag.plot.profile(one(), polar()), "ax is flat, got axes of projection 'polar'"),
    (lambda: actdiag.plot.distributions(one(), solid()), "ax is flat, got axes of projection '3d'"),
    (lambda: actdiag.plot.profile(BARE), "nothing was measured of any run"),
    (lambda: actdiag.plot.distributions(EMPTY), "nothing was measured of any run"),
    (lambda: actdiag.plot.matrix(BARE), "a matrix needs several networks"),
    (lambda: actdiag.plot.matrix(networks()[0], diagnosis="x"), NO_DIAGNOSIS),  # type: ignore[arg-type]
    (lambda: actdiag.plot.matrix(networks()[0], diagnosis=Diagnosis(())), "the diagnosis is of other runs"),
    (lambda: actdiag.attach(model(), run=3), "run is a name in the recording, as 'model', got 3"),  # type: ignore[arg-type]
    (lambda: actdiag.attach(model(), every=1.5), "every is a whole number >= 1, got 1.5"),  # type: ignore[arg-type]
    (lambda: actdiag.attach(model(), every=0), "every is a whole number >= 1, got 0"),
    (lambda: actdiag.attach(model(), batch_axis=True), "batch_axis is a whole number, got True"),
    (lambda: actdiag.scan("tanh"), "scan takes a RunSpec, got 'tanh': write scan(RunSpec(...))"),  # type: ignore[arg-type]
    (lambda: actdiag.scan(SPECS), "scan takes a RunSpec, got [RunSpec("),  # type: ignore[arg-type]
    (lambda: actdiag.compare(SPECS, journal=3), f"{NO_FOLDER}3"),  # type: ignore[arg-type]
    (lambda: actdiag.compare(SPECS, tell=3), "tell is a function, got int: leave it out or give one"),  # type: ignore[arg-type]
    (lambda: suggest(steps="x"), "steps is a whole number >= 1, got 'x'"),
    (lambda: suggest(steps=True), "steps is a whole number >= 1, got True"),
    (lambda: suggest(draws=3.5), "draws is a whole number >= 3, got 3.5"),
    (lambda: suggest(seed=-1), "seed is a whole number >= 0, got -1"),
    (lambda: suggest(seed=None), "seed is a whole number >= 0, got None"),
    (lambda: suggest(allow=3), "allow takes norm and activation, got 3"),
    (lambda: suggest(loss="mse"), "loss is a function, got str: leave it out or give one"),
    (lambda: suggest(tell=3), "tell is a function, got int: leave it out or give one"),
    (lambda: suggest(seed=2**31), "seed is a whole number <= 2147483647, got 2147483648"),
    (lambda: suggest(seed=2**32), "seed is a whole number <= 2147483647, got 4294967296"),
    (lambda: suggest(steps=-(10**5000)), "steps is a whole number >= 1, got one of 16610 bits below 0"),
    (lambda: jacobian(samples="x"), "samples is a whole number >= 1, got 'x'"),
    (lambda: jacobian(samples=True), "samples is a whole number >= 1, got True"),
    (lambda: jacobian(steps=None), "steps is a whole number >= 1, got None"),
    (lambda: jacobian(steps=2.5), "steps is a whole number >= 1, got 2.5"),
    *(
        (partial(call, jacobian=value), f"jacobian is True or False, got {value!r}")
        for value in (None, "yes", 1.5, 1, WORDS, torch.ones(2))
        for call in (scan, check)
    ),
    *((partial(diagnosed, value), f"unknown run '{value}': expected one of diagnosis.runs") for value in ODD),
    *((partial(recorded, value), f"unknown run '{value}': expected one of recording.runs") for value in ODD),
    (lambda: Diagnosis(()).of([]), "unknown run '[]'"),  # type: ignore[arg-type]
    *(
        (partial(attach, **{name: value}), words.format(value=repr(value)))
        for name, words in (
            ("keep", "keep is one of auto, all, got {value}"),
            ("tensors", "tensors is one of all, activations, got {value}"),
            ("passive", "passive is True or False, got {value}"),
            ("run", "run is a name in the recording, as 'model', got {value}"),
        )
        for value in (WORDS, torch.ones(2), None, [])
    ),
    *(
        (
            partial(attach, select=value),
            f"{NO_PATTERNS}{value!r}",
        )
        for value in (torch.ones(2), np.ones(2), np.array(1), 0, b"x", ["0", None])
    ),
    (partial(attach, select=WORDS), "unknown module in select 'all'"),
    *(
        (partial(picture, one(), tensor=value), f"tensor is one of activation, gradient, got {value!r}")
        for value in (WORDS, torch.ones(2), [], 3)
        for picture in (actdiag.plot.profile, actdiag.plot.distributions)
    ),
    *(
        (partial(picture, one(), run=value), f"unknown run '{value}': expected one of recording.runs")
        for value in ODD
        for picture in (actdiag.plot.profile, actdiag.plot.distributions)
    ),
    *(
        (
            partial(take, damaged),
            f"{NO_COLUMNS}{lack}: make one with",
        )
        for damaged, lack in DAMAGED
        for take in TAKERS
    ),
]


@pytest.mark.parametrize(("call", "words"), CALLS, ids=[words for _, words in CALLS])
def test_a_wrong_call_is_told_in_one_line(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    pyplot.close("all")


@pytest.mark.parametrize("place", [3, None, "", b"x", "a\0b", "\ud800", object()])
def test_what_names_no_folder_is_refused_wherever_one_is_taken(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recording = one()
    for call in (
        recording.save,
        Recording.load,
        lambda place: actdiag.report(recording, diagnosis(recording), place, "json"),
        lambda place: actdiag.compare(SPECS, journal=place or 0),
    ):
        with pytest.raises(UsageError, match="a folder is named by text or a Path, got "):
            call(place)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 300, "é" * 128, "a/" + "x" * 256 + "/b"])
def test_a_name_that_no_file_system_takes_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (one().save, Recording.load):
        with pytest.raises(UsageError, match="a folder's name has at most 255 bytes, got one of"):
            call(name)
    assert not any(tmp_path.iterdir())
    one().save("x" * 255)
    assert Recording.load(tmp_path / ("x" * 255)) == one()


@pytest.mark.parametrize("place", [".", "..", "../.."])
def test_a_recording_never_takes_the_place_of_the_current_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "deep" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    with pytest.raises(ActdiagError, match="is or holds the current folder: name a folder of its own"):
        one().save(place)
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep", inner]


@pytest.mark.parametrize("formats", [3, None, [3], ["json", None]])
def test_formats_are_names(formats: Any, tmp_path: Path) -> None:
    recording = one()
    with pytest.raises(UsageError, match=r"formats are names, as 'html' or \['html', 'csv'\], got"):
        actdiag.report(recording, diagnosis(recording), tmp_path / "out", formats)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recording", "found", "words"),
    [
        (None, None, NO_RECORDING),
        (one(), "x", NO_DIAGNOSIS),
        (one(), diagnosis(simulate(3)[0]), "of other runs than the recording, as 'tanh-xavier-"),
        (EMPTY, Diagnosis(()), "the recording holds no run: there is nothing to report"),
        (BARE, Diagnosis(()), "the recording holds no run: there is nothing to report"),
    ],
)
def test_a_report_is_of_a_recording_and_its_own_diagnosis(
    recording: Any, found: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        actdiag.report(recording, found, tmp_path / "out", "json")
    assert words in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_a_recording_without_runs_is_shown_and_judged() -> None:
    for recording in (EMPTY, BARE):
        assert repr(recording) == "<Recording of : 0 measured rows, 0 predicted, 0 modules>"
        assert "0 runs" in recording._repr_html_()
        found = actdiag.diagnose(recording)
        assert (found, found.verdict, found.typical_run) == (Diagnosis(()), "nothing to judge", "")


@pytest.mark.parametrize(("damaged", "lack"), DAMAGED)
def test_a_damaged_recording_is_shown_as_such(damaged: Recording, lack: str) -> None:
    shown = repr(damaged)
    assert shown.startswith("<Recording of ")
    assert shown.endswith(f": {lack}>")
    assert f": {lack}&gt;" in damaged._repr_html_()


def test_flags_of_numpy_are_taken_as_pythons_own() -> None:
    assert actdiag.scan(SPECS[0], jacobian=np.True_) == actdiag.scan(SPECS[0], jacobian=True)  # type: ignore[arg-type]
    net, inputs = model(), torch.randn(4, 4)
    assert actdiag.check(net, inputs, jacobian=np.True_) == actdiag.check(net, inputs, jacobian=True)  # type: ignore[arg-type]
    recorder = actdiag.attach(model(), passive=np.True_)  # type: ignore[arg-type]
    recorder.detach()
    assert recorder._options.passive is True


def test_patterns_are_taken_in_any_list() -> None:
    patterns = ("0", "1")
    for given in (patterns, list(patterns), np.array(patterns), iter(patterns)):
        recorder = actdiag.attach(model(), select=given)  # type: ignore[arg-type]
        recorder.detach()
        assert recorder._options.select == patterns


def test_numbers_of_numpy_are_taken_as_pythons_own() -> None:
    recorder = actdiag.attach(model(), every=np.int64(2), batch_axis=np.int32(0))  # type: ignore[arg-type]
    recorder.detach()
    assert [type(getattr(recorder._options, name)) for name in ("every", "batch_axis")] == [int, int]


def test_a_run_whose_name_no_file_can_hold_is_spelt_out(tmp_path: Path) -> None:
    net = model()
    with actdiag.attach(net, run="a\ud800") as recorder:
        net(torch.ones(4, 4)).sum().backward()
        recorder.step()
    recording = recorder.recording()
    assert recording.runs == ("a\\ud800",)
    assert Recording.load(recording.save(tmp_path / "run")) == recording


class Named(nn.Module):
    """Has a layer and an output of any name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Linear(4, 8))

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return one output under the name."""
        return {self.name: torch.tanh(self._modules[self.name](inputs))}  # type: ignore[misc]


@pytest.mark.parametrize("name", [name for key, name in NAMES.items() if key not in ("path", "empty")])
def test_a_layer_of_any_name_is_recorded_saved_and_read_back(name: str, tmp_path: Path) -> None:
    net = Named(name.replace(".", ""))
    with actdiag.attach(net) as recorder:
        net(torch.randn(6, 4))[net.name].square().sum().backward()
        recorder.step()
    recording = recorder.recording()
    written = net.name.encode("utf-8", "backslashreplace").decode()
    assert written in list(recording.modules["name"])
    assert Recording.load(recording.save(tmp_path / "run")) == recording
    folder = actdiag.report(recording, actdiag.diagnose(recording), tmp_path / "out", ("html", "csv", "json"))
    assert (folder / "report.html").is_file()


def test_step_after_the_end_adds_nothing_and_a_recording_before_it_is_empty() -> None:
    net = model()
    with actdiag.attach(net) as recorder:
        assert recorder.recording().measured.empty
        net(torch.ones(4, 4)).sum().backward()
        recorder.step()
    before = recorder.recording()
    recorder.step()
    assert recorder.recording() == before


def test_two_recorders_on_one_model_record_the_same() -> None:
    net = model()
    with actdiag.attach(net) as first, actdiag.attach(net) as second:
        net(torch.ones(4, 4)).sum().backward()
        first.step()
        second.step()
    assert first.recording() == second.recording()
    assert len(first.recording().measured)
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gain": True}, "gain is a number, got True"),
        ({"gain": [1]}, "gain is a number, got [1]"),
        ({"gain": b"x"}, "gain is a number, got b'x'"),
        ({"bias": "x"}, "bias is a number, got 'x'"),
        ({"gain": 10**400}, f"gain is a number that float64 holds, got {10**400}"),
        ({"bias": -(10**400)}, f"bias is a number that float64 holds, got -{10**400}"),
        ({"dropout": 10**5000}, "dropout is a number that float64 holds, got one of 16610 bits"),
        ({"gain": np.True_}, "gain is a number, got np.True_"),
        ({"depth": 10**5000}, "depth is a whole number <= 2147483647, got one of 16610 bits"),
        ({"bias": 1j}, "bias is a number, got 1j"),
        ({"dropout": "0.1"}, "dropout is a number, got '0.1'"),
        ({"dropout": None}, "dropout is a number, got None"),
        ({"residual": "yes"}, "residual is True or False, got 'yes'"),
        ({"residual": 1}, "residual is True or False, got 1"),
        ({"standardise": None}, "standardise is True or False, got None"),
        ({"depth": np.float64(3)}, "depth is a whole number >= 0, got np.float64(3.0)"),
        ({"depth": True}, "depth is a whole number >= 0, got True"),
        ({"width": np.int64(0)}, "width is a whole number >= 1, got np.int64(0)"),
        ({"seed": np.uint64(2**63)}, "seed is a whole number <= 2147483647, got 9223372036854775808"),
        ({"norm": None}, "norm is one of none, batch, layer, got None"),
        ({"device": torch.device("cpu")}, "device is one of cpu, cuda, mps, auto, got device(type='cpu')"),
        ({"dtype": torch.float32}, "dtype is one of float32, bfloat16, float64, got torch.float32"),
    ],
)
def test_a_field_of_another_type_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunSpec(**fields)
    assert str(caught.value) == words


def test_a_spec_in_numbers_of_numpy_is_the_same_spec() -> None:
    given = RunSpec(
        depth=np.int64(3), width=np.uint8(7), gain=np.float32(1.5), bias=np.int32(1),
        dropout=np.float64(0.25), residual=np.True_, batch=np.int16(9), features=np.int64(6),
        seed=np.uint32(5),
    )  # type: ignore[arg-type]  # fmt: skip
    plain = RunSpec(
        depth=3, width=7, gain=1.5, bias=1.0, dropout=0.25, residual=True, batch=9, features=6, seed=5
    )
    assert (given, given.slug, given.command()) == (plain, plain.slug, plain.command())
    assert actdiag.scan(given) == actdiag.scan(plain)
