"""A run as rules see it: its rows by tensor, its hidden layers, and the chain that they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag.recording import Recording
from actdiag.rules.chains import ends, is_plain, longest_chain, peers
from actdiag.tables import Flags, Table, stacked


class NotJudged(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a rule that cannot judge a run; the text is the reason the user reads."""


@dataclass(frozen=True)
class Run:
    """One run of a recording, as a rule sees it.

    Attributes:
        name: the run's.
        recording: that holds the run; of this one alone, where `tables` is None.
        step: the step to look at; None is the first, for each kind of tensor, at which it was recorded.
        tables: the run's rows and modules, where others are in the recording as well.
    """

    name: str
    recording: Recording
    step: int | None = None
    tables: tuple[Table, Table] | None = None

    @classmethod
    def of(cls, recording: Recording, name: str) -> Run:
        """Return a run of a recording of one or more; what was selected from it once is kept with it."""
        return cls(name, recording.of(name))

    @classmethod
    def all_of(cls, recording: Recording) -> Iterator[Run]:
        """Yield every run of a recording, whose rows are told apart in one pass."""
        whole = _tables_of(recording)
        rows, modules = (table.split("run") for table in whole)
        for name in recording.runs:
            tables = rows.get(name, whole[0][:0]), modules.get(name, whole[1][:0])
            yield cls(name, recording, tables=tables)

    @cached_property
    def _own(self) -> tuple[Table, Table]:
        return self.tables or _tables_of(self.recording)

    def at_step(self, step: int) -> Run:
        """Return the run at another step."""
        return replace(self, step=step, tables=self._own)

    @cached_property
    def rows(self) -> Table:
        """Return the measured rows of all steps."""
        rows, _ = self._own
        measured: Table = rows[rows["source"] == "measured"]
        return measured

    @cached_property
    def theory(self) -> Table:
        """Return theory's rows."""
        rows, _ = self._own
        theory: Table = rows[rows["source"] == "theory"]
        return theory

    @property
    def modules(self) -> Table:
        """Return the run's modules; their names are also called `module`, as in the rows."""
        return self._own[1]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the run's part of the meta data: spec, loss, notes."""
        facts: Mapping[str, Any] = self.recording.meta["runs"][self.name]
        return facts

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """Return the spec's fields, None for a model that is not the tool's own."""
        return self.facts.get("spec")

    @cached_property
    def hidden(self) -> Table:
        """Return the products that an activation follows, by layer: the hidden layers.

        The one whose activation is what the model returns, as an autoencoder's sigmoid, is the output layer.
        """
        modules = self.modules
        followed = (modules["kind"] == "product") & (modules["activation_after"] != "")
        hidden: Table = modules[followed & ~ends(modules)]
        return hidden.sorted_by("layer")

    @cached_property
    def chain(self) -> tuple[str, ...]:
        """Return the hidden layers' names on the longest way of the signal, first to last.

        Where other signals join it in a model of the user's own, as residual sums do, only layers in the same
        place of their blocks are told to be alike: a branch has a size of its own.
        """
        hidden = frozenset(self.hidden["name"])
        chain = longest_chain(self.modules, hidden, numbered=self.spec is not None)
        own = tuple(name for name in chain if name in hidden)
        return own if self.spec is not None else peers(self.modules, chain, own)

    @cached_property
    def plain(self) -> bool:
        """Return whether this is a chain of fully connected layers, as the networks of `actdiag scan` are."""
        return self.spec is not None or is_plain(self.modules)

    @property
    def aside(self) -> int:
        """Return how many hidden layers lie off the chain: on other branches, never compared with it."""
        return len(self.hidden) - len(self.chain)

    def at(self, tensor: str) -> Table:
        """Return the step's rows of one tensor kind, by layer, whatever their module.

        Of a nested output the first tensor alone, of several backward passes the last.
        """
        if tensor not in self._kinds:
            return self.rows[:0]
        if tensor not in self._firsts:
            self._firsts[tensor] = _first_of_each(self._kinds[tensor])
        return self._firsts[tensor]

    @cached_property
    def _kinds(self) -> dict[str, Table]:
        rows = self.rows if self.step is None else self.rows[self.rows["step"] == self.step]
        return rows.split("tensor")

    @cached_property
    def _firsts(self) -> dict[str, Table]:
        return {}

    @cached_property
    def backward(self) -> str:
        """Return whose gradient tells how the loss's signal comes down: the preactivation's.

        Where activations alone were recorded it is the activation's, one product further up.
        """
        recorded = [kind for kind in ("preactivation_grad", "activation_grad") if self.at(kind)]
        return recorded[0] if recorded else "preactivation_grad"

    @cached_property
    def _hidden_tables(self) -> dict[str, Table]:
        return {}

    @cached_property
    def _chain_tables(self) -> dict[str, Table]:
        return {}

    def hidden_at(self, tensor: str) -> Table:
        """Return one row per hidden layer, on any branch: of the product itself, or of its activation.

        Raises:
            NotJudged: there is no hidden layer, or the tensor was not recorded there.
        """
        if not self.hidden:
            raise NotJudged(self._why_no_hidden_layer())
        if tensor not in self._hidden_tables:
            self._hidden_tables[tensor] = self._hidden_rows(tensor)
        rows = self._hidden_tables[tensor]
        if not rows:
            raise NotJudged(f"no {tensor} was recorded")
        return rows

    def _hidden_rows(self, tensor: str) -> Table:
        rows = self.at(tensor)
        rows = rows[rows.among("layer", set(self._layers.values()))]
        if not tensor.startswith("activation"):
            rows = rows[rows.among("module", self._layers)]
        return rows.first_of_each("layer")

    @cached_property
    def _layers(self) -> dict[str, int]:
        """Return the hidden layers' numbers by name."""
        return self.hidden.pairs("name", "layer")

    def chain_at(self, tensor: str) -> Table:
        """Return one row per hidden layer of the chain, first to last; raise as `hidden_at`."""
        if tensor not in self._chain_tables:
            self._chain_tables[tensor] = self._along(self.hidden_at(tensor))
        return self._chain_tables[tensor]

    def _along(self, rows: Table) -> Table:
        """Return the rows of the chain's layers in its order."""
        places = {self._layers[name]: place for place, name in enumerate(self.chain)}
        rows = rows[rows.among("layer", places)]
        if not rows:
            raise NotJudged("no layer of the longest chain was recorded at the first step")
        order = [places[layer] for layer in rows["layer"].tolist()]
        return rows if order == sorted(order) else rows[np.argsort(order, kind="stable")]

    def _why_no_hidden_layer(self) -> str:
        products = (self.modules["kind"] == "product").sum()
        if products < 2:
            return "there is no hidden layer"
        return f"no known activation was seen behind any of {products} layers"

    @cached_property
    def _signal(self) -> Table:
        layers = set(self.hidden_at("activation")["layer"].tolist())
        masks = set(self.modules[self.modules["kind"] == "dropout"]["name"])
        rows = stacked([self.at("activation"), self.at("output")]).in_order()
        rows = rows[rows.among("layer", layers) & ~rows.among("module", masks)]
        return self._along(rows.last_of_each("layer"))

    def signal(self) -> Table:
        """Return, per hidden layer of the chain, what it passes on: past a norm or a sum, before dropout.

        Dropout is left out because its mask makes samples differ that the network cannot tell apart.

        Raises:
            NotJudged: there is no hidden layer, or no activation was recorded.
        """
        return self._signal


