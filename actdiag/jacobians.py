"""Singular values of a network's Jacobian, from products with vectors alone: the matrix is never made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from actdiag.batches import ModelBatch
from actdiag.errors import ActdiagError

SEED = 0
"""Of the vectors that the search starts from."""
BREAKDOWN = 1e-7
"""A new direction shorter than this share of the largest singular value is rounding error (float32)."""
Product = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Operator:
    """A matrix (rows, columns) known by its products with vectors.

    Attributes:
        rows: elements of the output.
        columns: elements of the input.
        forward: (columns,) -> (rows,), J v.
        backward: (rows,) -> (columns,), J^T u.
    """

    rows: int
    columns: int
    forward: Product
    backward: Product


def passes(output: torch.Tensor, at: torch.Tensor) -> bool:
    """Return whether the graph leads from an output back to a tensor at all; step functions cut it."""
    (slope,) = torch.autograd.grad(output.sum(), at, retain_graph=True, allow_unused=True)
    return slope is not None


def jacobian_of(output: torch.Tensor, at: torch.Tensor, sample: int) -> Operator:
    """Return the Jacobian of one sample's output with respect to the same sample of a tensor before it.

    J^T u is one backward pass; J v is the derivative of J^T u, linear in u, by u. Nothing is written to
    `.grad`.

    Args:
        output: (samples, ...), the result of a graph that `at` is a part of.
        at: (samples, ...).
        sample: which; what other samples do to it, as through a BatchNorm, is left out.
    """
    end = output[sample].reshape(-1)

    def pulled(u: torch.Tensor, graph: bool) -> torch.Tensor:
        (slope,) = torch.autograd.grad(end, at, u.to(end), create_graph=graph, retain_graph=True)
        own: torch.Tensor = slope[sample].reshape(-1)
        return own

    dummy = torch.zeros_like(end, requires_grad=True)
    linear = pulled(dummy, graph=True)

    def pushed(v: torch.Tensor) -> torch.Tensor:
        if not linear.requires_grad:
            return _zeros(end.numel())
        (image,) = torch.autograd.grad(linear, dummy, v.to(linear), retain_graph=True)
        return _plain(image)

    return Operator(end.numel(), linear.numel(), pushed, lambda u: _plain(pulled(u, graph=False)))


def _plain(vector: torch.Tensor) -> torch.Tensor:
    return vector.detach().to("cpu", torch.float64)


def _zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.float64, device="cpu")  # whatever the caller's default device is


def singular_values(matrix: Operator, steps: int) -> torch.Tensor:
    """Return min(steps, rows, columns) singular values, largest first, by Golub-Kahan-Lanczos.

    With as many steps as rows or columns these are all of them; with fewer, the largest have converged and
    the smallest are above the true ones. Vectors are made orthogonal again to all before them.

    References: Golub & Kahan 1965; Golub & Van Loan 2013, section 10.4.
    """
    if matrix.columns > matrix.rows:  # start on the smaller side, which the directions can span
        matrix = Operator(matrix.columns, matrix.rows, matrix.backward, matrix.forward)
    steps = min(steps, matrix.columns)
    generator = torch.Generator().manual_seed(SEED)
    left, right = _zeros(matrix.rows, 0), _zeros(matrix.columns, 0)
    small = _zeros(steps, steps)
    v = _fresh(right, generator)
    for step in range(steps):
        right = torch.cat([right, v[:, None]], 1)
        image = matrix.forward(v)
        _check_finite(image)
        u, small[: step + 1, step] = _orthogonal(image, left, small, generator)
        left = torch.cat([left, u[:, None]], 1)
        v = _orthogonal(matrix.backward(u), right, small, generator)[0]
    values: torch.Tensor = torch.linalg.svdvals(small)
    return values


def _orthogonal(
    vector: torch.Tensor, basis: torch.Tensor, small: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vector's new direction and its coordinates: along the basis, then along the new one.

    Where nothing new is left, the direction is a random one and its coordinate 0.
    """
    along = basis.T @ vector
    rest = vector - basis @ along
    again = basis.T @ rest
    rest = rest - basis @ again
    length = float(rest.norm())
    scale = max(float(vector.norm()), float(small.abs().max()))
    if length <= BREAKDOWN * scale or not length:
        return _fresh(basis, generator), torch.cat([along + again, _zeros(1)])
    return rest / length, torch.cat([along + again, _zeros(1) + length])


def _fresh(basis: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a random unit vector orthogonal to the basis; zero where the basis is complete."""
    if basis.shape[1] >= basis.shape[0]:
        return _zeros(basis.shape[0])
    vector = torch.randn(basis.shape[0], generator=generator, dtype=torch.float64, device="cpu")
    for _ in range(2):
        vector = vector - basis @ (basis.T @ vector)
    unit: torch.Tensor = vector / vector.norm()
    return unit


def mean_square(matrix: Operator, probes: int) -> float:
    """Return an estimate of sum s^2 / min(rows, columns): E||J v||^2 over signs v (Hutchinson 1990)."""
    generator = torch.Generator().manual_seed(SEED)
    total = 0.0
    for _ in range(probes):
        bits = torch.randint(2, (matrix.columns,), generator=generator, dtype=torch.float64, device="cpu")
        signs = bits * 2.0 - 1.0
        total += float(matrix.forward(signs).square().sum())
    return total / probes / min(matrix.rows, matrix.columns)


def _check_finite(vector: torch.Tensor) -> None:
    if not bool(vector.isfinite().all()):
        raise ActdiagError("the Jacobian is not finite")


class Ends:
    """Hooks on two layers that keep the preactivation of the first and of the last for one forward pass."""

    def __init__(self, model: nn.Module, first: str, last: str) -> None:
        self.tensors: list[torch.Tensor | None] = [None, None]
        modules = [model.get_submodule(name) for name in (first, last)]
        self._handles = [
            module.register_forward_hook(self._keeper(place)) for place, module in enumerate(modules)
        ]

    def _keeper(self, place: int) -> Callable[..., torch.Tensor | None]:
        def keep(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor | None:
            if self.tensors[place] is not None:
                return None
            self.tensors[place] = output if output.requires_grad else output.detach().requires_grad_()
            return self.tensors[place].clone()  # type: ignore[union-attr]  # an activation may write in place

        return keep

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()


def between(model: nn.Module, batch: ModelBatch, first: str, last: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the preactivations of two layers in one forward pass, the second's graph reaching the first.

    Raises:
        ActdiagError: one of the layers was not called, or no way leads from one to the other.
    """
    with torch.enable_grad(), Ends(model, first, last) as ends:
        model(*batch.args, **batch.keywords)
    start, end = ends.tensors
    if start is None or end is None or start is end:
        raise ActdiagError(f"'{first}' and '{last}' were not both called")
    return start, end
