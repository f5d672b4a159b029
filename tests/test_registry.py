"""Tests for the registry: names, aliases, order, and files found by looking."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actdiag.errors import UsageError
from actdiag.registry import Registry, import_submodules


@pytest.fixture
def animals() -> Registry[int]:
    registry: Registry[int] = Registry("animal")
    registry.add("zebra", 1, ("horse", "pony"))
    registry.add("ant", 2)
    return registry


def test_iterating_gives_canonical_names_in_order_of_registration(animals: Registry[int]) -> None:
    assert list(animals) == ["zebra", "ant"]
    assert len(animals) == 2
    assert dict(animals) == {"zebra": 1, "ant": 2}


def test_alias_gives_the_same_value(animals: Registry[int]) -> None:
    assert animals["horse"] == animals["pony"] == animals["zebra"] == 1
    assert "horse" in animals
    assert "zebra" in animals
    assert "fox" not in animals
    assert animals.aliases("zebra") == ("horse", "pony")
    assert animals.aliases("ant") == ()


def test_unknown_name_is_a_usage_error_that_knows_the_aliases(animals: Registry[int]) -> None:
    with pytest.raises(UsageError) as caught:
        animals["hors"]
    message = "unknown animal 'hors': did you mean 'horse'? Known: zebra, ant, horse, pony."
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "aliases", "taken"),
    [("zebra", (), "zebra"), ("horse", (), "horse"), ("fox", ("ant",), "ant"), ("fox", ("pony",), "pony")],
)
def test_a_name_is_registered_once(
    animals: Registry[int], name: str, aliases: tuple[str, ...], taken: str
) -> None:
    with pytest.raises(ValueError, match=f"^animal '{taken}' is registered twice$"):
        animals.add(name, 3, aliases)
    assert dict(animals) == {"zebra": 1, "ant": 2}
    assert "fox" not in animals


def test_decorator_registers_and_returns_what_it_decorates() -> None:
    functions: Registry[object] = Registry("function")

    @functions.row("first", "one")
    def first() -> None: ...

    assert functions["first"] is first
    assert functions["one"] is first


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "zoo_for_registry"
    folder.mkdir()
    (folder / "__init__.py").write_text("SEEN = []\n")
    for name in ("otter", "bear", "newt"):
        (folder / f"{name}.py").write_text(f"from {folder.name} import SEEN\nSEEN.append('{name}')\n")
    (folder / "notes.txt").write_text("not a module")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_submodules_are_imported_in_order_of_name(package: Path) -> None:
    module = __import__(package.name)
    import_submodules(package.name, [str(package)])
    assert module.SEEN == ["bear", "newt", "otter"]
