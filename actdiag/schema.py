"""The columns of a recording's tables: their names, order and types."""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
"""Goes up with every change that makes older recordings unreadable."""

STATISTICS: Final = (
    "mean",
    "std",
    "std_across",
    "rms",
    "min",
    "max",
    "p01",
    "p50",
    "p99",
    "zero_fraction",
    "saturated_fraction",
    "dead_units",
    "constant_units",
    "correlation",
    "grad_to_weight",
)

SITE: Final = {
    "run": "str",
    "source": "str",
    "step": "int64",
    "layer": "int64",
    "module": "str",
    "module_type": "str",
    "call": "int64",
    "path": "str",
    "tensor": "str",
    "backward": "int64",
    "unit_axis": "int64",
    "samples": "int64",
    "units": "int64",
    "positions": "int64",
    "count": "int64",
}
"""What a row is about.

`path` says where in a nested output the tensor lay (`1.0`, `last_hidden_state`), "" for a plain tensor;
`backward` counts the backward passes through a tensor within a step, from 1, and is 0 where the row is no
gradient; `count` is samples x units x positions, non-finite elements included.
"""

SPEC: Final = {
    "depth": "int64",
    "width": "int64",
    "act": "str",
    "init": "str",
    "gain": "float64",
    "bias": "float64",
    "norm": "str",
    "norm_place": "str",
    "dropout": "float64",
    "residual": "bool",
    "data": "str",
    "features": "int64",
    "classes": "int64",
    "standardise": "bool",
    "batch": "int64",
    "loss": "str",
    "dtype": "str",
    "device": "str",
    "seed": "int64",
}
"""The fields of the run's `RunSpec`, resolved: gain is the number used, features and classes are known.

Of a model that has no spec, `dtype` is the row's tensor's own.
"""

COUNTED: Final = {
    **{name: SITE[name] for name in ("samples", "units", "positions", "count")},
    **dict.fromkeys(STATISTICS, "float64"),
    "nan_count": "int64",
    "inf_count": "int64",
    "subnormal_fraction": "float64",
}
"""The numbers of a row: how much was seen, and its statistics."""

ROWS: Final = {
    **SITE,
    **COUNTED,
    "expected_low": "float64",
    "expected_high": "float64",
    **SPEC,
}

MODULES: Final = {
    "run": "str",
    "name": "str",
    "type": "str",
    "layer": "int64",
    "kind": "str",
    "fan_in": "int64",
    "fan_out": "int64",
    "activation_after": "str",
    "trainable": "int64",
    "calls": "int64",
    "observed": "bool",
    "reason": "str",
    "same_tensor_as": "str",
    "follows": "str",
    "joined": "bool",
    "unused": "str",
    "in_graph": "bool",
}
"""A module, or a function called inside one (`encoder:relu#0`, the first relu in a call of encoder).

`kind` is product, activation, norm, dropout, container or other; fans are 0 where there is no product;
`trainable` counts the module's own parameters; `reason` says why a module was not observed, or which of its
tensors were not; `same_tensor_as` names the module whose very tensor it passes on; `follows` names the
product before it on the way of the signal, and `joined` says that another signal came in between, as in a
residual sum; `unused` lists its trainable parameters that got no gradient
while others did, separated by ", "; `in_graph`: it was called with gradients on, at least once.
"""
