"""What a rule is: thresholds with their source, a judgement of one run, and its own documentation."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import pandas as pd

from actdiag.numerals import numeral
from actdiag.recording import Recording
from actdiag.registry import Registry
from actdiag.types import Finding, Severity

RULES: Registry[type[Rule]] = Registry("rule")


class NotJudged(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a rule that cannot judge a run; the text is the reason the user reads."""


def threshold(default: float, source: str) -> Any:
    """Return a dataclass field that holds a threshold and where it comes from."""
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True)
class Run:
    """One run of a recording, as a rule sees it."""

    name: str
    recording: Recording

    @property
    def rows(self) -> pd.DataFrame:
        """Return the measured rows."""
        rows = self.recording.rows
        return rows.loc[rows["source"] == "measured"]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the run's part of the meta data: spec, loss, notes."""
        facts: Mapping[str, Any] = self.recording.meta["runs"][self.name]
        return facts

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """Return the spec's fields, None for a model that is not the tool's own."""
        return self.facts.get("spec")

    @property
    def hidden(self) -> pd.DataFrame:
        """Return the products that an activation follows, by layer: the hidden layers of the chain."""
        modules = self.recording.modules
        followed = (modules["kind"] == "product") & (modules["activation_after"] != "")
        return modules[followed].sort_values("layer")

    def at(self, tensor: str) -> pd.DataFrame:
        """Return the first step's rows of one tensor kind, by layer, whatever their module."""
        rows = self.rows
        rows = rows[(rows["tensor"] == tensor)]
        first: pd.DataFrame = rows[rows["step"] == rows["step"].min()]
        return first.sort_values(["layer", "call"], kind="stable")

    def hidden_at(self, tensor: str) -> pd.DataFrame:
        """Return one row per hidden layer: of the product itself, or of its activation.

        Raises:
            NotJudged: there is no hidden layer, or the tensor was not recorded there.
        """
        hidden = self.hidden
        if hidden.empty:
            raise NotJudged(self._why_no_hidden_layer())
        rows = self.at(tensor)
        rows = rows[rows["layer"].isin(hidden["layer"])]
        if tensor != "activation":
            rows = rows[rows["module"].isin(hidden["name"])]
        if rows.empty:
            raise NotJudged(f"no {tensor} was recorded")
        return rows.drop_duplicates("layer")

    def _why_no_hidden_layer(self) -> str:
        products = (self.recording.modules["kind"] == "product").sum()
        if products < 2:
            return "there is no hidden layer"
        return (
            f"no activation module was seen behind any of {products} layers "
            "(functional activations such as F.relu are not observed)"
        )

    def signal(self) -> pd.DataFrame:
        """Return, per hidden layer, what it passes on: past a norm or a sum, before dropout.

        Dropout is left out because its mask makes samples differ that the network cannot tell apart.

        Raises:
            NotJudged: there is no hidden layer, or no activation was recorded.
        """
        layers = self.hidden_at("activation")["layer"]
        modules = self.recording.modules
        masks = modules.loc[modules["kind"] == "dropout", "name"]
        rows = pd.concat([self.at("activation"), self.at("output")]).sort_index()
        rows = rows[rows["layer"].isin(layers) & ~rows["module"].isin(masks)]
        return rows.drop_duplicates("layer", keep="last").sort_values("layer")


def finite(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows.

    Raises:
        NotJudged: one of them holds NaN or Inf, or no number at all.
    """
    broken = rows[(rows["nan_count"] + rows["inf_count"] > 0) | rows["rms"].isna()]
    if not broken.empty:
        first = broken.iloc[0]
        raise NotJudged(f"the {first['tensor']} of layer {first['layer']} is not finite (see AD901)")
    return rows


def two_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows.

    Raises:
        NotJudged: there are fewer than two, so that no ratio between layers exists.
    """
    if len(rows) < 2:
        raise NotJudged("a ratio between layers needs two hidden layers, and there is one")
    return rows


def sample_norm(rows: pd.DataFrame) -> pd.Series:
    """Return sqrt(mean over samples of ||x_i||^2) = rms sqrt(units positions), per row.

    Width and positions do not fake a slope in it, as they would in the rms.
    """
    return rows["rms"] * (rows["units"] * rows["positions"]) ** 0.5


@dataclass(frozen=True)
class Rule(ABC):
    """A pattern that may be found in a run.

    A subclass is a frozen dataclass whose fields are thresholds made with `threshold`. Its docstring
    explains it under the headings What it measures, Why it matters, What to do and References.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    bad: ClassVar[str]
    good: ClassVar[str]
    calibrated: ClassVar[bool] = True
    """Thresholds come from theory or calibration on plain chains: capped at warning elsewhere."""

    @abstractmethod
    def judge(self, run: Run) -> Iterator[Finding]:
        """Yield what is found in the run; raise `NotJudged` where it cannot be told."""

    def finding(
        self, run: Run, severity: Severity, rows: pd.DataFrame, message: str, remedy: str, **evidence: Any
    ) -> Finding:
        """Return a finding about the layers and modules of `rows`."""
        layers = tuple(dict.fromkeys(int(layer) for layer in rows["layer"]))
        modules = tuple(dict.fromkeys(str(name) for name in rows["module"]))
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

    >>> times(23.4), times(31e6), times(1.26)
    ('23 times', '3.1e7 times', '1.3 times')
    """
    if not math.isfinite(ratio):
        return "infinitely many times"
    return f"{numeral(ratio, 2 if ratio < 1e4 else 3)} times"
