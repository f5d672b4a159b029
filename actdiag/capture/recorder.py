"""Attach to a model: hooks on every module, a tensor hook on every output, nothing kept of either."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from actdiag import __version__, schema
from actdiag.activations import activation
from actdiag.capture.kinds import fans, kind_of, unit_axis_of
from actdiag.capture.sites import ModuleFacts, Record, Site, weight_records
from actdiag.catalogue import count_saturated, recognise
from actdiag.errors import UsageError
from actdiag.recording import Recording, frame

Key = tuple[str, int, str, int]
Owner = tuple[weakref.ref[torch.Tensor], int, Site]


class Recorder:
    """Measures a model while it is attached; made by `attach`.

    One tensor version has one site: a container or an Identity that passes on a tensor already seen owns
    nothing, and the modules table says whose tensor it is (`same_tensor_as`).
    """

    def __init__(self, model: nn.Module, run: str = "model") -> None:
        self.run = run
        self._modules = dict(model.named_modules())
        self._facts = {name: _facts(name, module) for name, module in self._modules.items()}
        self._sites: dict[Key, Site] = {}
        self._owners: dict[int, Owner] = {}
        self._calls: defaultdict[str, int] = defaultdict(int)
        self._saturated: dict[str, torch.Tensor | None] = {}
        self._records: list[Record] = []
        self._layers = self._current = 0
        self._step = 0
        self._handles: list[RemovableHandle] = [model.register_forward_pre_hook(self._start)]
        for name, module in self._modules.items():
            if self._facts[name].kind == "activation":
                self._handles.append(module.register_forward_pre_hook(partial(self._before, name)))
            self._handles.append(module.register_forward_hook(partial(self._after, name)))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close an open step and take every hook off, also after an exception."""
        try:
            if kind is None and self._sites:
                self.step()
        finally:
            self.detach()

    def detach(self) -> None:
        """Take every hook off the model; what was recorded stays."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._owners.clear()

    def step(self) -> None:
        """End a training step: read weights and their gradients, turn states into rows.

        Call it after `backward()` and before the optimiser changes or clears anything. Micro-batches
        since the last call are one step.
        """
        records = [record for site in self._sites.values() for record in site.records(self._step)]
        for name, module in self._modules.items():
            if self._facts[name].kind == "product" and self._facts[name].calls:
                records += weight_records(self._place(name), module.weight)
        self._records += records
        self._sites.clear()
        self._owners.clear()
        self._calls.clear()
        self._step += 1

    def recording(
        self,
        spec: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        notes: list[str] | None = None,
        command: str = "",
    ) -> Recording:
        """Return what was recorded so far, as one run.

        Args:
            spec: the resolved fields of a `RunSpec`; None for a model of the user's own.
            loss: kind, reduction and value of the loss.
            notes: for the reader.
            command: the command line that repeats the run.
        """
        columns = _spec_columns(spec)
        own = {
            "run": self.run,
            "source": "measured",
            "expected_low": float("nan"),
            "expected_high": float("nan"),
        }
        rows = frame([{**own, **columns, **record.row} for record in self._records], schema.ROWS)
        modules = frame([{"run": self.run, **asdict(fact)} for fact in self._facts.values()], schema.MODULES)
        linear = {
            index: record.linear for index, record in enumerate(self._records) if record.linear is not None
        }
        return Recording(
            rows,
            modules,
            {index: record.log for index, record in enumerate(self._records)},
            linear,
            {index: record.units for index, record in enumerate(self._records)},
            {
                "schema": schema.VERSION,
                "actdiag": __version__,
                "torch": torch.__version__,
                "runs": {
                    self.run: {
                        "spec": None if spec is None else dict(spec),
                        "loss": dict(loss or {}),
                        "notes": list(notes or []),
                        "command": command,
                    }
                },
            },
        )

    def _start(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Begin a forward pass: count calls anew, see the input."""
        self._calls.clear()
        for tensor in args:
            if _observable(tensor):
                self._own(Site("", type(module).__name__, 0, 0, "input", -1), tensor)
                return

    def _before(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Judge saturation on an activation's input, which an in-place activation is about to overwrite."""
        act = recognise(module)
        z = args[0] if args else None
        self._saturated.pop(name, None)
        if act is None or not isinstance(z, torch.Tensor) or not _observable(z):
            return
        self._saturated[name] = count_saturated(z.detach(), activation(act))
        source = self._owner(z)
        if source is not None and source.product:
            self._facts[source.product].activation_after = act
            if source.tensor == "output":
                source.tensor = "preactivation"

    def _after(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """See a module's output, unless another module owns that very tensor."""
        facts = self._facts[name]
        facts.calls += 1
        call, self._calls[name] = self._calls[name], self._calls[name] + 1
        self._number(facts)
        if not _observable(output):
            facts.reason = f"its output is not one floating-point tensor but {_describe(output)}"
            return
        owner = self._owner(output)
        if owner is not None:
            facts.same_tensor_as, facts.observed, facts.reason = owner.module, True, ""
            return
        source = self._owner(args[0]) if args and isinstance(args[0], torch.Tensor) else None
        axis = unit_axis_of(module, source.unit_axis if source else None)
        site = Site(name, facts.type, self._current, call, _tensor_kind(facts.kind), axis)
        site.activation = (recognise(module) or "") if facts.kind == "activation" else ""
        site.product = _product(name, facts.kind, source)
        facts.observed, facts.reason = True, ""
        self._own(site, output, self._saturated.pop(name, None))

    def _number(self, facts: ModuleFacts) -> None:
        """Number a product at its first call; anything else takes the number of the product before it."""
        if facts.kind == "product":
            if facts.calls == 1:
                self._layers += 1
                facts.layer = self._layers
            self._current = facts.layer
        elif facts.calls == 1:
            facts.layer = self._current

    def _own(self, site: Site, tensor: torch.Tensor, saturated: torch.Tensor | None = None) -> None:
        """Fold a tensor into its site, and its gradient when that comes."""
        axis = site.unit_axis if -tensor.dim() <= site.unit_axis < tensor.dim() else -1
        site.unit_axis = axis
        key = (site.module, site.call, site.tensor, tensor.shape[axis] if tensor.dim() > 1 else 1)
        site = self._sites.setdefault(key, site)
        site.see(tensor, saturated)
        self._owners[id(tensor)] = (weakref.ref(tensor), tensor._version, site)
        if tensor.requires_grad:
            tensor.register_hook(site.see_gradient)  # type: ignore[no-untyped-call]

    def _owner(self, tensor: torch.Tensor) -> Site | None:
        """Return the site of this very version of a tensor."""
        reference, version, site = self._owners.get(id(tensor), (None, -1, None))
        return (
            site if reference is not None and reference() is tensor and version == tensor._version else None
        )

    def _place(self, name: str) -> dict[str, Any]:
        facts = self._facts[name]
        return {
            "step": self._step,
            "layer": facts.layer,
            "module": name,
            "module_type": facts.type,
            "call": 0,
        }


def attach(model: nn.Module, run: str = "model") -> Recorder:
    """Attach to a model and record every module's output and its gradient.

    Nothing is stored on the model but hooks, which `detach` or the end of a `with` block takes off.
    Functional activations (`F.relu`) and modules that return tuples are not observed yet; the modules
    table of the recording names every module that was not.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> with attach(model) as recorder:
    ...     model(torch.randn(16, 4)).square().mean().backward()
    ...     recorder.step()
    >>> recorder.recording().rows.query("tensor == 'activation'")["layer"].tolist()
    [1]
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"attach takes a torch.nn.Module, got {type(model).__name__}")
    return Recorder(model, run)


def _facts(name: str, module: nn.Module) -> ModuleFacts:
    fan_in, fan_out = fans(module)
    trainable = sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad)
    return ModuleFacts(name, type(module).__name__, kind_of(module), fan_in, fan_out, trainable)


def _observable(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.layout == torch.strided


def _describe(value: object) -> str:
    return f"a {value.dtype} tensor" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def _tensor_kind(kind: str) -> str:
    return {"product": "preactivation", "activation": "activation"}.get(kind, "output")


def _product(name: str, kind: str, source: Site | None) -> str:
    """Return the product whose output a tensor still is: its own, or through a norm its input's."""
    if kind == "product":
        return name
    return source.product if source is not None and kind in ("norm", "dropout", "other") else ""


def _spec_columns(spec: Mapping[str, Any] | None) -> dict[str, Any]:
    blank = {"str": "", "int64": -1, "float64": float("nan"), "bool": False}
    columns: dict[str, Any] = {name: blank[kind] for name, kind in schema.SPEC.items()}
    columns.update({name: value for name, value in (spec or {}).items() if value is not None})
    return columns
