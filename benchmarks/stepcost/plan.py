"""Which measurements make a benchmark, and how often each is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepcost.tools import TOOLS
from stepcost.workloads import DEFAULT

PAIRS = {"W1": 8, "W2": 12, "W3": 5, "W4": 60, "W5": 12, "W6": 40, "W7": 20, "tiny": 2}
QUICK = {"W1": 3, "W2": 5, "W3": 2, "W4": 20, "W5": 3, "W6": 15, "W7": 8, "tiny": 2}
PERIODS = 3
"""Timed blocks of a tool that works once in several steps; each block is a whole period."""
OURS = ("activations", "activations-torch", "actdiag", "actdiag-torch")
BATCHES = {"W1": (128, 512), "W5": (2, 8), "tiny": (8, 16)}
"""The two batch sizes at which memory is measured."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        workloads: names, in order.
        tools: names, in order.
        quick: with few repeats.
        device: to run on.
        clock: wall or process.
    """

    workloads: Sequence[str] = DEFAULT
    tools: Sequence[str] = tuple(TOOLS)
    quick: bool = False
    device: str = "cpu"
    clock: str = "wall"

    @property
    def complete(self) -> bool:
        """Return whether it is the whole benchmark."""
        return self == Plan(device=self.device)

    def times(self) -> Iterator[dict[str, Any]]:
        """Yield a request for each workload and tool."""
        for workload in self.workloads:
            for tool in self.tools:
                pairs = (QUICK if self.quick else PAIRS)[workload]
                if TOOLS[tool].kind.period > 1:
                    pairs = min(pairs, 2 if self.quick else PERIODS)
                yield {
                    "measure": "time",
                    "workload": workload,
                    "tool": tool,
                    "pairs": pairs,
                    "device": self.device,
                    "clock": self.clock,
                }

    def memory(self) -> Iterator[dict[str, Any]]:
        """Yield a request for each process whose peak is looked at; the resident set is the CPU's only."""
        tools = [tool for tool in OURS if tool in self.tools]
        for workload in self.workloads if tools and self.device == "cpu" else ():
            for batch in BATCHES.get(workload, ()):
                for tool, malloc in self._peaks(tools):
                    asked = {"workload": workload, "tool": tool, "batch": batch, "malloc": malloc}
                    yield {"measure": "memory", **asked}

    def _peaks(self, tools: Sequence[str]) -> Iterator[tuple[str, str]]:
        for malloc in ("default", "mapped"):
            for tool in ("plain", *tools):
                yield tool, malloc

    def elements(self) -> Iterator[tuple[dict[str, Any], Mapping[str, str]]]:
        """Yield a request and an environment for each path of the statistics."""
        for tool in ("actdiag", "actdiag-torch") if self.device == "cpu" else ():
            if tool in self.tools:
                yield {"measure": "elements", "repeats": 10 if self.quick else 40}, TOOLS[tool].environment
