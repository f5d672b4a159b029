"""Whether the compiled single pass is in use, and why not; asked without loading torch.

The package's install builds `actdiag._kernels` where it finds a C compiler. Without it, or with
ACTDIAG_KERNEL=0 in the environment, torch operations measure the same numbers.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from importlib import import_module
from types import ModuleType

VARIABLE = "ACTDIAG_KERNEL"
"""Set to 0 before Python starts, it leaves all measuring to torch."""
MODULE = "actdiag._kernels"
LAYOUT = 4
"""What the compiled module must be of: an older one may lie about in a source tree."""


@cache
def kernel() -> ModuleType | None:
    """Return the compiled module; None where it is switched off, was not built, or does not load."""
    return None if _obstacle() else import_module(MODULE)


def kernel_in_use() -> bool:
    """Return whether float32 tensors on the CPU are measured by the C kernel."""
    return kernel() is not None


def kernel_description() -> str:
    """Say which path measures: `C kernel, avx512f`, or `torch` and why."""
    compiled = kernel()
    return f"torch; {_obstacle()}" if compiled is None else f"C kernel, {compiled.instructions()}"


@cache
def _obstacle() -> str:
    if os.environ.get(VARIABLE) == "0":
        return f"the C kernel is switched off by {VARIABLE}=0"
    if importlib.util.find_spec(MODULE) is None:
        return (
            "no C kernel beside this copy of actdiag: installed without a C compiler, "
            "or run from its sources (pip install -e . there)"
        )
    try:
        compiled = import_module(MODULE)
    except Exception as error:
        return f"the C kernel does not load: {error}"
    current = getattr(compiled, "LAYOUT", 0) == LAYOUT
    return "" if current else "the C kernel is of another version: install again"
