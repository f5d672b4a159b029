"""Weights from files, good and bad."""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from actdiag.errors import ActdiagError
from actdiag.weights import load_weights


class Net(nn.Module):
    """Two layers; the model that the files are for."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(2, width)
        self.last = nn.Linear(width, 2)


class RunsCode:
    """What a hostile file holds: unpickling it writes a file."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("open('owned.txt', 'w').close()",)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


FILE = Path("weights.pt")
NUMBERS = {
    "first.weight": torch.arange(6.0).reshape(3, 2),
    "first.bias": torch.tensor([1.0, 2.0, 3.0]),
    "last.weight": -torch.arange(6.0).reshape(2, 3),
    "last.bias": torch.tensor([5.0, 6.0]),
}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in NUMBERS.items()}


def holds_numbers(model: nn.Module) -> bool:
    return all(torch.equal(value, NUMBERS[name]) for name, value in model.state_dict().items())


def refusal(model: nn.Module, path: Path = FILE) -> str:
    """Return the error's text, once it is sure that it is one line and the model is as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ActdiagError) as caught:
        load_weights(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "nest",
    [
        lambda sd: sd,
        lambda sd: {"state_dict": sd, "epoch": 3},
        lambda sd: {"model_state_dict": sd, "optimizer": {"lr": 1.0}},
        lambda sd: {"model": sd},
        lambda sd: {"model": {"state_dict": sd}},
    ],
)
def test_a_state_dict_is_found_where_scripts_put_it(nest: Callable[[Any], Any]) -> None:
    torch.save(nest(NUMBERS), FILE)
    model = Net()
    assert load_weights(model, FILE) == []
    assert holds_numbers(model)


def test_old_files_are_read() -> None:
    torch.save(NUMBERS, FILE, _use_new_zipfile_serialization=False)
    model = Net()
    load_weights(model, FILE)
    assert holds_numbers(model)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_are_taken_off_and_named(prefix: str) -> None:
    torch.save(prefixed(prefix), FILE)
    model = Net()
    assert load_weights(model, FILE) == [f"the prefix '{prefix}' was taken off the names of the weights"]
    assert holds_numbers(model)


def test_a_prefix_of_the_models_own_stays() -> None:
    model = nn.Module()
    model.module = Net()
    torch.save(prefixed("module."), FILE)
    assert load_weights(model, FILE) == []
    assert holds_numbers(model.module)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own imports
def test_a_compiled_model_takes_plain_weights() -> None:
    model = Net()
    torch.save(NUMBERS, FILE)
    load_weights(torch.compile(model), FILE)  # type: ignore[arg-type]
    assert holds_numbers(model)


def test_one_name_of_a_shared_tensor_is_enough() -> None:
    model = Net(width=2)
    model.last.weight = model.first.weight
    weights = {name: value for name, value in model.state_dict().items() if name != "last.weight"}
    weights["first.weight"] = torch.full((2, 2), 9.0)
    torch.save(weights, FILE)
    load_weights(model, FILE)
    assert model.last.weight.tolist() == [[9.0, 9.0], [9.0, 9.0]]


def test_converted_numbers_are_a_note() -> None:
    torch.save({name: value.half() for name, value in NUMBERS.items()}, FILE)
    model = Net()
    assert load_weights(model, FILE) == ["weights were converted from float16 to float32"]
    assert holds_numbers(model)


def test_a_whole_model_is_refused_in_words() -> None:
    torch.save(Net(), FILE)
    assert refusal(Net()) == (
        f"weights.pt holds more than weights: it wants to import {Net.__module__}.Net, and loading that "
        "could run any code. Where you trust it, load it yourself and save model.state_dict() with torch.save"
    )


@pytest.mark.parametrize("old", [False, True])
def test_code_is_refused_and_not_run(old: bool) -> None:
    torch.save({"state_dict": NUMBERS, "args": RunsCode()}, FILE, _use_new_zipfile_serialization=not old)
    assert refusal(Net()) == (
        "weights.pt holds more than weights: it wants to import exec, and loading that could run any code. "
        "Where you trust it, load it yourself and save model.state_dict() with torch.save"
    )
    assert not Path("owned.txt").exists()


def test_code_in_a_bare_pickle_is_not_run() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        FILE.write_bytes(pickle.dumps(RunsCode(), protocol=protocol))
        refusal(Net())
    assert not Path("owned.txt").exists()


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


ZIPPED = saved(NUMBERS)
OLD = saved(NUMBERS, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello world\n", b"\x80\x04", bytes(range(256)), b"PK\x03\x04 no zip",
        ZIPPED[: len(ZIPPED) // 2], ZIPPED[:-100], OLD[: len(OLD) // 2], OLD[:-3],
        pickle.dumps({"weight": [1.0]}, protocol=4),
    ],
    ids=range(10),
)  # fmt: skip
def test_files_that_hold_no_weights(content: bytes) -> None:
    FILE.write_bytes(content)
    assert refusal(Net()) == (
        "weights.pt is empty, damaged or no file of weights: "
        "save one with torch.save(model.state_dict(), FILE)"
    )


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ([1, 2], "weights.pt holds a list of 2, expected a state_dict"),
        (torch.ones(2), "weights.pt holds one of type Tensor, expected a state_dict"),
        ({}, "weights.pt holds no state_dict, got a dict of nothing"),
        (
            dict.fromkeys("abcdefg", 1),
            "weights.pt holds no state_dict, got a dict of a, b, c, d, e, ...",
        ),
        ({"state_dict": {}}, "weights.pt holds no state_dict, got a dict of nothing"),
    ],
)
def test_values_that_are_no_state_dict(value: Any, came: str) -> None:
    torch.save(value, FILE)
    assert refusal(Net()) == f"{came}: save one with torch.save(model.state_dict(), FILE)"


def test_missing_files_and_folders() -> None:
    assert refusal(Net(), Path("nowhere.pt")) == "there is no file of weights nowhere.pt"
    Path("folder").mkdir()
    assert refusal(Net(), Path("folder")) == (
        "folder is a folder, expected a file of weights: save one with torch.save(model.state_dict(), FILE)"
    )


@pytest.mark.parametrize("make", [lambda: os.mkfifo(FILE), lambda: FILE.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_not_read(make: Callable[[], None]) -> None:
    make()
    assert refusal(Net()) == (
        "weights.pt is a pipe or a device, expected a file of weights: "
        "save one with torch.save(model.state_dict(), FILE)"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a" * 300, "File name too long"), ("a\0b", "ValueError"), ("loop", "symbolic links")],
)
def test_names_that_no_file_can_have(name: str, reason: str) -> None:
    Path("loop").symlink_to("loop")
    text = refusal(Net(), Path(name))
    assert text.startswith("cannot read the file of weights: ")
    assert reason in text
    assert text.isprintable()


def test_an_archive_larger_than_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(300 * 2**20))
    monkeypatch.setattr("actdiag.memory.free_memory", lambda: 200 * 2**20)
    assert refusal(Net()) == (
        "what weights.pt unpacks to needs about 315 MB of memory and 210 MB are free: take a smaller file"
    )


def test_a_file_cut_short_anywhere_holds_no_weights() -> None:
    torch.save(NUMBERS, FILE)
    content = FILE.read_bytes()
    for length in range(0, len(content), len(content) // 40):
        FILE.write_bytes(content[:length])
        assert refusal(Net()).startswith("weights.pt is empty, damaged or no file of weights")


def test_a_nan_among_the_weights_is_loaded_as_it_is() -> None:
    torch.save({**NUMBERS, "last.bias": torch.tensor([math.nan, 1.0])}, FILE)
    model = Net()
    load_weights(model, FILE)
    assert model.last.bias.isnan().tolist() == [True, False]


def test_wrong_names_are_counted_and_the_first_five_named() -> None:
    torch.save({f"layer{number}.weight": torch.ones(1) for number in range(7)}, FILE)
    assert refusal(Net()) == (
        "the weights of weights.pt do not fit the model: "
        "4 missing (first.weight, first.bias, last.weight, last.bias), "
        "7 unexpected (layer0.weight, layer1.weight, layer2.weight, layer3.weight, layer4.weight, ...). "
        "None was loaded"
    )


def test_one_name_too_many_loads_nothing() -> None:
    torch.save(NUMBERS | {"extra": torch.ones(1)}, FILE)
    assert refusal(Net()) == (
        "the weights of weights.pt do not fit the model: 1 unexpected (extra). None was loaded"
    )


def test_wrong_shapes_are_named() -> None:
    torch.save(NUMBERS, FILE)
    assert refusal(Net(width=4)) == (
        "the weights of weights.pt do not fit the model: 3 of another shape (first.weight is (3, 2) in the "
        "file and (4, 2) in the model, first.bias is (3,) in the file and (4,) in the model, last.weight is "
        "(2, 3) in the file and (2, 4) in the model). None was loaded"
    )
    torch.save(NUMBERS | {"last.bias": [5.0, 6.0]}, FILE)
    assert "last.bias is a list of 2 in the file and (2,) in the model" in refusal(Net())


def test_torchs_own_warnings_do_not_come_before_the_error() -> None:
    FILE.write_bytes(pickle.dumps({"weight": [1.0]}, protocol=4))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        refusal(Net())
    assert heard == []


class Counting(Net):
    """Keeps a number in its state_dict that is no tensor."""

    count = 0

    def get_extra_state(self) -> dict[str, int]:
        """Return what is to be saved."""
        return {"count": self.count}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take what was saved."""
        self.count = state["count"]


