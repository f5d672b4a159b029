"""What kind of module one is, and which axes of its output hold the units and the samples."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from actdiag.capture.sites import ModuleFacts, Site
from actdiag.catalogue import recognise

RECURRENT = (nn.RNNBase, nn.RNNCellBase)
PRODUCTS = (nn.Linear, _ConvNd, nn.Bilinear, *RECURRENT, nn.MultiheadAttention)
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm)
CHANNELS_FIRST = (_ConvNd, _NormBase, nn.GroupNorm, nn.PReLU)
UNITS_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.MultiheadAttention,
    *RECURRENT,
)


def facts_of(name: str, module: nn.Module) -> ModuleFacts:
    """Return what is known of a module before it is called.

    A module that was derived from a known one without its attributes is of the kind other.
    """
    own = [parameter for parameter in module._parameters.values() if parameter is not None]
    made = [parameter for parameter in own if not isinstance(parameter, UninitializedParameter)]
    trainable = sum(parameter.numel() for parameter in made if parameter.requires_grad)
    try:
        kind, (fan_in, fan_out) = kind_of(module), fans(module)
    except Exception:
        kind, fan_in, fan_out = "other", 0, 0
    return ModuleFacts(name, type(module).__name__, kind, fan_in, fan_out, trainable)


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


def is_unbatched(module: nn.Module, tensor: torch.Tensor) -> bool:
    """Return whether a convolution's output (channels, ...) holds one sample and no batch axis."""
    return isinstance(module, _ConvNd) and tensor.dim() == len(module.kernel_size) + 1


def unit_axis_of(module: nn.Module, source: Site | None) -> int:
    """Return the unit axis of the output: by type, else that of the input, else the last (-1)."""
    if isinstance(module, CHANNELS_FIRST):
        return 1
    if isinstance(module, UNITS_LAST) or source is None:
        return -1
    return source.unit_axis


def batch_axis_of(module: nn.Module, tensor: torch.Tensor, first: bool, inherited: int) -> int:
    """Return the batch axis of an output: by type, else that of what the module received.

    Args:
        module: which returned it.
        tensor: in the output.
        first: it is the output proper, not a hidden state or attention's weights.
        inherited: the axis of what came in.
    """
    if isinstance(module, nn.RNNBase) and tensor.dim() == 3:
        return 0 if first and module.batch_first else 1
    if isinstance(module, nn.MultiheadAttention) and tensor.dim() == 3:
        return 1 if first and not module.batch_first else 0
    return inherited


def fans(module: nn.Module) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a product, (0, 0) of anything else.

    For a convolution both count the kernel's positions, as in Glorot & Bengio 2010; for a recurrent module
    they are those of the input's weight.
    """
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, _ConvNd):
        kernel = torch.Size(module.kernel_size).numel()
        return module.in_channels * kernel // module.groups, module.out_channels * kernel // module.groups
    if isinstance(module, nn.Bilinear):
        return module.in1_features * module.in2_features, module.out_features
    if isinstance(module, RECURRENT):
        return module.input_size, module.hidden_size
    if isinstance(module, nn.MultiheadAttention):
        return module.embed_dim, module.embed_dim
    return 0, 0
