"""The command line: thin shells around the Python calls, loaded when they are called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from actdiag import interrupts

if TYPE_CHECKING:
    from actdiag.cli.commands import COMMANDS as COMMANDS
    from actdiag.cli.commands import cli as cli


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        args: what follows the command's name. None takes the process's own and its signals, too, before click
            is imported.
    """
    if args is None:
        interrupts.install()
    from actdiag.cli.commands import run, tell_interrupted

    code = run(args)
    interrupts.finish()
    code = interrupts.code() or code
    if code > interrupts.BY_SIGNAL:
        tell_interrupted()
    sys.exit(code)


def __getattr__(name: str) -> Any:
    """Import what lies in `commands` when it is asked for: that takes longer than a Ctrl-C waits."""
    if name not in ("COMMANDS", "cli"):
        raise AttributeError(f"module 'actdiag.cli' has no attribute '{name}'")
    from actdiag.cli import commands

    return getattr(commands, name)
