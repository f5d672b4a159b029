"""The rules as a page of Markdown: what `actdiag rule --all --markdown` prints and docs/rules.md holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields

from actdiag.numerals import in_full
from actdiag.rules import Rule

INTRODUCTION = """\
Each finding names the rule that made it by its code. `actdiag rule CODE` prints a rule's part of this page,
and `--select`, `--ignore` and `--set RULE.NAME=NUMBER` choose rules and change thresholds. The first digit
of a code says what it is about: 0 what could be seen, 1 gradients, 2 activations, 3 weights and parameters,
4 theory and geometry, 5 input and output, 9 number formats.

- **error**: the network does not train. **warning**: it trains worse than it could. **info**: worth knowing.
- Rules marked with \\* were calibrated on, or derived for, plain chains of layers; elsewhere their errors are
  capped at warning.

This page is generated: `actdiag rule --all --markdown > docs/rules.md`."""


def handbook(rules: Sequence[type[Rule]], protocol: str) -> str:
    """Return the page.

    Args:
        rules: in the order in which they are to stand.
        protocol: how networks were trained to calibrate thresholds, in words.
    """
    parts = ["# The rules", INTRODUCTION, _contents(rules), _escaped(protocol)]
    return "\n\n".join([*parts, *(_chapter(rule) for rule in rules)])


def severities(rule: type[Rule]) -> str:
    """Return the severities that a rule's findings may have, the worst first."""
    return ", ".join(severity.value for severity in rule.severities)


def _contents(rules: Sequence[type[Rule]]) -> str:
    lines = ["| rule | name | severity | what is found |", "|---|---|---|---|"]
    for rule in rules:
        code = f"[{rule.code}](#{rule.code.lower()}-{rule.name})" + ("\\*" if rule.calibrated else "")
        lines.append(f"| {code} | {rule.name} | {severities(rule)} | {_cell(rule.title)} |")
    return "\n".join(lines)


def _chapter(rule: type[Rule]) -> str:
    head = f"## {rule.code} {rule.name}\n\n**{rule.title[0].upper()}{rule.title[1:]}** ({severities(rule)})."
    examples = f"```sh\n{rule.bad}  # fires\n{rule.good}  # does not\n```"
    return "\n\n".join([head, *_sections(rule.explanation()), *_thresholds(rule), examples])


def _sections(explanation: str) -> Iterator[str]:
    """Yield the paragraphs of an explanation, its headings in bold."""
    for paragraph in explanation.split("\n\n"):
        head, *body = paragraph.split("\n")
        if re.fullmatch(r"[A-Z][A-Za-z ]+:", head):
            lines = [_escaped(line.strip()) for line in body]
            yield "\n".join([f"**{head.removesuffix(':')}.** {lines[0]}", *lines[1:]])
        else:
            yield "\n".join(_escaped(line.strip()) for line in (head, *body))


def _thresholds(rule: type[Rule]) -> Iterator[str]:
    if not fields(rule):
        return
    lines = ["| threshold | value | what it decides, and where it comes from |", "|---|---|---|"]
    for item in fields(rule):
        default: float = getattr(rule, item.name)
        lines.append(f"| `{item.name}` | {in_full(default)} | {_cell(item.metadata['source'])} |")
    yield "\n".join(lines)


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Return text in which Markdown finds no emphasis and no tags but what stands in back quotes."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<\[])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
