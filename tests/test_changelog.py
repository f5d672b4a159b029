"""CHANGELOG.md keeps its form and names what recordings hold."""

from __future__ import annotations

import re
from pathlib import Path

from actdiag import __version__
from actdiag.schema import VERSION

TEXT = (Path(__file__).parents[1] / "CHANGELOG.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Schema"}


def test_unreleased_comes_first_and_nothing_else_is_invented() -> None:
    assert re.findall(r"^## (.*)$", TEXT, re.M)[0] == "Unreleased"
    assert set(re.findall(r"^### (.*)$", TEXT, re.M)) <= KINDS
    assert __version__ in TEXT


def test_the_schema_that_is_written_is_listed_first() -> None:
    versions = [int(row[0]) for row in re.findall(r"^\| (\d+) \|(.*)$", TEXT, re.M)]
    assert versions[0] == VERSION
    assert versions == sorted(versions, reverse=True)