def test_state_that_is_no_tensor_is_the_models_own_affair() -> None:
    torch.save(NUMBERS | {"_extra_state": {"count": 3}}, FILE)
    model = Counting()
    load_weights(model, FILE)
    assert model.count == 3


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_layer_without_a_shape_takes_that_of_the_file() -> None:
    torch.save({"weight": torch.ones(3, 5), "bias": torch.zeros(3)}, FILE)
    model = nn.LazyLinear(3)
    load_weights(model, FILE)
    assert model.weight.tolist() == [[1.0] * 5] * 3


def test_safetensors_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    path = Path("weights.safetensors")
    path.write_bytes(b"")
    assert refusal(Net(), path) == (
        "reading weights.safetensors needs the package safetensors: pip install safetensors, "
        "or save one with torch.save(model.state_dict(), FILE)"
    )


def test_safetensors_are_read_by_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("safetensors.torch")
    package.load_file = lambda path, device: NUMBERS if device == "cpu" else {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", package)
    path, model = Path("weights.safetensors"), Net()
    path.write_bytes(b"")
    load_weights(model, path)
    assert holds_numbers(model)


def test_of_several_state_dicts_the_one_that_was_taken_is_named() -> None:
    model = Net()
    averaged = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    torch.save({"ema": averaged, "model": model.state_dict(), "step": 3}, "both.pt")
    assert load_weights(model, Path("both.pt")) == ["of the file's weights 'model' were loaded, not ema"]
    assert any(value.any() for value in model.state_dict().values())
