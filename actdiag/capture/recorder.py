"""Attach to a model: hooks on every module, measured step by step, and a recording of it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from actdiag import __version__, interrupts, schema
from actdiag.capture import scaling, stance, unseen
from actdiag.capture.census import census
from actdiag.capture.history import History, Judge, Step, arrays_of, rows_of
from actdiag.capture.hooks import Hook
from actdiag.capture.kinds import facts_of
from actdiag.capture.options import Options
from actdiag.capture.parameters import Biases, Gradients, is_sharded
from actdiag.capture.records import Rows, measure, records_of
from actdiag.capture.sites import Site
from actdiag.capture.watcher import Watcher
from actdiag.capture.weighing import WeightWatch
from actdiag.errors import UsageError
from actdiag.recording import Recording, frame

Predict = Callable[[Recording, Mapping[str, tuple[float, float]]], Recording]
"""Adds what theory says, given mean and variance of each product's bias."""
SHARDED = "parameters are spread over ranks: their rows are those of this rank's own shard"
NO_BACKWARD = "no gradient was seen in a step: step() belongs after backward()"
NO_GRADIENTS = (
    "no parameter holds a gradient at step(): it belongs before zero_grad(), and autograd.grad leaves none"
)
THINNED = "the sizes of weights are kept for one in {} of the steps between recorded ones"
FUNCTIONS_HIDDEN = "passive: functions such as F.relu are not seen"


