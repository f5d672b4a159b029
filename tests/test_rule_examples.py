"""Each rule's own examples, run: the bad one fires the rule, the good one does not."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from actdiag.cli import cli
from actdiag.rules import RULES


def codes_found(command: str, folder: Path) -> set[str]:
    """Return the codes that a command line, starting with `actdiag`, reports."""
    words = [*shlex.split(command)[1:], "--json", "--out", str(folder / "report"), "--format", "json"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return {finding["code"] for finding in json.loads(result.stdout)["findings"]}


@pytest.mark.parametrize("code", RULES)
def test_the_bad_example_fires(code: str, tmp_path: Path) -> None:
    assert code in codes_found(RULES[code].bad, tmp_path)


@pytest.mark.parametrize("code", RULES)
def test_the_good_example_is_clean(code: str, tmp_path: Path) -> None:
    assert codes_found(RULES[code].good, tmp_path) == set()
