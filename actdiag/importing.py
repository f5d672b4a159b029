"""The user's own callables: `pkg.mod:name`, imported from the current folder and called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import reduce
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from actdiag.blaming import module_of
from actdiag.errors import ActdiagError, UsageError, UserCodeError
from actdiag.memory import exhausted, is_exhausted
from actdiag.texts import printable

_EXAMPLES = {"digits": "actdiag.examples:digits"}
"""What `scan` calls otherwise."""


@contextmanager
def current_folder_on_path() -> Iterator[None]:
    """Import from the current folder first while the block runs, and be in it again afterwards."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        os.chdir(folder)
        if folder in sys.path:
            sys.path.remove(folder)


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turn whatever the user's code raises in the block into one line that begins with `what`.

    actdiag's own errors and Ctrl-C pass.

    Raises:
        UserCodeError: the block raised, or wanted to leave the program.
    """
    try:
        yield
    except (ActdiagError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        place = module_of(error)
        if is_exhausted(error):
            told = exhausted(what, "make the batch or the model smaller", error)
        else:
            told = f"{what} raised {one_line(error)}"
        raise UserCodeError(f"{told}{f', in {place}' if place else ''}") from error


def check_names(names: Mapping[str, str | None]) -> None:
    """Say how the first name that is none is written; see `check_name`.

    Args:
        names: what each is for -> what was given; None where nothing was.
    """
    for use, text in names.items():
        if text is not None:
            check_name(text, use)


def check_name(text: str, use: str) -> None:
    """Say how a name is written, where `text` is none.

    Args:
        text: what was given as `pkg.mod:name`.
        use: what it is for: `data`, `the model`.

    Raises:
        UsageError: no colon, nothing on one side of it, or a file where a module should be.

    >>> check_name("nets/my.py:build", "the model")
    Traceback (most recent call last):
    actdiag.errors.UsageError: the model is written pkg.mod:name, got 'nets/my.py:build': write nets.my:build
    """
    head, _, path = text.partition(":")
    if all(part.isidentifier() for part in [*head.split("."), *path.split(".")]) and not _is_file(head):
        return
    module = head.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
    right = _EXAMPLES.get(text, f"{module}:{path or 'name'}")
    hint = f": write {right}" if module != head or not path else ""
    raise UsageError(f"{use} is written pkg.mod:name, got '{text}'{hint if module else ''}")


def _is_file(head: str) -> bool:
    return head.endswith(".py") and Path(head).is_file()


def find(name: str, use: str) -> Any:
    """Import the module of `pkg.mod:path.to.name` and return what is under the name.

    Args:
        name: the module, a colon, and the name in it.
        use: what it is for, as the error says it: `data`.

    Raises:
        ActdiagError: there is no such module or name, or importing it raises.
    """
    module_name, _, path = name.partition(":")
    invalidate_caches()
    with telling(f"importing '{module_name}'"):
        try:
            module = import_module(module_name)
        except ModuleNotFoundError as error:
            raise UserCodeError(f"cannot import '{module_name}' for {use} '{name}': {error}") from error
    with telling(f"looking up '{name}'"):
        try:
            return reduce(getattr, path.split("."), module)
        except AttributeError as error:
            near = get_close_matches(path, [word for word in dir(module) if not word.startswith("_")], n=1)
            hint = f": did you mean '{near[0]}'?" if near else ""
            raise ActdiagError(f"module '{module_name}' has no '{path}' for {use} '{name}'{hint}") from error


def call(name: str, factory: Callable[[], Any]) -> Any:
    """Return what the user's callable returns.

    Raises:
        ActdiagError: it raises.
    """
    with telling(name):
        return factory()


def describe(value: Any) -> str:
    """Say what came instead, in a few words.

    >>> describe([1, 2]), describe(3)
    ('a list of 2', 'one of type int')
    """
    if value is None:
        return "None (is a return missing?)"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"one of type {type(value).__name__}"


def one_line(error: BaseException) -> str:
    r"""Return an exception's type and text in one line of printable characters.

    >>> one_line(ValueError("two\nlines"))
    'ValueError: two lines'
    """
    try:
        words = " ".join(str(error).split()) or "it gave no reason"
    except Exception:
        words = "its text raised as well"
    return f"{type(error).__name__}: {printable(words)}"
