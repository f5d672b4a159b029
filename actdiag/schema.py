"""The columns of a recording's tables: their names, order and types."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
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
    "tensor": "str",
    "unit_axis": "int64",
    "samples": "int64",
    "units": "int64",
    "positions": "int64",
    "count": "int64",
}
"""What a row is about; `count` is samples x units x positions, non-finite elements included."""

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
"""The fields of the run's `RunSpec`, resolved: gain is the number used, features and classes are known."""

ROWS: Final = {
    **SITE,
    **dict.fromkeys(STATISTICS, "float64"),
    "nan_count": "int64",
    "inf_count": "int64",
    "subnormal_fraction": "float64",
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
}
"""`kind` is product, activation, norm, dropout, container or other; fans are 0 where there is no product;
`trainable` counts parameters; `reason` says why a module was not observed."""
