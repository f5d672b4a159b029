"""The data sources by name and use; the loaders, which need torch, are the modules of `actdiag.data`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.machinery import PathFinder
from pathlib import Path

from actdiag.errors import UsageError, unknown_name
from actdiag.registry import Registry

FACTORY = "pkg.mod:callable"


@dataclass(frozen=True)
class Source:
    """One kind of data.

    Attributes:
        name: the word before the first colon.
        usage: how it is written after `--data`.
        description: what it holds, in one line.
        module: the module of `actdiag.data` whose `load(spec, parameter)` reads it.
        generated: drawn to the shape that is asked for, where real data bring their own features.
    """

    name: str
    usage: str
    description: str
    module: str
    generated: bool = False


SOURCES: Registry[Source] = Registry("data")

for _source in (
    Source("gaussian", "gaussian", "independent N(0, 1) features, labels drawn uniformly", "gaussian", True),
    Source("digits", "digits", "scikit-learn's 1797 digits, 64 features, 10 classes", "digits"),
    Source("idx", "idx:FOLDER", "a folder with MNIST's IDX files, plain or .gz", "idx"),
    Source("csv", "csv:FILE:TARGET", "a CSV file with numeric features and the named target column", "table"),
    Source(FACTORY, FACTORY, "your function without arguments, returning (inputs, targets)", "factory"),
):
    SOURCES.add(_source.name, _source)


def parse_source(text: str) -> tuple[Source, str]:
    """Return the source that `text` names and its parameter, empty where it takes none.

    A text whose head (before the first colon) is no known name, but an import path or a module
    within reach, is a `pkg.mod:callable`, and is its own parameter.

    Raises:
        UsageError: an unknown name, a missing parameter, or one too many.

    >>> source, parameter = parse_source("csv:flowers.csv:species")
    >>> source.name, parameter
    ('csv', 'flowers.csv:species')
    """
    head, colon, parameter = text.partition(":")
    if head in SOURCES:
        source = SOURCES[head]
        _check_parameter(source, text)
        return source, parameter
    if colon and _is_module(head):
        _check_parameter(SOURCES[FACTORY], text)
        return SOURCES[FACTORY], text
    raise unknown_name("data", head, SOURCES)


def check_features(text: str, features: int | None) -> None:
    """Say that real data bring their own features, where others are asked for.

    Raises:
        UsageError: a number of features for data that are not drawn, or data of an unknown name.
    """
    if features is not None and not parse_source(text)[0].generated:
        raise UsageError(f"features come from the data '{text}', got {features}: leave --features out")


def _check_parameter(source: Source, text: str) -> None:
    _, colon, parameter = text.partition(":")
    if ":" not in source.usage:
        if colon:
            raise UsageError(f"data '{source.name}' takes no parameter, got '{text}': write {source.usage}")
        return
    blank = not parameter or parameter.startswith(":") or parameter.endswith(":")
    if blank or text.count(":") < source.usage.count(":"):
        raise UsageError(f"data '{source.name}' is written {source.usage}, got '{text}'")


def _is_module(head: str) -> bool:
    if not all(part.isidentifier() for part in head.split(".")):
        return False
    if "." in head or head in sys.modules:
        return True
    invalidate_caches()
    return PathFinder.find_spec(head, [str(Path.cwd()), *sys.path]) is not None
