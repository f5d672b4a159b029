"""What a rule is: thresholds with their source, a judgement of one run, and its own documentation."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from actdiag.numerals import numeral, scientific
from actdiag.registry import Registry
from actdiag.rules.runs import NotJudged as NotJudged
from actdiag.rules.runs import Run as Run
from actdiag.rules.runs import finite as finite
from actdiag.rules.runs import sample_norm as sample_norm
from actdiag.rules.runs import two_layers as two_layers
from actdiag.tables import Table
from actdiag.types import Finding, Severity

RULES: Registry[type[Rule]] = Registry("rule")


def threshold(default: float, source: str) -> Any:
    """Return a dataclass field that holds a threshold and where it comes from."""
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True)
class Rule(ABC):
    """A pattern that may be found in a run.

    A subclass is a frozen dataclass whose fields are thresholds made with `threshold`. Its docstring
    explains it under the headings What it measures, Why it matters, What to do and References.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    severities: ClassVar[tuple[Severity, ...]]
    bad: ClassVar[str]
    good: ClassVar[str]
    calibrated: ClassVar[bool] = True
    """Thresholds come from theory or calibration on plain chains: capped at warning elsewhere."""
    once: ClassVar[bool] = False
    """Looks at every step, or at none in particular: not to be judged again at later steps."""
    remedies_later: ClassVar[bool] = False
    """Knows what to do at later steps as well: elsewhere the start's remedies give way to training's."""
    of_modules: ClassVar[bool] = False
    """Looks at the modules table alone, which no step changes."""

    @abstractmethod
    def judge(self, run: Run) -> Iterator[Finding]:
        """Yield what is found in the run; raise `NotJudged` where it cannot be told."""

    def finding(
        self, run: Run, severity: Severity, rows: Table, message: str, remedy: str, **evidence: Any
    ) -> Finding:
        """Return a finding about the layers and modules of `rows`."""
        layers = tuple(dict.fromkeys(rows["layer"].tolist()))
        modules = tuple(dict.fromkeys(rows["module"].tolist()))
        plain = {key: value.item() if hasattr(value, "item") else value for key, value in evidence.items()}
        return Finding(self.code, self.name, severity, run.name, layers, modules, message, plain, remedy)

    def against(self, name: str) -> dict[str, float | str]:
        """Return the threshold `name` as evidence, and where it comes from: its source, or the user."""
        value: float = getattr(self, name)
        default = next(item.default for item in fields(self) if item.name == name)
        source = self.source_of(name) if value == default else f"set by the user: {self.code}.{name}"
        return {"threshold": value, "threshold_source": source}

    @classmethod
    def source_of(cls, name: str) -> str:
        """Return where the threshold `name` comes from."""
        return next(str(item.metadata["source"]) for item in fields(cls) if item.name == name)

    @classmethod
    def explanation(cls) -> str:
        """Return the rule's docstring without its indentation."""
        return inspect.cleandoc(cls.__doc__ or "")


def register(rule: type[Rule]) -> type[Rule]:
    """Register a rule under its code, its name as alias."""
    return RULES.add(rule.code, rule, (rule.name,))


def times(ratio: float) -> str:
    """Spell a ratio for a message.

    >>> times(23.4), times(32352.0), times(31e6), times(1.26)
    ('23 times', '3.2e4 times', '3.1e7 times', '1.3 times')
    """
    if not math.isfinite(ratio):
        return "infinitely many times"
    return f"{numeral(ratio, 2) if ratio < 1e4 else scientific(ratio)} times"