def _tables_of(recording: Recording) -> tuple[Table, Table]:
    rows, modules = Table.of(recording.rows), Table.of(recording.modules)
    modules.columns["module"] = modules.columns["name"]  # a finding may be about rows or about modules
    rows.columns["broken"] = _broken(rows)  # asked by nearly every rule
    return rows, modules


def _broken(rows: Table) -> Flags:
    """Return which rows hold NaN or Inf, or no number at all, (rows,)."""
    return np.asarray((rows["nan_count"] + rows["inf_count"] > 0) | np.isnan(rows["rms"]))


def _first_of_each(rows: Table) -> Table:
    """Return the first step's rows by layer, each module's first path alone, of gradients the last pass."""
    steps = rows["step"]
    rows = rows[steps == steps.min()]
    if len(set(rows["module"].tolist())) < len(rows):
        rows = rows[_first_paths(rows)]
    return rows.sorted_by("layer", "call")


def _first_paths(rows: Table) -> list[bool]:
    """Return which rows are of the first path of their module and of the last pass of its call."""
    places = list(rows.each("module", "call", "path", "backward"))
    paths: dict[str, str] = {}
    passes: dict[tuple[str, int], int] = {}
    for module, call, path, backward in places:
        if paths.setdefault(module, path) == path:
            passes[module, call] = max(backward, passes.get((module, call), 0))
    return [paths[place[0]] == place[2] and passes[place[:2]] == place[3] for place in places]


def finite(rows: Table) -> Table:
    """Return the rows.

    Raises:
        NotJudged: one of them holds NaN or Inf, or no number at all.
    """
    broken = rows["broken"].tolist()
    if True in broken:
        first = rows.row(broken.index(True))
        why = "is not finite (see AD901)" if first["count"] else "holds no samples"
        raise NotJudged(f"the {first['tensor']} of layer {first['layer']} {why}")
    return rows


def two_layers(run: Run, rows: Table) -> Table:
    """Return the rows.

    Raises:
        NotJudged: there are fewer than two, so that no ratio between layers exists.
    """
    if len(rows) < 2:
        others = f" on the longest chain, {run.aside} in other places" if run.aside else ""
        raise NotJudged(f"a ratio between layers needs two hidden layers, and there is one{others}")
    return rows


@overload
def sample_norm(rows: Table) -> NDArray[np.float64]: ...


@overload
def sample_norm(rows: pd.DataFrame) -> pd.Series: ...


def sample_norm(rows: Table | pd.DataFrame) -> NDArray[np.float64] | pd.Series:
    """Return sqrt(mean over samples of ||x_i||^2) = rms sqrt(units positions), (rows,).

    Width and positions do not fake a slope in it, as they would in the rms.
    """
    norms: NDArray[np.float64] | pd.Series = rows["rms"] * (rows["units"] * rows["positions"]) ** 0.5
    return norms
