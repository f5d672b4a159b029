"""Weights from a file: read without running code, checked as a whole before one is loaded."""

from __future__ import annotations

import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from actdiag.errors import ActdiagError
from actdiag.importing import describe, one_line, telling
from actdiag.memory import check_fits

NESTS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the state_dict."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
SHOWN = 5
_SAVE = "save one with torch.save(model.state_dict(), FILE)"

Tensors = dict[str, Any]


def load_weights(model: nn.Module, path: Path) -> list[str]:
    """Load a file of weights into a model; it must name all of them, in their shapes, and no others.

    Returns:
        What the reader should know: a prefix taken off, numbers converted.

    Raises:
        ActdiagError: the file cannot be read, would run code, or does not fit; the model is then as before.
    """
    target = getattr(model, "_orig_mod", model)
    own = target.state_dict(keep_vars=True)
    loaded = _read(path)
    weights, notes = _without_prefixes(_state_dict(loaded, path), own)
    notes += _others(loaded)
    _check_names(own, weights, path)
    _check_shapes(own, weights, path)
    with telling(f"loading {path}"):
        target.load_state_dict(weights, strict=False)
    return notes + _conversions(own, weights)


def _read(path: Path) -> Any:
    _check_file(path)
    try:
        _check_unpacked(path)
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except ActdiagError:
        raise
    except OSError as error:
        raise ActdiagError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:
        raise ActdiagError(f"{path} is empty, damaged or no file of weights: {_SAVE}") from error


def _check_file(path: Path) -> None:
    """Raise where there is no ordinary file: a pipe would be waited for, a device read for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise ActdiagError(f"there is no file of weights {path}") from error
    except (OSError, ValueError) as error:
        raise ActdiagError(f"cannot read the file of weights: {one_line(error)}") from error
    if stat.S_ISDIR(mode):
        raise ActdiagError(f"{path} is a folder, expected a file of weights: {_SAVE}")
    if not stat.S_ISREG(mode):
        raise ActdiagError(f"{path} is a pipe or a device, expected a file of weights: {_SAVE}")


def _check_unpacked(path: Path) -> None:
    """Raise where an archive says that it holds more than memory does."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    check_fits(size, f"what {path} unpacks to", "take a smaller file")


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error that follows says it better
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"\bGLOBAL (\S+)", str(error))
        if wanted is None:
            raise
        raise ActdiagError(
            f"{path} holds more than weights: it wants to import {wanted[1]}, and loading that could run any "
            "code. Where you trust it, load it yourself and save model.state_dict() with torch.save"
        ) from error


def _read_safetensors(path: Path) -> Any:
    try:
        load = import_module("safetensors.torch").load_file
    except ImportError as error:
        raise ActdiagError(
            f"reading {path} needs the package safetensors: pip install safetensors, or {_SAVE}"
        ) from error
    return load(path, device="cpu")


def _state_dict(loaded: Any, path: Path) -> Tensors:
    """Return the state_dict itself, out of what a training script saved around it."""
    while isinstance(loaded, Mapping):
        nested = next((loaded[key] for key in NESTS if isinstance(loaded.get(key), Mapping)), None)
        if nested is None:
            break
        loaded = nested
    if not isinstance(loaded, Mapping):
        raise ActdiagError(f"{path} holds {describe(loaded)}, expected a state_dict: {_SAVE}")
    if not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        keys = _listed([str(key) for key in loaded]) or "nothing"
        raise ActdiagError(f"{path} holds no state_dict, got a dict of {keys}: {_SAVE}")
    return {str(key): value for key, value in loaded.items()}


def _others(loaded: Any) -> list[str]:
    """Return a note where a file holds several state_dicts, of which one was taken."""
    there = [str(key) for key, value in loaded.items() if _holds_tensors(value)]
    taken = next((key for key in NESTS if key in there), None)
    others = _listed([key for key in there if key != taken])
    return [f"of the file's weights '{taken}' were loaded, not {others}"] if taken and others else []


def _holds_tensors(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(part, torch.Tensor) for part in value.values())
    )


def _without_prefixes(weights: Tensors, own: Mapping[str, Any]) -> tuple[Tensors, list[str]]:
    """Take off the prefixes that all names share and the model's own do not."""
    taken = ""
    while prefix := next((p for p in PREFIXES if _shared(p, weights) and not _shared(p, own)), ""):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
        taken += prefix
    return weights, [f"the prefix '{taken}' was taken off the names of the weights"] if taken else []


def _shared(prefix: str, names: Mapping[str, Any]) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)


def _check_names(own: Mapping[str, Any], weights: Tensors, path: Path) -> None:
    """Raise where names are missing or unexpected; one of two names of a shared tensor is enough."""
    there = {id(own[name]) for name in weights if name in own}
    missing = [name for name in own if name not in weights and id(own[name]) not in there]
    unexpected = [name for name in weights if name not in own]
    parts = [
        f"{len(names)} {what} ({_listed(names)})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"))
        if names
    ]
    if parts:
        raise ActdiagError(f"the weights of {path} do not fit the model: {', '.join(parts)}. None was loaded")


def _check_shapes(own: Mapping[str, Any], weights: Tensors, path: Path) -> None:
    """Raise where a tensor has another shape, or is none; extra state of the model's own may be anything."""
    wrong = [
        f"{name} is {_shape(weights[name])} in the file and {_shape(value)} in the model"
        for name, value in own.items()
        if name in weights and _has_shape(value) and _shape(value) != _shape(weights[name])
    ]
    if wrong:
        raise ActdiagError(
            f"the weights of {path} do not fit the model: {len(wrong)} of another shape "
            f"({_listed(wrong)}). None was loaded"
        )


def _has_shape(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not is_lazy(value)


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else describe(value)


def _conversions(own: Mapping[str, Any], weights: Tensors) -> list[str]:
    pairs = [
        (weights[name].dtype, value.dtype)
        for name, value in own.items()
        if name in weights and _has_shape(value) and weights[name].dtype != value.dtype
    ]
    names = [tuple(str(dtype).removeprefix("torch.") for dtype in pair) for pair in dict.fromkeys(pairs)]
    return [f"weights were converted from {', '.join(f'{old} to {new}' for old, new in names)}"] * bool(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
