"""`actdiag rule`: print what a rule is about."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import click

from actdiag.cli.completing import complete_rule
from actdiag.cli.handbook import handbook, severities
from actdiag.cli.wrapping import columns, echo, refilled
from actdiag.errors import UsageError
from actdiag.numerals import in_full
from actdiag.rules import RULES, Rule

PROTOCOL = """\
The protocol: plain SGD, batches of 128, standardised inputs, 400 steps at each of the learning rates 1e-3,
1e-2, 1e-1 and 1. A network that stays below 30% training accuracy on ten classes does not train."""
PAGE = 110
"""Columns of prose where there is no terminal."""


@click.command("rule")
@click.argument("name", required=False, metavar="[CODE]", shell_complete=complete_rule)
@click.option("--all", "every", is_flag=True, help="Print all rules.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print a page of Markdown; docs/rules.md is that of --all.")
def command(name: str | None, every: bool, as_json: bool, markdown: bool) -> None:
    """Explain a rule, named by its code or its name.

    \b
    actdiag rule AD101
    actdiag rule vanishing-gradient
    actdiag rule --all --markdown
    """
    if (name is None) == (not every):
        raise UsageError("name one rule, as in actdiag rule AD101, or give --all")
    if as_json and markdown:
        raise UsageError("--json and --markdown are two forms of one text: give one")
    chosen = (
        list(RULES.values()) if name is None else [RULES[name.upper() if name.upper() in RULES else name]]
    )
    if as_json:
        facts = [_facts(rule) for rule in chosen]
        click.echo(json.dumps(facts if every else facts[0], indent=1))
    elif markdown:
        click.echo(handbook(chosen, PROTOCOL))
    else:
        echo("\n\n\n".join(_text(rule, columns() or PAGE) for rule in chosen))


def _thresholds(rule: type[Rule]) -> dict[str, dict[str, Any]]:
    return {item.name: {"value": item.default, "source": item.metadata["source"]} for item in fields(rule)}


def _facts(rule: type[Rule]) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "title": rule.title,
        "severities": [severity.value for severity in rule.severities],
        "explanation": rule.explanation(),
        "thresholds": _thresholds(rule),
        "bad": rule.bad,
        "good": rule.good,
    }


def _text(rule: type[Rule], width: int) -> str:
    head = f"{rule.code} {rule.name} ({severities(rule)}): {rule.title}"
    lines = [head, "", refilled(rule.explanation(), width), ""]
    if _thresholds(rule):
        lines += ["Thresholds:"]
        lines += [f"    {k} = {in_full(v['value'])}  ({v['source']})" for k, v in _thresholds(rule).items()]
        lines += [""]
    if "protocol" in "\n".join(lines):
        lines += [refilled(PROTOCOL, width), ""]
    return "\n".join([*lines, "Fires:", f"    {rule.bad}", "Does not fire:", f"    {rule.good}"])
