"""docs/rules.md, and what `actdiag rule` prints."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from actdiag.cli import cli
from actdiag.rules import RULES, Rule

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"


def printed(*args: str) -> str:
    result = CliRunner().invoke(cli, ["rule", *args])
    assert result.exit_code == 0, result.output
    return result.output


def named_severities(rule: type[Rule]) -> set[str]:
    """Return the names of the severities that a rule's code mentions, but for its own list of them."""
    owners = [owner for owner in rule.__mro__ if issubclass(owner, Rule) and owner is not Rule]
    found = set()
    for path in {inspect.getsourcefile(sys.modules[owner.__module__]) for owner in owners}:
        tree = ast.parse(Path(str(path)).read_text())
        listed = {
            id(each)
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "severities"
            for each in ast.walk(node)
        }
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Severity"
            if id(node) not in listed
        }
    return found


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text() == printed("--all", "--markdown")


@pytest.mark.parametrize("code", RULES)
def test_a_rule_lists_the_severities_of_its_findings(code: str) -> None:
    listed = [severity.name for severity in RULES[code].severities]
    assert set(listed) == named_severities(RULES[code])
    assert listed == sorted(listed, key=["ERROR", "WARNING", "INFO"].index)


@pytest.mark.parametrize("code", RULES)
def test_the_page_holds_all_that_a_rule_says(code: str) -> None:
    rule, page = RULES[code], PAGE.read_text()
    own = page.split(f"\n## {code} ")[1].split("\n## ")[0]
    plain = re.sub(r"\\([*<\[|])", r"\1", own)
    words = " ".join(plain.split())
    for line in rule.explanation().splitlines():
        assert " ".join(line.strip().removesuffix(":").split()) in words
    for field in fields(rule):
        value = f"{field.default:g}".replace("e-0", "e-")
        assert f"| `{field.name}` | {value} | {field.metadata['source']} |" in plain
    assert rule.bad in own
    assert rule.good in own


def test_links_lead_to_chapters() -> None:
    page = PAGE.read_text()
    chapters = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert links == chapters
    assert len(links) == len(RULES)


def test_json_and_markdown_are_not_both_printed() -> None:
    result = CliRunner().invoke(cli, ["rule", "AD101", "--json", "--markdown"])
    assert result.exit_code == 2
    assert result.output.splitlines() == ["Error: --json and --markdown are two forms of one text: give one"]
