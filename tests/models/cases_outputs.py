"""Outputs that are no plain tensor."""
# ruff: noqa: D102

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import nn

from models.case import Case, Probe
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression


class Pair(NamedTuple):
    """A named tuple of tensors."""

    mean: torch.Tensor
    spread: torch.Tensor


@dataclass
class State:
    """A dataclass of tensors."""

    hidden: torch.Tensor
    extra: list[torch.Tensor]
    label: str = "state"


@dataclass
class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    """What transformers' models return: a mapping whose items are attributes too."""

    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for part in fields(self):
            if getattr(self, part.name) is not None:
                self[part.name] = getattr(self, part.name)


class Packing(nn.Module):
    """Returns two new tensors in some container."""

    def __init__(self, pack: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.pack, self.body = pack, nn.Linear(FEATURES, FEATURES)

    def forward(self, x: torch.Tensor) -> Any:
        h = self.body(x)
        return self.pack(h * 2.0, h - x)


class Inside(nn.Module):
    """Has a module that returns a container, uses it, and returns another."""

    def __init__(self, pack: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.part, self.last = Packing(pack), nn.Linear(FEATURES, 2)

    def forward(self, x: torch.Tensor) -> Any:
        packed = self.part(x)
        return self.last(loss_of(packed) * x), packed


class Both(Net):
    """Returns tensors that other modules own, one of its own, and one twice."""

    def forward(self, x: torch.Tensor) -> Any:
        first, second = self.first(x), self.act(self.middle(x))
        return {"first": first, "pair": [second, first], "own": self.last(first) + second}


class Returns(nn.Module):
    """Returns something else than a new tensor."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.parameter = what, nn.Parameter(torch.randn(FEATURES))
        self.register_buffer("buffer", torch.randn(FEATURES))

    def forward(self, x: torch.Tensor) -> Any:
        return {
            "none": None,
            "input": x,
            "parameter": self.parameter,
            "buffer": self.buffer,
            "text": "text",
            "integers": x.argmax(-1),
            "mixed": (x * 2.0, x.argmax(-1), None, 3),
        }[self.what]


class Odd(nn.Module):
    """Uses modules that return nothing, their input, a parameter, a buffer, text and integers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)
        whats = ("none", "input", "parameter", "buffer", "text", "integers", "mixed")
        self.returns = nn.ModuleDict({what: Returns(what) for what in whats})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.body(x)
        found = {what: module(h) for what, module in self.returns.items()}
        h = found["input"] * found["parameter"] + found["buffer"] + found["mixed"][0]
        return self.last(h) * found["integers"].unsqueeze(-1)


class Generator(Net):
    """Yields its layers' outputs."""

    def forward(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        for layer in (self.first, self.act, self.last):
            x = layer(x)
            yield x


class Largest(Net):
    """Returns values and places."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.first(x).max(dim=1)


class Box:
    """An object of the user's own."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class Boxing(nn.Module):
    """Returns an object of the user's own, an iterator, or a set."""

    def __init__(self, pack: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: torch.Tensor) -> Any:
        return self.pack(x * 2.0)


class Opaque(Net):
    """Uses what cannot be looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.box, self.iterator = Boxing(Box), Boxing(lambda x: iter([x, x]))
        self.function = Boxing(lambda x: lambda: x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.iterator(self.first(x))
        return self.last(self.box(a).tensor + self.function(b)())


class Tensors(Net):
    """Returns tensors of odd layouts and magnitudes."""

    def forward(self, x: torch.Tensor) -> Any:
        h = self.first(x)
        tiny = (h * 1e-20) * 1e-20
        odd = [h.t(), h[:, ::2], h[:1].expand(7, -1), h.unsqueeze(-1).unsqueeze(0).unsqueeze(0)]
        return [*odd, tiny, h.double() * 1e150, h.mean(), h[:0], h.half() * 1e4, h.view(5, 2, 3, 2)[..., 0]]


class Huge(Net):
    """Returns what has no square."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.first(x).double() * 1e300 * torch.ones(()).double(), self.last(x)


class Eight(Net):
    """Returns eight-bit numbers, and a tensor without units."""

    def forward(self, x: torch.Tensor) -> Any:
        h = self.first(x)
        return h.to(torch.float8_e4m3fn), h, h[:, :0].sum(1), (h * 1.0)[:, :0], h[..., None, None]


class Many(Net):
    """Returns more than can be put into few words."""

    def forward(self, x: torch.Tensor) -> Any:
        h = self.first(x)
        return [h, *(torch.complex(h, h * number) for number in range(6))]


def huge(model: nn.Module, probe: Probe) -> torch.Tensor:
    large, plain = model(torch.randn(SAMPLES, FEATURES))
    loss = (large * 1e-300).square().mean() + plain.square().mean()
    loss.backward()
    probe.end_step()
    return loss.detach()


class Deep(Net):
    """Returns a tensor in a list in a list, and so on."""

    def forward(self, x: torch.Tensor) -> Any:
        deep: Any = self.first(x) * 2.0
        for _ in range(20):
            deep = [deep]
        return deep


class Halves(nn.Module):
    """Returns two views of one tensor."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :3], x[:, 3:]


class Views(Net):
    """Writes into a view that a module returned."""

    def __init__(self) -> None:
        super().__init__()
        self.halves, self.flat = Halves(), nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.halves(self.first(x))
        right.mul_(2.0)
        return self.last(self.flat(torch.cat([left, right], 1)).relu_())


class Cached(Net):
    """Has a module that returns the same table every time."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Returns("buffer")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x) + self.table(x))


def several_batches(model: nn.Module, probe: Probe) -> torch.Tensor:
    losses = []
    for _ in range(2):
        for _ in range(2):
            loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
            loss.backward()
            losses.append(loss.detach())
        probe.end_step()
    return torch.stack(losses)


def consume(model: nn.Module, probe: Probe) -> torch.Tensor:
    *_, last = model(torch.randn(SAMPLES, FEATURES))
    loss = loss_of(probe.output(last))
    loss.backward()
    probe.end_step()
    return loss.detach()


def scalar(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss: torch.Tensor = model(torch.randn(SAMPLES, FEATURES))
    loss.backward()
    probe.end_step()
    return loss.detach()


class Scalar(Net):
    """Returns its own loss."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.first(x)).square().mean()


PACKINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "dict": lambda a, b: {"a": a, "b": b},
    "named tuple": Pair,
    "dataclass": lambda a, b: State(a, [b, a + b]),
    "model output": lambda a, b: ModelOutput(last_hidden_state=a, hidden_states=(b, a - b)),
    "nested": lambda a, b: {"x": (a, [b, {"y": a + b}]), "n": 3, "none": None},
    "the same twice": lambda a, b: (a, b, a),
}

CASES = (
    *(
        Case(f"output: {name}", lambda pack=pack: Inside(pack), regression)  # type: ignore[misc]
        for name, pack in PACKINGS.items()
    ),
    Case("tensors of other modules in an output", Both, regression),
    Case("nothing, the input, a parameter, text returned", Odd, regression),
    Case("a structure of torch's own", Largest, regression),
    Case("what is not looked into", Opaque, regression),
    Case("odd tensors", Tensors, regression),
    Case("float64 without squares", Huge, huge),
    Case("nested very deeply", Deep, regression),
    Case("views, written to", Views, regression),
    Case("the same output again", Cached, several_batches),
    Case("eight bits, and no units", Eight, regression),
    Case("odd keys", lambda: Inside(lambda a, b: {1: a, "x.y": b, (2, 3): a + b}), regression),
    Case("more than four that cannot be measured", Many, regression),
    Case("generator", Generator, consume),
    Case("zero-dimensional output", Scalar, scalar),
)
