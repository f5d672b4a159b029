"""How advice is printed: what is wrong, what helps with the figures before and after, and the code."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actdiag.cli.terminal import COLOURS, MARKS, PLAIN_WIDTH, print_line
from actdiag.coverage import printable
from actdiag.numerals import numeral, percent
from actdiag.types import Severity

if TYPE_CHECKING:
    from actdiag.remedying.advising import Advice
    from actdiag.remedying.training import Curve
    from actdiag.remedying.trial import Measured, Trial


class Paper:
    """Prints advice: for people, as JSON, or the outcome alone."""

    def __init__(self, as_json: bool, quiet: bool, verbose: bool) -> None:
        console = Console(highlight=False)
        self.console = console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self._errors = Console(stderr=True)

    @contextmanager
    def doing(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show what is being done on standard error, if that is a terminal; yield what changes the words."""
        if not self._errors.is_terminal or self.quiet or self.as_json:
            yield lambda words: None
            return
        with self._errors.status(what) as status:
            yield lambda words: status.update(Text(printable(words)))

    def say(self, words: str) -> None:
        """Print a line for people."""
        if not (self.as_json or self.quiet):
            self._print(words)

    def show(self, advice: Advice, model: str) -> None:
        """Print advice on a model."""
        if self.as_json:
            from actdiag.remedying.table import advice_as_dict

            self.console.out(json.dumps(advice_as_dict(advice), indent=1), highlight=False)
            return
        if self.quiet:
            self._print(advice.summary)
            return
        verdict = advice.before.diagnosis.verdict
        self._print((verdict.upper(), f"bold {COLOURS.get(verdict, '')}"), f": {model}")
        self._findings(advice.before)
        if not advice.suggestions:
            self._print(advice.summary.removeprefix(f"{verdict}: ").capitalize() + ".")
        for trial in (*advice.suggestions, *advice.would_help):
            self._trial(trial, trial in advice.suggestions)
        self._others(advice)
        for note in advice.notes:
            self._print(f"note: {note}")

    def _print(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        print_line(self.console, *parts, indent=indent)

    def _findings(self, before: Measured) -> None:
        for found in before.diagnosis.findings:
            mark = f"{found.severity.value} {found.code} {found.name}"
            self._print((mark, f"bold {MARKS[found.severity]}"), f": {found.message}")
        self.console.print()

    def _trial(self, trial: Trial, allowed: bool) -> None:
        heading = "Helps" if allowed else "Would help, but changes the network"
        remedy = trial.remedy
        self._print((f"{heading}: ", "bold green"), f"{remedy.name}: {remedy.title} ({remedy.source})")
        self.console.print()
        self._figures(trial)
        self._left_over(trial)
        if remedy.changes_network:
            self._print("This changes the network: saved weights no longer fit. In code, with `model`:")
        else:
            self._print("In code, with `model` and a batch of `inputs`:")
        self.console.print()
        self.console.print(Text(trial.code), soft_wrap=True)  # neither wrapped nor indented: to be pasted

    def _figures(self, trial: Trial) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2))
        for head in ("", "before", "after"):
            table.add_column(head, no_wrap=True)
        draws, steps = len(trial.curves_after), trial.curves_after[0].steps
        assert trial.after is not None
        for name, old, new in (
            ("verdict", trial.before.diagnosis.verdict, trial.after.diagnosis.verdict),
            ("gradient, first / last hidden layer",
             *(_number(each.gradient_ratio) for each in (trial.before, trial.after))),
            ("samples apart (std across), last hidden layer",
             *(_number(each.std_across) for each in (trial.before, trial.after))),
            (f"training loss after {steps} steps, {draws} draws",
             *(_spread(curves, "loss") for curves in (trial.curves_before, trial.curves_after))),
            ("training accuracy",
             *(_spread(curves, "accuracy") for curves in (trial.curves_before, trial.curves_after))),
            ("best learning rates",
             *(_rates(curves) for curves in (trial.curves_before, trial.curves_after))),
        ):  # fmt: skip
            table.add_row(*map(Text, (name, old, new)))
        self.console.print(table)
        self.console.print()

    def _left_over(self, trial: Trial) -> None:
        """Name what is still found after the remedy."""
        assert trial.after is not None
        told = [found for found in trial.after.diagnosis.findings if found.severity is not Severity.INFO]
        if told:
            words = ", ".join(f"{found.severity.value} {found.code} {found.name}" for found in told)
            self._print(f"Still found after it: {words}")
            self.console.print()

    def _others(self, advice: Advice) -> None:
        others = [trial for trial in advice.tried if not trial.helped]
        if not others:
            return
        if not self.verbose:
            self._print(f"Tried besides: {', '.join(trial.remedy.name for trial in others)} (--verbose)")
            return
        self._print(("Tried besides, each on the one draw that chooses:", "bold"))
        for trial in others:
            after = "-" if trial.after is None else trial.after.diagnosis.verdict
            loss = f"loss {_spread(trial.curves_after, 'loss')}, " if trial.curves_after else ""
            self._print(f"{trial.remedy.name}: {trial.remedy.title}: {loss}{after}; {trial.reason}", indent=4)


def _spread(curves: Sequence[Curve], quantity: str) -> str:
    """Spell the median of the runs with the lowest and the highest."""
    from actdiag.remedying.table import middle

    low, median, high = middle(curves, quantity)
    spell = _number if quantity == "loss" else _percent
    return spell(median) if len(curves) == 1 else f"{spell(median)} ({spell(low)} to {spell(high)})"


def _rates(curves: Sequence[Curve]) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted({curve.rate for curve in curves}))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else numeral(value)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else percent(share)
