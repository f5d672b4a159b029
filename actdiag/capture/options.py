"""What a recorder is asked to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from actdiag.arguments import choice, flag, texts, whole
from actdiag.errors import UsageError, unknown_name

KEEP = ("auto", "all")
TENSORS = ("all", "activations")


@dataclass(frozen=True)
class Options:
    """The options of `attach`, checked.

    Attributes:
        every: record steps 0, every, 2 every, ...
        select: patterns of module names (`encoder.*`), any of which selects; empty is all.
        batch_axis: axis of the samples, where a module's type does not tell.
        passive: change no path: leave compiled models compiled, and functions unseen.
        keep: auto or all: for which steps histograms and unit arrays are kept.
        scaler: a `torch.amp.GradScaler`, whose scale is divided out of the gradients.
        tensors: all, or activations: those alone, their gradients, and the sizes of weights.

    Raises:
        UsageError: an option out of its range.
    """

    every: int = 1
    select: tuple[str, ...] = ()
    batch_axis: int = 0
    passive: bool = False
    keep: str = "auto"
    scaler: Any = None
    tensors: str = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", whole("every", self.every, 1))
        object.__setattr__(self, "batch_axis", whole("batch_axis", self.batch_axis))
        object.__setattr__(self, "passive", flag("passive", self.passive))
        choice("keep", self.keep, KEEP)
        choice("tensors", self.tensors, TENSORS)
        if self.scaler is not None and not callable(getattr(self.scaler, "get_scale", None)):
            raise UsageError(f"scaler is a torch.amp.GradScaler, got {type(self.scaler).__name__}")

    @classmethod
    def of(cls, select: str | Sequence[str] | None = None, **options: Any) -> Options:
        """Return the options, `select` being one pattern, several or None for all."""
        takes = "select takes patterns of module names, as 'encoder.*'"
        return cls(select=() if select is None else texts(takes, select), **options)

    def selects(self, name: str) -> bool:
        """Return whether a module or a function inside one is to be recorded."""
        owner = name.partition(":")[0]
        return not self.select or any(
            fnmatchcase(candidate, pattern) for pattern in self.select for candidate in (name, owner)
        )

    def check_select(self, names: Iterable[str]) -> None:
        """Raise where a pattern matches none of the model's modules.

        Raises:
            UsageError: it does not; with the nearest name.
        """
        known = [name for name in names if name]
        for pattern in self.select:
            if not any(fnmatchcase(name, pattern) for name in known) and ":" not in pattern:
                shown = known if len(known) < 12 else [*known[:12], "..."]
                near = unknown_name("module in select", pattern, known)
                raise (
                    near
                    if len(known) < 12
                    else UsageError(f"{str(near).partition(' Known:')[0]} Known: {', '.join(shown)}")
                )
