"""Remedies that draw the weights anew from a law: a distribution and a gain for each layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from actdiag.activations import Activation
from actdiag.batches import ModelBatch
from actdiag.initialisers import initialiser
from actdiag.remedying.products import Product, everywhere, layer_of, zero_biases
from actdiag.remedying.remedies import Remedy

LINE = 88
"""Characters of a printed line of code."""


@dataclass(frozen=True)
class Law:
    """How one weight is drawn.

    Attributes:
        kind: normal (Var[w] = gain^2 / fan_in), xavier (uniform, 2 gain^2 / (fan_in + fan_out)) or
            orthogonal (gain times an orthogonal matrix).
        gain: multiplies the standard deviation.
    """

    kind: str
    gain: float = 1.0

    def draw(self, layer: nn.Module) -> None:
        """Draw the layer's weight in place."""
        weight = layer.weight
        assert isinstance(weight, nn.Parameter)
        if self.kind == "xavier":
            nn.init.xavier_uniform_(weight, gain=self.gain)
        elif self.kind == "orthogonal":
            nn.init.orthogonal_(weight, gain=self.gain)
        else:
            nn.init.normal_(weight, std=self.gain / weight[0].numel() ** 0.5)

    @property
    def line(self) -> str:
        """Return the line of code that draws `layer.weight`."""
        gain = f"{self.gain:.6g}"
        if self.kind == "normal":
            return f"nn.init.normal_(layer.weight, std={gain} / layer.weight[0].numel() ** 0.5)"
        name = {"xavier": "xavier_uniform_", "orthogonal": "orthogonal_"}[self.kind]
        return f"nn.init.{name}(layer.weight{'' if self.gain == 1.0 else f', gain={gain}'})"


@dataclass(frozen=True)
class Draw(Remedy):
    """Draw each layer's weight from its law and set the biases to 0.

    Attributes:
        laws: each layer with its law, in order of the signal.
    """

    laws: tuple[tuple[Product, Law], ...]

    def apply(self, model: nn.Module, batch: ModelBatch) -> None:
        """Draw in order of the signal, layers of one law together, as the printed lines do."""
        for law, group in self._groups():
            for product in group:
                law.draw(layer_of(model, product))
        zero_biases(model, [product for product, _ in self.laws])

    def code(self, model: nn.Module) -> str:
        """Return the lines that draw the same weights."""
        chosen = [product for product, _ in self.laws]
        lines = ["from torch import nn", ""]
        if everywhere(model, chosen) and self._all_but_the_last():
            lines += [*listing(model, chosen), "*hidden, head = layers"]
            names = ["hidden", "[head]"]
        else:
            names = [f"[{', '.join(_get(product) for product in group)}]" for _, group in self._groups()]
        for name, (law, group) in zip(names, self._groups(), strict=True):
            lines += _wrapped(f"for layer in {name}:"), f"    {law.line}"
            biased = [product.biased for product in group]
            condition = "" if all(biased) else "    if layer.bias is not None:\n    "
            lines += [f"{condition}    nn.init.zeros_(layer.bias)"] if any(biased) else []
        return "\n".join(lines) + "\n"

    def _groups(self) -> list[tuple[Law, list[Product]]]:
        groups: dict[Law, list[Product]] = {}
        for product, law in self.laws:
            groups.setdefault(law, []).append(product)
        return list(groups.items())

    def _all_but_the_last(self) -> bool:
        """Return whether all layers but the last share a law, and the last has another."""
        groups = self._groups()
        return len(groups) == 2 and groups[1][1] == [self.laws[-1][0]]


def listing(model: nn.Module, chosen: Sequence[Product]) -> list[str]:
    """Return lines that make the list `layers` of these layers."""
    if everywhere(model, chosen):
        kinds = sorted({f"nn.{product.type}" for product in chosen})
        kind = kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})"
        return [f"layers = [layer for layer in model.modules() if isinstance(layer, {kind})]"]
    return [_wrapped(f"layers = [{', '.join(map(_get, chosen))}]")]


def _get(product: Product) -> str:
    return f"model.get_submodule({product.name!r})" if product.name else "model"


def _wrapped(line: str) -> str:
    return textwrap.fill(
        line, LINE, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False
    )


def partner_law(act: Activation | None) -> Law:
    """Return the law of the initialiser made for an activation; LeCun's where there is none."""
    if act is None or act.partner is None:
        return Law("normal")
    partner = initialiser(act.partner)
    kind = "xavier" if partner.name.startswith("xavier") else "normal"
    slope = act.parameter if act.name.startswith(("leaky_relu", "prelu")) and act.parameter else 0.0
    gain = partner.gain or 1.0
    return Law(kind, gain / math.sqrt(1.0 + slope * slope))  # He et al. 2015, eq. 15
