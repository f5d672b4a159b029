"""The values that travel between the stages: what to run, and what was found."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

from actdiag.activations import activation
from actdiag.arguments import LARGEST, choice, flag, number, whole, word
from actdiag.errors import UsageError
from actdiag.initialisers import LARGEST_NUMBER, initialiser
from actdiag.notebook import diagnosis_html, finding_html
from actdiag.texts import printable
from actdiag.verdicts import NOT_JUDGED

CHOICES = {
    "norm": ("none", "batch", "layer"),
    "norm_place": ("before", "after"),
    "loss": ("cross_entropy", "mse", "hinge"),
    "dtype": ("float32", "bfloat16", "float64"),
    "device": ("cpu", "cuda", "mps", "auto"),
}
"""The fields of `RunSpec` that take one of a few words."""

_SMALLEST = {"depth": 0, "width": 1, "batch": 1, "seed": 0, "features": 1, "classes": 1}


@dataclass(frozen=True)
class RunSpec:
    """One network, its data and its loss: everything `actdiag.scan` needs to run it again.

    Attributes:
        depth: hidden layers; 0 is a perceptron.
        width: units of each hidden layer.
        act: activation, `tanh` or `leaky_relu:0.1`.
        init: initialiser, `xavier` or `normal:0.01`.
        gain: a number, "torch" or "exact"; None is the initialiser's own.
        bias: value of every bias; None is 0 (torch_default: torch's own law).
        norm: none, batch or layer.
        norm_place: before or after the activation.
        dropout: probability, 0 <= p < 1.
        residual: add each hidden layer's input to its output where the shapes agree.
        data: gaussian, digits, idx:FOLDER, csv:FILE:TARGET or pkg.mod:callable.
        features: input features (gaussian only); None is the width.
        classes: outputs; None is 10, or what the data holds.
        standardise: give each column of real data mean 0 and variance 1.
        batch: samples in the one batch that is measured.
        loss: cross_entropy, mse or hinge, each a mean.
        dtype: float32, bfloat16 or float64.
        device: cpu, cuda, mps or auto.
        seed: of the weights, the data and the dropout masks.

    Raises:
        UsageError: a field out of its range.

    >>> RunSpec(depth=3, width=64, init="he", act="relu").slug
    'relu-he-3x64'
    """

    depth: int = 10
    width: int = 256
    act: str = "tanh"
    init: str = "xavier"
    gain: float | str | None = None
    bias: float | None = None
    norm: str = "none"
    norm_place: str = "before"
    dropout: float = 0.0
    residual: bool = False
    data: str = "gaussian"
    features: int | None = None
    classes: int | None = None
    standardise: bool = True
    batch: int = 512
    loss: str = "cross_entropy"
    dtype: str = "float32"
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("act", "init", "data"):
            word(name, getattr(self, name), "tanh")
        _make_float(self, "gain", "bias", "dropout")
        for name, smallest in _SMALLEST.items():
            _make_whole(self, name, smallest)
        _make_bool(self, "residual", "standardise")
        for name, words in CHOICES.items():
            choice(name, getattr(self, name), words)
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"dropout is a probability p with 0 <= p < 1, got {self.dropout}")
        if self.bias is not None and not abs(self.bias) <= LARGEST_NUMBER:
            raise UsageError(f"bias is a finite number up to {LARGEST_NUMBER:g}, got {self.bias}")
        activation(self.act)
        _check_gain(self.gain, self.init)

    @property
    def slug(self) -> str:
        """Return a name for files and runs: `[a-z0-9._-]` only, one for each different spec."""
        parts = [f"{self.act}-{self.init}-{self.depth}x{self.width}"]
        for item in fields(self)[4:]:
            value = getattr(self, item.name)
            if value != item.default:
                parts.append(_part(item.name, value))
        text = "-".join(parts)
        slug = re.sub(r"[^a-z0-9._-]+", "-", text)
        lossless = slug == text.replace(":", "-") and ":" not in self.data and len(slug) <= 120
        return slug if lossless else f"{slug[:100]}-{self._digest()}"

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]

    def command(self) -> str:
        """Return the command line that scans this spec.

        >>> RunSpec(act="relu", standardise=False).command()
        'actdiag scan --depth 10 --width 256 --act relu --init xavier --no-standardise'
        """
        words = ["actdiag scan"]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("depth", "width", "act", "init") or value != item.default:
                words.append(_option(item.name.replace("_", "-"), value))
        return " ".join(words)


def _make_float(spec: RunSpec, *names: str) -> None:
    """Turn numbers of any kind, and -0.0, into the float they equal, so that equal specs have equal slugs."""
    for name in names:
        value = getattr(spec, name)
        if not (value is None and name != "dropout") and not (isinstance(value, str) and name == "gain"):
            object.__setattr__(spec, name, number(name, value) + 0.0)


def _make_bool(spec: RunSpec, *names: str) -> None:
    for name in names:
        object.__setattr__(spec, name, flag(name, getattr(spec, name)))


def _make_whole(spec: RunSpec, name: str, smallest: int) -> None:
    """Turn whole numbers of any kind into Python's own."""
    value = getattr(spec, name)
    if value is not None or name not in ("features", "classes"):
        object.__setattr__(spec, name, whole(name, value, smallest, LARGEST))


def _check_gain(gain: float | str | None, init: str) -> None:
    row = initialiser(init)
    if gain is None:
        return
    if row.gain is None:
        raise UsageError(f"initializer '{init}' has no gain to set: leave --gain out")
    if isinstance(gain, str):
        if gain not in ("torch", "exact"):
            raise UsageError(f"gain is a number, 'torch' or 'exact', got '{gain}'")
    elif not 0 < gain <= LARGEST_NUMBER:
        raise UsageError(f"gain is a finite number > 0 and <= {LARGEST_NUMBER:g}, got {gain}")


def _part(name: str, value: Any) -> str:
    short = {"data": "", "seed": "seed", "batch": "batch"}.get(name, name.replace("_", ""))
    if isinstance(value, bool):
        return short if value else f"no{short}"
    return f"{short}{value}"


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


class Severity(str, Enum):
    """How much a finding matters; the values are what files and `--json` hold."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Return 0 for info, 1 for warning, 2 for error."""
        return list(Severity).index(self)


VERDICTS = {
    None: "healthy",
    Severity.INFO: "healthy",
    Severity.WARNING: "trains worse than it could",
    Severity.ERROR: "does not train",
}
"""What the worst finding of a run means for the run."""


@dataclass(frozen=True)
class Finding:
    """One pattern that a rule found in one run.

    Attributes:
        code: the rule's code, `AD101`.
        name: the rule's name, `vanishing-gradient`.
        severity: error, warning or info.
        run: the run it was found in.
        layers: the layers concerned, from 1.
        modules: their module names.
        message: what is wrong, in one sentence with the number measured.
        evidence: measured, expected, threshold (numbers or words) and threshold_source.
        remedy: what to do.
        step: the step it was found at; None for the first one recorded.
    """

    code: str
    name: str
    severity: Severity
    run: str
    layers: tuple[int, ...]
    modules: tuple[str, ...]
    message: str
    evidence: Mapping[str, float | int | str]
    remedy: str
    step: int | None = None

    def _repr_html_(self) -> str:
        return finding_html(self)


@dataclass(frozen=True)
class Outcome:
    """A rule that found nothing in a run, or could not judge it: then `reason` says why."""

    code: str
    name: str
    run: str
    reason: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What the rules say of a recording: found, clean, or not judged.

    Attributes:
        runs: the runs' names.
        findings: what was found, worst first.
        passed: the rules that found nothing.
        skipped: those that could not judge.
        notes: (run, what the reader should know of how it was recorded).
    """

    runs: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    passed: tuple[Outcome, ...] = ()
    skipped: tuple[Outcome, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    def of(self, run: str) -> Diagnosis:
        """Return the part that concerns one run.

        Raises:
            UsageError: it is of other runs, or no name.
        """
        if not isinstance(run, str) or (self._parts and run not in self._parts):
            known = ", ".join(self.runs[:3]) + ", ..." * (len(self.runs) > 3)
            raise UsageError(
                f"unknown run '{run}': expected one of diagnosis.runs, as {known or 'there is none'}"
            )
        return self._parts.get(run, Diagnosis((run,)))

    @cached_property
    def _parts(self) -> dict[str, Diagnosis]:
        """Return the part of each run, from one pass over all that was found."""
        found = _by_run(self.findings)
        passed, skipped = _by_run(self.passed), _by_run(self.skipped)
        return {
            run: Diagnosis(
                (run,), found.get(run, ()), passed.get(run, ()), skipped.get(run, ()),
                tuple(note for note in self.notes if note[0] == run),
            )
            for run in {*self.runs, *found, *passed, *skipped}
        }  # fmt: skip

    @cached_property
    def _verdicts(self) -> dict[str, str]:
        """Return each run's verdict."""
        return {run: self.of(run).run_verdict for run in self.runs}

    def __str__(self) -> str:
        """Return the verdict, of several runs how many got which; what was found, and what to do about it."""
        counts = (f"{count} of {len(self.runs)} runs: {verdict}" for verdict, count in self.votes.items())
        lines = ["; ".join(counts) if len(self.runs) > 1 else self.verdict.upper()]
        for found in self.findings:
            run = f" in {found.run}" if len(self.runs) > 1 else ""
            lines += [f"{found.severity.value} {found.code} {found.name}{run}: {found.message}"]
            lines += [f"    Remedy: {found.remedy}"]
        lines += [f"not judged: {outcome.code} {outcome.name}: {outcome.reason}" for outcome in self.skipped]
        lines += [f"note: {note}" for note in dict.fromkeys(note for _, note in self.notes)]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        return diagnosis_html(self)

    @property
    def worst(self) -> Severity | None:
        """Return the highest severity found, None where nothing was found."""
        return max((finding.severity for finding in self.findings), key=lambda s: s.rank, default=None)

    @property
    def run_verdict(self) -> str:
        """Return the verdict on this diagnosis as one run, see `VERDICTS` and `NOT_JUDGED`.

        Findings about coverage (AD0xx) say nothing of how the network trains. Where rules about gradients
        (AD1xx) were asked, one of them must have been able to look; else one about activations (AD2xx). Only
        a finding above `info` makes up for it.
        """
        asked = [outcome.code for outcome in (*self.passed, *self.skipped)]
        core = "AD1" if any(code.startswith("AD1") for code in asked) else "AD2"
        found = Diagnosis(
            self.runs, tuple(finding for finding in self.findings if not finding.code.startswith("AD0"))
        )
        looked = any(outcome.code.startswith(core) for outcome in self.passed) or any(
            finding.code.startswith(core) or finding.severity is not Severity.INFO
            for finding in found.findings
        )
        return NOT_JUDGED if asked and not looked else VERDICTS[found.worst]

    @property
    def votes(self) -> dict[str, int]:
        """Return how many runs got each verdict, the most frequent first, then the more severe."""
        counted = Counter(self._verdicts[run] for run in self.runs)
        order = [*dict.fromkeys(reversed(VERDICTS.values())), NOT_JUDGED]
        return dict(sorted(counted.items(), key=lambda item: (-item[1], order.index(item[0]))))

    @property
    def verdict(self) -> str:
        """Return the verdict that most runs got, as draws of one network; of others ask `of(run)`."""
        return next(iter(self.votes), "nothing to judge")

    @property
    def typical_run(self) -> str:
        """Return the first run that got the verdict, "" where there is none."""
        verdict = self.verdict
        return next((run for run in self.runs if self._verdicts[run] == verdict), "")


Of = TypeVar("Of", Finding, Outcome)


def _by_run(parts: Iterable[Of]) -> dict[str, tuple[Of, ...]]:
    """Return what belongs to each run, in one pass."""
    groups: dict[str, list[Of]] = {}
    for part in parts:
        groups.setdefault(part.run, []).append(part)
    return {run: tuple(group) for run, group in groups.items()}
