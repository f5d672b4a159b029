"""Names to things: rows that register themselves and files that are found by looking."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from actdiag.errors import unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names and their aliases to values, in order of registration.

    Iterating yields canonical names only; looking an alias up yields the same value.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, value: T, aliases: Iterable[str] = ()) -> T:
        """Register `value` under `name` and `aliases`, none of which may be taken."""
        for taken in {name, *aliases} & {*self._values, *self._aliases}:
            raise ValueError(f"{self.kind} '{taken}' is registered twice")
        self._values[name] = value
        self._aliases.update(dict.fromkeys(aliases, name))
        return value

    def row(self, name: str, *aliases: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates."""
        return lambda value: self.add(name, value, aliases)

    def aliases(self, name: str) -> tuple[str, ...]:
        """Return the other names of `name`."""
        return tuple(alias for alias, target in self._aliases.items() if target == name)

    def __getitem__(self, name: str) -> T:
        try:
            return self._values[self._aliases.get(name, name)]
        except KeyError:
            raise unknown_name(self.kind, name, [*self._values, *self._aliases]) from None

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def import_submodules(package: str, path: Iterable[str]) -> None:
    """Import every module of `package`, in order of name, so that its units register themselves."""
    for module in sorted(pkgutil.iter_modules(path), key=lambda found: found.name):
        importlib.import_module(f"{package}.{module.name}")
