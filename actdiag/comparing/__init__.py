"""Measure many networks and put them into one recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actdiag.comparing.engine import compare as compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Import the engine, and torch with it, when it is asked for: a grid is spelt without."""
    if name != "compare":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from actdiag.comparing.engine import compare

    return compare
