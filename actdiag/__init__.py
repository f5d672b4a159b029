"""Tell why a deep network does not train, before training it.

>>> import actdiag
>>> recording = actdiag.scan(actdiag.RunSpec(depth=3, width=32, batch=64, act="tanh", init="xavier"))
>>> actdiag.diagnose(recording).verdict
'healthy'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actdiag import plot as plot
    from actdiag.attaching import attach as attach
    from actdiag.checking import check as check
    from actdiag.comparing import compare as compare
    from actdiag.diagnosis import diagnose as diagnose
    from actdiag.recording import Recording as Recording
    from actdiag.remedying.advising import suggest as suggest
    from actdiag.reporters import report as report
    from actdiag.scanning import scan as scan
    from actdiag.spectrum import jacobian as jacobian
    from actdiag.types import Diagnosis as Diagnosis
    from actdiag.types import Finding as Finding
    from actdiag.types import RunSpec as RunSpec

__version__ = "0.1.0"

_HOMES = {
    "attach": "actdiag.attaching",
    "check": "actdiag.checking",
    "compare": "actdiag.comparing",
    "diagnose": "actdiag.diagnosis",
    "Recording": "actdiag.recording",
    "jacobian": "actdiag.spectrum",
    "report": "actdiag.reporters",
    "scan": "actdiag.scanning",
    "suggest": "actdiag.remedying.advising",
    "Diagnosis": "actdiag.types",
    "Finding": "actdiag.types",
    "RunSpec": "actdiag.types",
}

_MODULES = ("plot",)

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import actdiag` costs nothing."""
    if name in _MODULES:
        return import_module(f"actdiag.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'actdiag' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
