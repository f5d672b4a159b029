"""How much of a model was seen, in the words of the modules table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from actdiag.tables import Table
from actdiag.texts import printable as printable

LONGEST = 40
"""Characters of a module's name that a table or a sentence shows."""
FUNCTION = re.compile(r":\w+#\d+'*$")
"""What the name of a function inside a module ends in."""
UNUSED = ("not called", "not selected", "passive")
"""How the reason of a module begins that did not run, or that the user chose not to see."""


@dataclass(frozen=True)
class Gap:
    """Modules that were not observed, or only in part, for one and the same reason.

    Attributes:
        reason: why; where the modules differ in the part of their output alone, in general words.
        names: the modules.
        partly: something of them was observed.
        ran: nothing says that they did not run, nor that the user chose not to see them.
    """

    reason: str
    names: tuple[str, ...]
    partly: bool
    ran: bool

    def __str__(self) -> str:
        if self.reason in UNUSED:
            return f"{len(self.names)} {self.reason}"
        return f"{len(self.names)} {'partly observed' if self.partly else 'not observed'}: {self.reason}"


@dataclass(frozen=True)
class Coverage:
    """Modules that are no mere containers: how many were observed, and which were not.

    A part of a product that was observed, as the `out_proj` of MultiheadAttention, is seen with it; functions
    count only where one could not be seen.

    Attributes:
        observed: modules whose output was seen, if only in part.
        total: all of them.
        gaps: the others and those seen in part, by reason, the most frequent reason first.
    """

    observed: int
    total: int
    gaps: tuple[Gap, ...]

    @classmethod
    def of(cls, modules: pd.DataFrame | Table) -> Coverage:
        """Return the coverage that a modules table tells of."""
        own = list(_own(modules))
        kinds: dict[tuple[str, bool], list[tuple[str, str]]] = {}
        for name, reason, observed in own:
            if reason:
                kinds.setdefault((_kind(reason), observed), []).append((name, reason))
        gaps = [_gap(kind, found, partly) for (kind, partly), found in kinds.items()]
        seen = sum(observed for _, _, observed in own)
        return cls(seen, len(own), tuple(sorted(gaps, key=lambda gap: -len(gap.names))))

    def __str__(self) -> str:
        parts = [f"observed {self.observed} of {self.total} modules"]
        whole = [gap for gap in self.gaps if not gap.partly]
        in_part = sum(len(gap.names) for gap in self.gaps if gap.partly)
        unseen = sum(len(gap.names) for gap in whole if gap.ran)
        parts += [f"{in_part} of them in part"] if in_part else []
        parts += [f"{len(gap.names)} {gap.reason}" for gap in whole if not gap.ran]
        return ", ".join([*parts, f"{unseen} ran unseen"] if unseen else parts)


def _own(modules: pd.DataFrame | Table) -> Iterator[tuple[str, str, bool]]:
    """Yield name, reason, and whether it was observed, of the modules that count."""
    columns = (modules[name].tolist() for name in ("name", "kind", "reason", "observed"))
    rows = list(zip(*columns, strict=True))
    products = tuple(f"{name}." for name, kind, _, seen in rows if kind == "product" and seen and name)
    for name, kind, reason, seen in rows:
        is_function = ":" in name and not reason and FUNCTION.search(name)
        if kind != "container" and not is_function and not name.startswith(products):
            yield name, reason, seen


def _gap(kind: str, found: Sequence[tuple[str, str]], partly: bool) -> Gap:
    reasons = {reason for _, reason in found}
    reason = reasons.pop() if len(reasons) == 1 else kind
    return Gap(reason, tuple(name for name, _ in found), partly, not reason.startswith(UNUSED))


def _kind(reason: str) -> str:
    """Return a reason without the place that it names.

    >>> _kind("'hidden.1' is int64; 'hidden.2' is int64")
    'part of its output is int64'
    """
    general = re.sub(r"'[^']*'", "part of its output", reason)
    return "; ".join(dict.fromkeys(general.split("; ")))


def shorten(name: str, most: int = LONGEST) -> str:
    """Return a module's name for people: cut in the middle, what cannot be printed as "?".

    >>> shorten("encoder.layers.11.attention", 20), shorten("a\\tb"), shorten("")
    ('encoder.l...ttention', 'a?b', 'the model itself')
    """
    name = printable(name) or "the model itself"
    if len(name) <= most:
        return name
    tail = (most - 3) // 2
    return f"{name[: most - 3 - tail]}...{name[-tail:]}"


def within(name: str, most: int = LONGEST) -> str:
    """Return a module's name as it stands in a sentence: in quotation marks where it reads as a number.

    >>> within("encoder.0"), within("0"), within("2.1")
    ('encoder.0', "'0'", "'2.1'")
    """
    return f"'{name}'" if re.fullmatch(r"[0-9.]{1,20}", name) else shorten(name, most)


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, shortened, and how many more there are.

    >>> some(["a", "b", "c", "d", "e"]), some(["a", "b", "c", "d"])
    ('a, b, c and 2 more', 'a, b, c, d')
    """
    shown = names if len(names) <= most + 1 else names[:most]
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return ", ".join(map(within, shown)) + more
