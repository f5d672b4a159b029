"""Tests for what a user installs: dependencies, their tested pins, the version and the files shipped."""

from __future__ import annotations

import os
import re
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import actdiag

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "actdiag"


@pytest.fixture(scope="module")
def config() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """Return the version of each canonical name in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    entries = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(entry) == 2 for entry in entries)
    names = [canonicalize_name(name) for name, _ in entries]
    assert len(set(names)) == len(names)
    return {canonicalize_name(name): version for name, version in entries}


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.split("\n") if line]


def all_requirements(config: ConfigParser) -> list[Requirement]:
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return [requirement for text in texts for requirement in requirements(text)]


def test_pins_are_plain_versions_that_every_index_knows(pins: dict[str, str]) -> None:
    assert pins["torch"] == "2.13.0"
    assert [
        name for name, version in pins.items() if not re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", version)
    ] == []


def test_every_dependency_has_a_pin_that_it_accepts(config: ConfigParser, pins: dict[str, str]) -> None:
    wanted = all_requirements(config)
    assert len(wanted) > 8
    for requirement in wanted:
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(Version(version)), f"{requirement} against {version}"


def test_install_requires_is_the_short_list(config: ConfigParser) -> None:
    names = {requirement.name for requirement in requirements(config["options"]["install_requires"])}
    assert names == {"torch", "numpy", "pandas", "matplotlib", "seaborn", "click", "rich", "jinja2"}


def test_what_is_required_has_a_lowest_version(config: ConfigParser) -> None:
    open_ended = {"pandas-stubs"}
    without = {str(r) for r in all_requirements(config) if not str(r.specifier).startswith(">=")}
    assert without == open_ended


def test_version_is_written_in_one_place(config: ConfigParser) -> None:
    assert config["metadata"]["version"] == "attr: actdiag.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", actdiag.__version__)
    sources = [*PACKAGE.rglob("*.py"), ROOT / "pyproject.toml", ROOT / "setup.cfg"]
    literal = re.compile(r"^(__version__|version) *= *[\"']?\d", re.MULTILINE)
    holders = [path.name for path in sources if literal.search(path.read_text(encoding="utf-8"))]
    assert holders == ["__init__.py"]


def test_pyproject_leaves_the_metadata_to_setup_cfg() -> None:
    tables = re.findall(r"^\[(.+)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert "build-system" in tables
    assert [table for table in tables if table == "project" or table.startswith("tool.setuptools")] == []


def test_console_script_is_the_cli(config: ConfigParser) -> None:
    assert config["options.entry_points"]["console_scripts"].split("\n")[1:] == ["actdiag = actdiag.cli:main"]


def test_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_every_folder_with_code_is_a_package_that_find_sees() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder.name for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_data_file_is_shipped(config: ConfigParser) -> None:
    patterns = config["options.package_data"]["actdiag"].split()
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    data = [path.relative_to(PACKAGE).as_posix() for path in files if path.suffix not in (".py", ".so")]
    assert "py.typed" in data
    assert [name for name in data if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_ci_runs_from_one_executable_file() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