class Recorder:
    """Measures a model while it is attached; made by `actdiag.attach`.

    Nothing is stored on the model but hooks, which `detach` or the end of a `with` block takes off. One
    tensor version has one row: a container or an Identity that passes on a tensor already seen owns nothing,
    and the modules table says whose tensor it is (`same_tensor_as`).
    """

    def __init__(
        self,
        model: nn.Module,
        run: str = "model",
        options: Options | None = None,
        judge: Judge | None = None,
        predict: Predict | None = None,
    ) -> None:
        self.run = run
        self._model = model
        self._options = options or Options()
        self._modules = dict(nn.Module.named_modules(model))
        self._options.check_select(self._modules)
        self._facts = {name: facts_of(name, module) for name, module in self._modules.items()}
        self._watcher = Watcher(self._modules, self._facts, self._options)
        self._book = self._watcher.book
        self._history = History(self._options.keep == "all", judge)
        self._scale = scaling.LossScale(self._options.scaler)
        self._graded: set[tuple[str, str]] = set()
        self._gradients = Gradients(self._modules)
        self._predict, self._biases = predict, Biases()
        self._weights = WeightWatch(self._modules, self._book)
        self._attached = True
        self._step = 0
        self._handles: list[RemovableHandle] = []
        self._ends: dict[str, RemovableHandle] = {}
        self._eager = not self._options.passive and stance.hold()
        self._compiled_late = not self._options.passive and not self._eager
        try:
            with interrupts.held():
                self._hook()
        except BaseException:
            self.detach()
            raise

    def __enter__(self) -> Recorder:
        """Return the recorder, which has been attached since it was made.

        Raises:
            UsageError: it was taken off.
        """
        if not self._attached:
            raise UsageError("this recorder was taken off its model: attach(model) makes another")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close an open step and take every hook off; after an exception the open step is dropped."""
        self.detach(close=kind is None)

    def __copy__(self) -> Recorder:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        """Return the recorder itself: a copy of a model that holds its recorder is not watched."""
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Recorder cannot be pickled: pickle or save its recording()")

    def __del__(self) -> None:
        """Take the hooks off when nobody can read the recording any more."""
        with suppress(Exception):
            if self._attached:
                self._take_off()

    def detach(self, close: bool = True) -> None:
        """Take every hook off the model; what was recorded stays.

        Args:
            close: end the open step first, where `step()` was not called.
        """
        try:
            began = self._book.sites or self._book.called
            if close and began and (self._book.open or not self._history.recorded):
                if self._step == 0 and self._book.passes > 1:
                    self._book.note(
                        f"step() was never called: {self._book.passes} forward passes are one step"
                    )
                self.step()
        finally:
            with interrupts.held():
                self._take_off()

    def _take_off(self) -> None:
        """Take every hook off; doing so twice does no harm."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._watcher.close({name: handle.remove for name, handle in self._ends.items()})
        self._ends.clear()
        if self._eager:
            self._eager = False
            stance.release()
        self._attached = False

    def step(self) -> None:
        """End a training step: read weights and their gradients, turn states into rows.

        Call it after `backward()` and before the optimiser changes or clears anything. Micro-batches since
        the last call are one step.
        """
        sites, called = self._watcher.take()
        try:
            with self._book.guard(f"step {self._step}"):
                if self._watcher.idle:
                    self._close_between()
                else:
                    self._close_step(sites, called)
        except BaseException:
            self._book.guards.heal()
            raise
        self._eager = self._eager or (self._attached and not self._options.passive and stance.hold())
        self._step += 1
        self._watcher.idle = not self._attached or self._step % self._options.every != 0

    def _close_step(self, sites: Sequence[Site], called: set[str]) -> None:
        """Turn a recorded step's states into rows."""
        fresh = self._gradients.fresh()
        self._note_missing(sites, bool(fresh))
        self._graded |= fresh
        self._weights.choose(called, {name for name, _ in fresh})
        if self._predict is not None and not self._history.recorded:
            self._biases.keep({name: self._modules[name] for name in self._products(called)})
        scale, of_weights = self._scale.of_tensors(), self._scale.of_parameters()
        records = [record for site in sites if self._book.records(site) for record in records_of(site, scale)]
        if records:
            self._history.make_room()
        small: tuple[Rows, ...] = ()
        if self._options.tensors == "all":
            records += self._weights.records(of_weights)
        else:
            small = (self._weights.sizes(of_weights).rows(),)
        places, numbers, arrays = measure(records, self._book.failed)
        rows = Rows.together([Rows(places, numbers), *small])
        if rows.places:
            step = Step(self._step, rows.places, rows.numbers, arrays)
            self._history.add(step, lambda step: self._record([step]))

    def _products(self, called: set[str]) -> list[str]:
        return [name for name in self._modules if name in called and self._facts[name].kind == "product"]

    def _close_between(self) -> None:
        """Keep the sizes of the weights in a step that is not recorded."""
        if not self._attached:
            return
        sizes = self._weights.sizes(self._scale.of_parameters())
        if sizes.places:
            self._history.between.add(self._step, sizes)

    def recording(
        self,
        spec: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        notes: Sequence[str] | None = None,
        command: str = "",
    ) -> Recording:
        """Return what was recorded so far, as one run.

        Args:
            spec: the resolved fields of a `RunSpec`; None for a model of the user's own.
            loss: kind, reduction and value of the loss.
            notes: for the reader, before the recorder's own.
            command: the command line that repeats the run.
        """
        found = self._record(self._history.steps, spec, loss, notes, command)
        return found if self._predict is None else self._predict(found, self._biases.moments())

    def _record(
        self,
        steps: Sequence[Step],
        spec: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        notes: Sequence[str] | None = None,
        command: str = "",
    ) -> Recording:
        known = self._model, self._modules, self._facts, self._graded, self._book.weights
        modules = [{"run": self.run, **asdict(fact)} for fact in census(*known)]
        facts = {
            "spec": None if spec is None else dict(spec),
            "loss": {**(loss or {}), **self._scale.facts()},
            "notes": [*(notes or []), *self._notes()],
            "command": command,
        }
        return Recording(
            rows_of(steps, {**_measured(self.run), **spec_columns(spec)}),
            frame(modules, schema.MODULES),
            *arrays_of(steps),
            meta={
                "schema": schema.VERSION,
                "actdiag": __version__,
                "torch": torch.__version__,
                "runs": {self.run: facts},
            },
        )

    def _notes(self) -> list[str]:
        own = [FUNCTIONS_HIDDEN] if self._options.passive else []
        if stance.anything_compiled() and self._compiled_late:
            own.append(stance.LATE)
        if not self._options.passive and any(map(stance.is_compiled, self._modules.values())):
            own.append(stance.EAGER)
        elif not self._options.passive and stance.anything_compiled():
            own.append(stance.PERHAPS_EAGER)
        if is_sharded(self._model):
            own.append(SHARDED)
        if self._history.between.stride > 1:
            own.append(THINNED.format(self._history.between.stride))
        return [*own, *self._scale.notes(), *self._book.notes]

    def _hook(self) -> None:
        heal = self._book.guards.heal
        for name, module in self._modules.items():
            reason = unseen.reason(name, module, self._modules, self._options.passive)
            if reason:
                self._facts[name].reason = reason
                continue
            before, after = partial(self._watcher.started, name), partial(self._watcher.ended, name)
            self._handles.append(module.register_forward_pre_hook(Hook(before, heal), with_kwargs=True))
            self._ends[name] = module.register_forward_hook(
                Hook(after, heal), with_kwargs=True, always_call=True
            )

    def _note_missing(self, sites: Sequence[Site], graded: bool) -> None:
        """Tell where gradients were to be expected and none is there: `step()` may be in the wrong place."""
        if graded or not any(site.graph for site in sites):
            return
        if not any(site.backward for site in sites):
            self._book.note(NO_BACKWARD)
        elif any(facts.trainable for facts in self._facts.values()):
            self._book.note(NO_GRADIENTS)


def _measured(run: str) -> dict[str, Any]:
    nan = float("nan")
    return {"run": run, "source": "measured", "expected_low": nan, "expected_high": nan}


def spec_columns(spec: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the columns of a run's spec; blank ones for a model of the user's own."""
    blank = {"str": "", "int64": -1, "float64": float("nan"), "bool": False}
    columns: dict[str, Any] = {name: blank[kind] for name, kind in schema.SPEC.items()}
    columns.update({name: value for name, value in (spec or {}).items() if value is not None})
    return columns
