"""`actdiag fix`: what helps a model of the user's own, tried on copies of it."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actdiag.cli.loading import load, reporting
from actdiag.cli.options import LARGEST, check_seed, check_whole, data_options, device_option
from actdiag.cli.sections import Sectioned
from actdiag.errors import ActdiagError, UsageError
from actdiag.folders import check_writable
from actdiag.importing import call, check_names, current_folder_on_path, describe, find, telling

if TYPE_CHECKING:
    from actdiag.cli.advice import Paper
    from actdiag.remedying.advising import Advice

FILES = frozenset(("advice.json", "curves.csv", "curves.png"))
"""What `--out` writes."""


@dataclass(frozen=True)
class Request:
    """What to try; fields as the options have them."""

    model: str
    data: str
    loss: str | None
    steps: int
    draws: int
    seed: int
    device: str | None
    allow_norm: bool
    allow_activation: bool

    def check(self) -> None:
        """Raise where an option has no meaning, before anything is imported.

        Raises:
            UsageError: the first such option.
        """
        check_names({"the model": self.model, "--data": self.data, "--loss": self.loss})
        check_whole("steps", self.steps)
        check_whole("draws", self.draws, 3)
        check_seed(self.seed, LARGEST - self.draws)

    @property
    def allow(self) -> list[str]:
        """Return the changes of the network that are allowed."""
        return ["norm"] * self.allow_norm + ["activation"] * self.allow_activation


@click.command("fix", cls=Sectioned)
@click.argument("model", metavar="PKG.MOD:BUILD")
@data_options
@click.option("--steps", default=200, show_default=True, type=int, help="Steps of each training run.")
@click.option("--draws", default=3, show_default=True, type=int, help="Draws that confirm a remedy.")
@click.option("--seed", default=0, show_default=True, type=int, help="Random seed of the first draw.")
@device_option
@click.option("--allow-norm", is_flag=True, help="Suggest norms before activations, too.")
@click.option("--allow-activation", is_flag=True, help="Suggest other activations, too.")
@click.option(
    "--apply", "target", type=click.Path(path_type=Path), metavar="FILE",
    help="File for the state_dict with what helps.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for advice.json, curves.csv and curves.png."
)
@click.option("--force", is_flag=True, help="Replace FILE; write into --out beside what else it holds.")
@click.option("--verbose", is_flag=True, help="Show what did not help, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON and nothing else.")
@click.option("--quiet", "-q", is_flag=True, help="Print the outcome in one line.")
def command(
    data: str | None,
    target: Path | None,
    out: Path | None,
    force: bool,
    verbose: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Say what makes a model of your own train better, by trying it.

    BUILD returns a torch.nn.Module with weights drawn anew (or is one). Remedies are applied to copies,
    measured and trained for some steps of plain SGD, at four learning rates; one is named only where it
    helps on other draws, too. The model stays as it is.

    \b
    actdiag fix my.nets:build --data my.data:batches
    actdiag fix my.nets:build --data my.data:batches --apply start.pt
    actdiag fix actdiag.examples:deep_sigmoid --data actdiag.examples:digits
    """
    if data is None:
        raise UsageError(
            "--data is missing: give pkg.mod:batches, a function without arguments that returns inputs, "
            "(inputs, targets) or an iterable of such batches"
        )
    request = Request(data=data, **options)
    request.check()
    _check_places(target, out, force)
    from actdiag.cli.advice import Paper

    paper = Paper(as_json, quiet, verbose)
    _load(out, paper)
    with redirect_stdout(sys.stderr) if as_json or quiet else nullcontext():  # what the user's code prints
        advice = _advice(request, paper)
    paper.show(advice, request.model)
    _write(advice, request, target, out, paper)


def _check_places(target: Path | None, out: Path | None, force: bool) -> None:
    """Raise where nothing could be written in the end, or something would be lost."""
    if target is not None:
        if target.is_dir() or not target.parent.is_dir():
            raise ActdiagError(f"cannot write {target}: it is a folder, or there is no folder for it")
        if target.exists() and not target.is_file():
            raise ActdiagError(f"cannot write {target}: it is no regular file. Name another file.")
        if target.exists() and not force:
            raise ActdiagError(f"{target} exists: --force replaces it, --apply names another")
        check_writable(target)
    if out is None:
        return
    if target is not None and target.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"--apply {target} lies in --out {out}, which is replaced: name another place")
    if out.exists():
        _check_replaceable(out, force)
    check_writable(out)


