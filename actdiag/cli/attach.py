"""`actdiag attach`: a model of the user's own, from an import path to a verdict and a report."""

from __future__ import annotations

import os
import re
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actdiag.cli.loading import load, reporting
from actdiag.cli.options import (
    check_out,
    check_seed,
    check_whole,
    data_options,
    device_option,
    exit_if_found,
    rule_options,
    settings_from,
    writing_options,
)
from actdiag.cli.sections import Sectioned
from actdiag.cli.terminal import Terminal
from actdiag.errors import UsageError
from actdiag.importing import call, check_names, current_folder_on_path, describe, find, telling
from actdiag.recording import Recording

if TYPE_CHECKING:
    from torch import nn

LONGEST_SLUG = 100


@dataclass(frozen=True)
class Request:
    """What to measure; fields as the options have them."""

    model: str
    data: str
    loss: str | None
    weights: Path | None
    steps: int
    every: int
    passive: bool
    seed: int
    device: str | None
    train: bool | None
    tensors: str = "all"

    def check(self) -> None:
        """Raise where an option has no meaning, before anything is imported.

        Raises:
            UsageError: the first such option.
        """
        check_names({"the model": self.model, "--data": self.data, "--loss": self.loss})
        check_whole("steps", self.steps)
        check_whole("every", self.every)
        check_seed(self.seed)

    @property
    def command(self) -> str:
        """Return the command line that repeats the run."""
        options = {
            "--data": self.data,
            "--loss": self.loss,
            "--weights": self.weights,
            "--steps": self.steps if self.steps != 1 else None,
            "--every": self.every if self.every != 1 else None,
            "--tensors": self.tensors if self.tensors != "all" else None,
            "--seed": self.seed if self.seed else None,
            "--device": self.device,
        }
        words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        flags = ["--passive"] * self.passive + {True: ["--train"], False: ["--eval"], None: []}[self.train]
        return shlex.join(["actdiag", "attach", self.model, *words, *flags])

    @property
    def remedying(self) -> str:
        """Return the command line that tries remedies."""
        loss = [] if self.loss is None else ["--loss", self.loss]
        return shlex.join(["actdiag", "fix", self.model, "--data", self.data, *loss])

    @property
    def slug(self) -> str:
        """Return a name for the folder, of [a-z0-9._-] alone."""
        return re.sub(r"[^a-z0-9._-]+", "-", self.model.lower()).strip(".-")[:LONGEST_SLUG] or "model"


@click.command("attach", cls=Sectioned)
@click.argument("model", metavar="PKG.MOD:BUILD")
@data_options
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE", help="File with a state_dict to load first."
)
@click.option("--steps", default=1, show_default=True, type=int, help="Batches measured; nothing is trained.")
@click.option("--every", default=1, show_default=True, type=int, help="Record one step in so many.")
@click.option(
    "--tensors", default="all", show_default=True, type=click.Choice(["all", "activations"]),
    help="Record every output, or those of activations alone.",
)  # fmt: skip
@click.option("--passive", is_flag=True, help="Keep compiled and fused paths; what that hides is listed.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=int,
    help="Random seed, set before BUILD.",
)
@device_option
@click.option("--train/--eval", "train", default=None, help="Mode of the model.  [default: as BUILD has it]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: reports/<pkg.mod-build>]"
)
@writing_options
@rule_options
def command(
    data: str | None,
    out: Path | None,
    force: bool,
    formats: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    assignments: tuple[str, ...],
    fail_on: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Measure a model of your own and say what is wrong with it.

    BUILD returns a torch.nn.Module (or is one). Batches go forward and backward; nothing is trained.

    \b
    actdiag attach my.nets:build --data my.data:batches
    actdiag attach my.nets:build --data my.data:batches --weights step1000.pt
    actdiag attach actdiag.examples:uneven --data actdiag.examples:batches
    """
    if data is None:
        raise UsageError(
            "--data is missing: give pkg.mod:batches, a function without arguments that returns inputs, "
            "(inputs, targets) or an iterable of such batches"
        )
    request, settings = Request(data=data, **options), settings_from(select, ignore, assignments)
    request.check()
    folder = out or Path("reports") / request.slug
    check_out(folder, [request.model], force)
    terminal = Terminal(as_json, quiet)
    _load(formats, terminal)
    with redirect_stdout(sys.stderr) if as_json or quiet else nullcontext():  # what the user's code prints
        recording = _measure(request, terminal)
    from actdiag.diagnosis import diagnose
    from actdiag.remedying.candidates import treatable
    from actdiag.reporters import report

    diagnosis = diagnose(recording, settings)
    instead = (folder / "meta.json").is_file()
    with terminal.doing("drawing"):
        report(recording, diagnosis, folder, formats, force=force)
    terminal.show(recording, diagnosis)
    terminal.wrote(folder, instead)
    if request.weights is None and treatable(diagnosis):  # fix starts from what BUILD returns
        terminal.aside(f"To try remedies on copies of the model: {request.remedying}")
    exit_if_found(diagnosis, fail_on)


def _load(formats: tuple[str, ...], terminal: Terminal) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see scan
    with terminal.doing("loading torch"):
        load("actdiag.batches", "actdiag.checking", "actdiag.scanning", *reporting(formats))


def _measure(request: Request, terminal: Terminal) -> Recording:
    from actdiag.batches import batches_from
    from actdiag.checking import measure
    from actdiag.scanning import resolve_device

    device = None if request.device is None else resolve_device(request.device)
    with current_folder_on_path(), terminal.doing(f"measuring {request.model}"):
        model, notes = _build(request)
        loss = None if request.loss is None else own_loss(request.loss)
        batches = batches_from(request.data, find(request.data, "data"))
        if device is not None:
            model, batches = model.to(device), (batch.to(device) for batch in batches)
        return measure(
            model, batches, loss, request.steps, request.model, request.command,
            every=request.every, passive=request.passive, tensors=request.tensors, notes=notes,
            stage=lambda stage: telling(f"{request.model}: {stage}"),
        )  # fmt: skip


def _build(request: Request) -> tuple[nn.Module, list[str]]:
    """Return the user's model with its weights, in its mode, and notes for the reader."""
    from torch import nn

    from actdiag.weights import load_weights

    _seed(request.seed)
    found = find(request.model, "the model")
    model = found if isinstance(found, nn.Module) or not callable(found) else call(request.model, found)
    if not isinstance(model, nn.Module):
        raise UsageError(f"{request.model} must return a torch.nn.Module, got {describe(model)}")
    notes = [] if request.weights is None else load_weights(model, request.weights)
    if request.train is not None:
        model.train(request.train)
    return model, notes


def _seed(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def own_loss(name: str) -> Any:
    """Return the user's loss; a class of losses, such as torch.nn:CrossEntropyLoss, is made."""
    from torch import nn

    found = find(name, "the loss")
    if isinstance(found, type) and issubclass(found, nn.Module):
        found = call(name, found)
    if not callable(found):
        raise UsageError(f"{name} must be a callable loss(outputs, targets), got {describe(found)}")
    return found
