"""AD901: NaN or Inf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from actdiag.coverage import printable
from actdiag.rules.base import Rule, Run, register
from actdiag.rules.remedies import LATER_REMEDY, even_out
from actdiag.tables import Row, Table
from actdiag.types import Finding, Severity


@register
@dataclass(frozen=True)
class NonfiniteValue(Rule):
    """Find NaN and Inf, and where they first appear.

    What it measures:
        The elements of every recorded tensor that are NaN, or Inf, counted in the tensor's own format.

    Why it matters:
        One of them spreads to every weight within a single step, and nothing is learnt from then on. Only
        the first place, in the order of computation, says where it comes from.

    What to do:
        Look at the first place: data with gaps in it, a signal that outgrows its number format (AD202), a
        division by zero or a logarithm of zero. bfloat16 and float32 reach 3e38, float16 only 65,504.

    References:
        IEEE 754; Micikevicius et al. 2018.
    """

    code: ClassVar[str] = "AD901"
    name: ClassVar[str] = "nonfinite-value"
    title: ClassVar[str] = "a tensor holds NaN or Inf"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.ERROR,)
    bad: ClassVar[str] = "actdiag scan --depth 12 --width 64 --act relu --init normal:1000"
    good: ClassVar[str] = "actdiag scan --depth 12 --width 64 --act relu --init he"
    calibrated: ClassVar[bool] = False
    once: ClassVar[bool] = True

    def judge(self, run: Run) -> Iterator[Finding]:
        """Find the first row, in the order of computation, that is not finite."""
        rows = run.rows
        broken = rows[rows["nan_count"] + rows["inf_count"] > 0]
        if not broken:
            return
        moments = [_moment(row, number) for number, row in enumerate(broken)]
        first = broken.row(moments.index(min(moments)))
        number = int(first["nan_count"] + first["inf_count"])
        later = first["step"] > rows["step"].min()
        finding = self.finding(
            run,
            Severity.ERROR,
            broken,
            f"{_kinds(first)} first in {_place(first)}: {number} of {first['count']} elements; "
            f"{len(broken)} of {len(rows)} recorded tensors hold some.{_given(run)}",
            LATER_REMEDY if later else _remedy(run, first, broken),
            measured=number,
            expected=0,
            threshold=0,
            threshold_source="exact: arithmetic does not come back from NaN or Inf",
        )
        yield replace(finding, step=int(first["step"]) if later else None)


def _given(run: Run) -> str:
    """Return where what the model was given is not finite, as a sentence."""
    places = run.facts.get("nonfinite") or ()
    return f" Given to the model: {', '.join(map(printable, places))}." if places else ""


def _moment(row: Row, index: int) -> tuple[int, ...]:
    """Return a key that sorts rows in the order of computation: up the layers, then down again."""
    step, layer, tensor = int(row["step"]), int(row["layer"]), str(row["tensor"])
    if tensor.endswith("_grad"):
        return step, 1, -layer, int(tensor == "weight_grad"), -index
    return step, 0, layer, int(tensor != "weight"), index


def _kinds(row: Row) -> str:
    kinds = [name for name, key in (("NaN", "nan_count"), ("Inf", "inf_count")) if row[key] > 0]
    return f"{' and '.join(kinds)} appear{'s' if len(kinds) == 1 else ''}"


def _place(row: Row) -> str:
    if row["tensor"] == "input":
        return "the input"
    module = f" ({row['module']})" if row["module"] else ""
    return f"the {row['tensor']} of layer {row['layer']}{module}, step {row['step']}"


def _remedy(run: Run, first: Row, broken: Table) -> str:
    if first["tensor"] == "input":
        return "Clean the data: fill or drop what is missing before training."
    if first["tensor"] == "weight":
        return "Load or draw the weights anew: they are broken before the first layer computes."
    if first["nan_count"] == 0 and run.spec is not None:
        return even_out(run, broken)
    causes = "an overflow, a division by zero or a logarithm of zero"
    return f"Look at the operation that makes {_place(first)}: {causes}."