def _check_replaceable(out: Path, force: bool) -> None:
    """Raise where a folder is none, or holds what is not to be lost."""
    if not out.is_dir():
        raise ActdiagError(f"{out} is a file, expected a folder: name another with --out")
    if Path.cwd().resolve().is_relative_to(out.resolve()):
        raise ActdiagError(f"--out '{out}' is or holds the current folder: name a folder of its own")
    if not force and any(path.name not in FILES for path in out.iterdir()):
        raise ActdiagError(f"{out} holds something else: --force writes into it, --out names another")


def _load(out: Path | None, paper: Paper) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see scan
    drawing = [] if out is None else ["actdiag.curves"]
    with paper.doing("loading torch"):
        load("actdiag.remedying.table", "actdiag.scanning", *reporting(()), *drawing)


def _advice(request: Request, paper: Paper) -> Advice:
    from torch import nn

    from actdiag.batches import batches_from
    from actdiag.cli.attach import own_loss
    from actdiag.remedying.advising import MOST_BATCHES, suggest
    from actdiag.scanning import resolve_device

    device = None if request.device is None else resolve_device(request.device)
    with current_folder_on_path(), paper.doing(f"measuring {request.model}") as tell:
        found = find(request.model, "the model")
        loss = None if request.loss is None else own_loss(request.loss)
        batches = list(islice(batches_from(request.data, find(request.data, "data")), MOST_BATCHES))
        if not batches:
            raise ActdiagError("there is no batch to measure: the batches ended before the first")

        def build() -> nn.Module:
            model = call(request.model, found)
            if not isinstance(model, nn.Module):
                raise UsageError(f"{request.model} must return a torch.nn.Module, got {describe(model)}")
            return model if device is None else model.to(device)

        if not isinstance(found, nn.Module) and not callable(found):
            raise UsageError(f"{request.model} must return a torch.nn.Module, got {describe(found)}")
        if device is not None:
            batches = [batch.to(device) for batch in batches]
            found = found.to(device) if isinstance(found, nn.Module) else found
        with telling(request.model):
            return suggest(
                found if isinstance(found, nn.Module) else build, batches, None, loss,
                steps=request.steps, draws=request.draws, allow=request.allow, seed=request.seed, tell=tell,
            )  # fmt: skip


def _write(advice: Advice, request: Request, target: Path | None, out: Path | None, paper: Paper) -> None:
    """Write the weights and the folder, each as a whole or not at all."""
    from actdiag.folders import replace_file

    if target is not None:
        if advice.weights is None:
            paper.say(f"{target} was not written: {_why_no_weights(advice)}")
        else:
            replace_file(target, _saved(dict(advice.weights)))
            paper.say(f"Wrote {target}")
    if out is not None:
        _place_files(_files(advice, request), out)
        paper.say(f"Wrote {out}")


def _place_files(files: dict[str, bytes], out: Path) -> None:
    """Write a folder as a whole, beside what else it holds."""
    from actdiag.folders import keep_others, replacing

    with replacing(out) as fresh:
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        keep_others(out, fresh, FILES.__contains__)


def _why_no_weights(advice: Advice) -> str:
    if advice.suggestions:
        return "what helps changes the network, so that its weights fit the changed one alone: use the code"
    return "nothing was found that helps and keeps the network"


def _saved(weights: dict[str, Any]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def _files(advice: Advice, request: Request) -> dict[str, bytes]:
    from actdiag.curves import as_png, training_curves
    from actdiag.remedying.table import advice_as_dict, curves_table

    text = json.dumps(advice_as_dict(advice), indent=1, ensure_ascii=False, allow_nan=False)
    files = {"advice.json": (text + "\n").encode("utf-8", "backslashreplace")}
    for trial in (*advice.suggestions, *advice.would_help)[:1]:
        table = curves_table(trial)
        figure = training_curves(table, f"{request.model}: {trial.remedy.name}")
        files["curves.csv"] = table.to_csv(index=False, lineterminator="\n").encode()
        files["curves.png"] = as_png(figure)
    return files
