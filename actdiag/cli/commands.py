"""The command line: thin shells around the Python calls, loaded when they are called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from actdiag import __version__, interrupts
from actdiag.cli import slips
from actdiag.cli.ending import ended, ready_streams, told
from actdiag.cli.loading import load
from actdiag.errors import unknown_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "scan": "Measure a network at initialisation and say whether it will train.",
    "compare": "Measure a grid of networks: which activation goes with which initializer.",
    "attach": "Measure a model of your own, given as pkg.mod:build.",
    "fix": "Try remedies on copies of your model, and say which one helps.",
    "diagnose": "Judge a saved recording again, with other rules or thresholds.",
    "report": "Write a saved recording as HTML, PNG, CSV or JSON.",
    "reproduce": "Measure published figures and numbers again.",
    "theory": "Predict a network's signal and gradient without building it.",
    "gain": "Print the exact gains of activations beside torch's.",
    "rule": "Explain a rule: what it measures, why it matters, what to do.",
    "list": "List activations, initializers, rules or data sources.",
}
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class LazyGroup(click.Group):
    """A group whose commands are imported when called, so that --help costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in order of use."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name`; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = load(f"actdiag.cli.{cmd_name}")[0].command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, without importing them."""
        from click.shell_completion import CompletionItem

        names = (name for name in COMMANDS if name.startswith(incomplete))
        own = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=COMMANDS[name]) for name in names), *own]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command, or say which was meant; look for slips in the words after it."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise unknown_name("command", args[0], [*COMMANDS, "--help", "--version"])
        name, command, words = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            slips.check(command, ctx, words)
        return name, command, words

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the words before the command; what is wrong with them becomes one line."""
        with told():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what stops it becomes one line and its exit code."""
        try:
            with told(ctx), interrupts.ending(at_once=False):
                return super().invoke(ctx)
        except KeyboardInterrupt as error:  # of which click would make an empty line
            raise click.Abort from error


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the version and what measures tensors on the CPU, and end."""
    if not wanted or ctx.resilient_parsing:
        return
    from actdiag.kernel import kernel_description

    click.echo(f"actdiag {__version__} (statistics: {kernel_description()})")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Tell why a deep network does not train, before training it.

    \b
    actdiag scan --depth 10 --init xavier --act tanh
    actdiag compare --act all --init all
    actdiag attach my.nets:build --data my.data:batches
    actdiag rule AD101

    \b
    Exit codes:
      0    ran, whatever was found
      1    cannot run
      2    the command line is wrong
      3    a finding is as severe as --fail-on
      130  interrupted with Ctrl-C
    """


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    ready_streams()
    try:
        code = cli.main(args=args, prog_name="actdiag", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if interrupts.code() is not None:  # what became of a KeyboardInterrupt
            return INTERRUPTED
        return ended(error)
    return code or 0


def tell_interrupted() -> None:
    """Say that it was not the command that ended."""
    click.echo("interrupted", err=True)
