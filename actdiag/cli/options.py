"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from actdiag.cli.completing import complete_rules, complete_source, complete_threshold
from actdiag.cli.loading import load
from actdiag.cli.values import check_norm_place, number_or_word
from actdiag.errors import UsageError
from actdiag.settings import Settings
from actdiag.sources import check_features, parse_source
from actdiag.types import CHOICES, Diagnosis, RunSpec, Severity

Command = TypeVar("Command", bound=Callable[..., Any])
FORMATS = ("html", "png", "csv", "json")
FOUND = 3
"""Exit code where --fail-on is met."""
DEFAULT = RunSpec()
LARGEST = 2**31 - 1
"""Of every whole number, as in `RunSpec`."""


def spec_option(name: str, text: str, **more: Any) -> Callable[[Command], Command]:
    """Return the option for a field of `RunSpec`, with the field's own default."""
    default = getattr(DEFAULT, name)
    default = [default] if more.get("multiple") else default
    return click.option(
        f"--{name.replace('_', '-')}", default=default, show_default=default is not None, help=text, **more
    )


def _choice(name: str, text: str) -> Callable[[Command], Command]:
    return spec_option(name, text, type=click.Choice(CHOICES[name]))


_SPEC_OPTIONS = (
    spec_option(
        "gain",
        "Gain other than the initializer's.",
        metavar="NUMBER|torch|exact",
        callback=number_or_word,
    ),
    spec_option("bias", "Value of every bias.  [default: 0]", type=float),
    _choice("norm", "Normalisation in each hidden layer."),
    _choice("norm_place", "Norm before or after the activation."),
    spec_option("dropout", "Dropout probability.", type=float),
    spec_option("residual", "Add each layer's input to its output.", is_flag=True),
    spec_option("data", "Data source; actdiag list data.", metavar="SOURCE", shell_complete=complete_source),
    spec_option("features", "Input features (gaussian).  [default: the width]", type=int),
    spec_option("classes", "Outputs.  [default: 10, or what the data holds]", type=int),
    click.option(
        "--standardise/--no-standardise",
        default=True,
        show_default=True,
        help="Real data: columns to mean 0, variance 1.",
    ),
    spec_option("batch", "Samples in the batch that is measured.", type=int),
    _choice("loss", "Loss, as a mean over the batch."),
    _choice("dtype", "Number format of weights and data."),
    _choice("device", "Where to compute; auto is a GPU if there is one."),
    spec_option("seed", "Random seed of weights, data and dropout.", type=int),
)

_RULE_OPTIONS = (
    click.option(
        "--select",
        multiple=True,
        metavar="CODES",
        shell_complete=complete_rules,
        help="Judge by these rules only: codes, beginnings of codes, or names, with commas (AD101,AD2).",
    ),
    click.option(
        "--ignore",
        multiple=True,
        metavar="CODES",
        shell_complete=complete_rules,
        help="Leave these rules out.",
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="RULE.NAME=NUMBER",
        shell_complete=complete_threshold,
        help="Change a threshold, as in AD101.floor=1e-2.",
    ),
    click.option(
        "--fail-on",
        type=click.Choice([severity.value for severity in Severity]),
        help="Exit with code 3 where a finding is at least this severe.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the diagnosis as JSON and nothing else."),
    click.option("--quiet", "-q", is_flag=True, help="Print the verdict alone."),
)


def spec_options(command: Command) -> Command:
    """Add an option for each field of `RunSpec` but depth, width, act and init."""
    for option in reversed(_SPEC_OPTIONS):
        command = option(command)
    return command


def rule_options(command: Command) -> Command:
    """Add --select, --ignore, --set, --fail-on, --json and --quiet."""
    for option in reversed(_RULE_OPTIONS):
        command = option(command)
    return command


def writing_options(command: Command) -> Command:
    """Add --force and --format."""
    formats = click.option(
        "--format",
        "formats",
        multiple=True,
        type=click.Choice(FORMATS),
        default=("html", "png"),
        show_default=True,
        help="Kind of file to write beside the numbers; several times.",
    )
    force = click.option(
        "--force", is_flag=True, help="Write into --out whatever it holds: others' files are kept."
    )
    return force(formats(command))


def data_options(command: Command) -> Command:
    """Add --data and --loss, of a model of the user's own."""
    batches = click.option(
        "--data",
        metavar="PKG.MOD:BATCHES",
        help="Function that returns inputs, (inputs, targets), or many such.  [required]",
    )
    loss = click.option(
        "--loss",
        metavar="PKG.MOD:LOSS",
        help="Function loss(outputs, targets).  [default: one that fits the targets]",
    )
    return batches(loss(command))


def device_option(command: Command) -> Command:
    """Add --device, of a model of the user's own."""
    return click.option(
        "--device", type=click.Choice(CHOICES["device"]), help="Where to compute.  [default: as BUILD has it]"
    )(command)


def settings_from(select: tuple[str, ...], ignore: tuple[str, ...], assignments: tuple[str, ...]) -> Settings:
    """Return the settings of setup.cfg in the current folder, overridden by the command line.

    Raises:
        UsageError: an unknown rule or threshold, or no rule is left to judge by.
    """
    asked = Settings.parse(select, ignore, assignments)
    if select and not asked.select:
        raise UsageError(f"--select names no rule, got '{' '.join(select)}': leave it out to judge by all")
    settings = Settings.from_config(Path.cwd()).merged(asked)
    settings.rules()
    return settings


def check_whole(name: str, number: int, smallest: int = 1, largest: int = LARGEST) -> None:
    """Raise where a whole number is out of range.

    Raises:
        UsageError: it is.
    """
    if number < smallest:
        raise UsageError(f"{name} is a whole number >= {smallest}, got {number}")
    if number > largest:
        raise UsageError(f"{name} is a whole number <= {largest}, got {number}")


def check_seed(seed: int, largest: int = LARGEST) -> None:
    """Raise where a seed is out of range.

    Raises:
        UsageError: it is.
    """
    if not 0 <= seed <= largest:
        raise UsageError(f"seed is a whole number from 0 to {largest}, got {seed}")


def check_spec(spec: RunSpec, seeds: int) -> None:
    """Raise where options of a network contradict each other, before torch is loaded.

    Raises:
        UsageError: the first such pair, or draws whose seeds are no seeds.
    """
    check_whole("seeds", seeds)
    if spec.seed + seeds - 1 > LARGEST:
        raise UsageError(f"seed + seeds goes up to {LARGEST + 1}, got {spec.seed} + {seeds}")
    check_features(spec.data, spec.features)
    parse_source(spec.data)
    check_norm_place(spec)


def check_out(folder: Path, runs: Iterable[str], force: bool) -> None:
    """Raise where the report of these runs could not be written in the end, before torch is loaded.

    Raises:
        ActdiagError: the folder holds something else, or cannot be written.
    """
    load("actdiag.reporters")[0].check_folder(folder, runs, force)


def exit_if_found(diagnosis: Diagnosis, fail_on: str | None) -> None:
    """Leave the command with 3 where the worst finding is at least as severe as `fail_on`."""
    worst = diagnosis.worst
    if fail_on is not None and worst is not None and worst.rank >= Severity(fail_on).rank:
        click.get_current_context().exit(FOUND)
