"""One measurement in a process of its own: a JSON request as the argument, a JSON answer as the last line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

from stepcost import elements, memory
from stepcost.base import UnavailableError
from stepcost.timing import compare, quartiles
from stepcost.tools import TOOLS
from stepcost.workloads import WORKLOADS

Answer = dict[str, Any]


def time_pairs(workload: str, tool: str, pairs: int, device: str, clock: str) -> Answer:
    """Return the quartiles of a tool's cost, once it is certain that it recorded what it must."""
    blocks, runner = compare(WORKLOADS[workload], TOOLS[tool].kind, pairs, device, clock)
    recorded, expected, tensors = runner.recorded(), runner.expected(), runner.tensors()
    runner.close()
    if recorded != expected:
        raise RuntimeError(f"{tool} recorded {recorded} tensors of {expected}: its time says nothing")
    return {
        "ratio": quartiles(blocks.ratios),
        "added": quartiles(blocks.added),
        "plain": quartiles(blocks.plain),
        "pairs": pairs,
        "tensors": tensors,
    }


def peak_memory(workload: str, tool: str, batch: int) -> Answer:
    """Return the peak of a few steps and what the rows may take."""
    for kind in {TOOLS[tool].kind, TOOLS["actdiag"].kind}:
        memory.rehearse(kind)
    highest, units = memory.peak(WORKLOADS[workload], TOOLS[tool].kind, batch)
    return {"peak": highest, "rows": len(units), "allowed": memory.allowed(units)}


def per_element(repeats: int) -> Answer:
    """Return ns an element by shape, and the microseconds of a call on a tiny tensor."""
    shapes = {f"{rows} x {units}": (rows, units) for rows, units in elements.SHAPES}
    return {
        "shapes": {name: elements.nanoseconds(shape, repeats) for name, shape in shapes.items()},
        "call": elements.call_microseconds(repeats),
    }


REQUESTS: Mapping[str, Callable[..., Answer]] = {
    "time": time_pairs,
    "memory": peak_memory,
    "elements": per_element,
}


def answer(request: Mapping[str, Any]) -> Answer:
    """Return what was measured, or why it could not be."""
    arguments = {name: value for name, value in request.items() if name not in ("measure", "malloc")}
    try:
        return REQUESTS[request["measure"]](**arguments)
    except UnavailableError as reason:
        return {"unavailable": str(reason)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(answer(json.loads(sys.argv[1]))))
