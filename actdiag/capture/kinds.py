"""What kind of module one is, and on which axis its output holds the units."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from actdiag.catalogue import recognise

PRODUCTS = (nn.Linear, _ConvNd, nn.Bilinear)
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm)
CHANNELS_FIRST = (_ConvNd, _NormBase, nn.GroupNorm, nn.PReLU)
UNITS_LAST = (nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)


def kind_of(module: nn.Module) -> str:
    """Return product, activation, norm, dropout, container or other."""
    if isinstance(module, PRODUCTS):
        return "product"
    if recognise(module):
        return "activation"
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, _DropoutNd):
        return "dropout"
    return "container" if next(module.children(), None) is not None else "other"


def unit_axis_of(module: nn.Module, inherited: int | None) -> int:
    """Return the unit axis of the output: by type, else that of the input, else the last (-1)."""
    if isinstance(module, CHANNELS_FIRST):
        return 1
    if isinstance(module, UNITS_LAST) or inherited is None:
        return -1
    return inherited


def fans(module: nn.Module) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a product, (0, 0) of anything else.

    For a convolution both count the kernel's positions, as in Glorot & Bengio 2010.
    """
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, _ConvNd):
        kernel = module.weight[0, 0].numel()
        return module.in_channels * kernel // module.groups, module.out_channels * kernel // module.groups
    if isinstance(module, nn.Bilinear):
        return module.in1_features * module.in2_features, module.out_features
    return 0, 0
