"""Graph nets of torch_geometric, a SIREN, a physics-informed net of DeepXDE."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from zoo.cases import Case, integers, need, normal

NODES, FEATURES, CLASSES, HIDDEN = 30, 6, 3, 3


def classify_nodes(model: Any) -> torch.Tensor:
    return functional.cross_entropy(
        model(normal(NODES, FEATURES), integers(NODES, 2, 90)), integers(CLASSES, NODES)
    )


def graph_net(name: str, **options: Any) -> nn.Module:
    geometric = need("torch_geometric.nn.models")
    model: nn.Module = getattr(geometric, name)(FEATURES, 16, HIDDEN, CLASSES, dropout=0.2, **options)
    return model


def gcn() -> nn.Module:
    return graph_net("GCN", norm="batch")


def gat() -> nn.Module:
    return graph_net("GAT", v2=True, heads=2, act="elu")


def siren() -> nn.Module:
    model: nn.Module = need("siren_pytorch").SirenNet(dim_in=2, dim_hidden=32, dim_out=1, num_layers=HIDDEN)
    return model


def picture(model: Any) -> torch.Tensor:
    """Return the error of a fit to a wave over the square [-1, 1]^2."""
    place = torch.cartesian_prod(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8))
    return functional.mse_loss(model(place), torch.sin(4 * place.sum(1, keepdim=True)))


def physics() -> nn.Module:
    deepxde = need("deepxde")
    model: nn.Module = deepxde.nn.FNN([1, *HIDDEN * [16], 1], "tanh", "Glorot uniform")
    return model


def poisson(net: Any) -> torch.Tensor:
    """Return DeepXDE's loss of u'' = -pi^2 sin(pi x) on [-1, 1] with u = 0 at both ends."""
    deepxde = need("deepxde")

    def residual(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return deepxde.grad.hessian(u, x) + math.pi**2 * torch.sin(math.pi * x)

    interval = deepxde.geometry.Interval(-1, 1)
    ends = deepxde.icbc.DirichletBC(
        interval, lambda x: np.zeros((len(x), 1)), lambda x, on_boundary: on_boundary
    )
    data = deepxde.data.PDE(interval, residual, ends, 16, 2, train_distribution="uniform")
    problem = deepxde.Model(data, net)
    problem.compile("adam", lr=1e-3, verbose=0)
    losses: torch.Tensor = problem.outputs_losses_train(*data.train_next_batch())[1]
    return losses.sum()


UNUSED = {"norms.2": "not called", "_trim": "not called"}

CASES = (
    Case("GCN", "torch_geometric", gcn, classify_nodes, HIDDEN, HIDDEN - 1, UNUSED),
    # one product for the nodes that send, one for those that receive
    Case("GAT", "torch_geometric", gat, classify_nodes, 2 * HIDDEN, None, UNUSED),
    Case("SIREN", "siren_pytorch", siren, picture, HIDDEN + 1, 0),
    Case("PINN", "deepxde", physics, poisson, HIDDEN + 1, HIDDEN),
)
