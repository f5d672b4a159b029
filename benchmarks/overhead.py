"""Time a training step with actdiag and with other tools against the same step without any.

    pip install -c constraints.txt -e . -r benchmarks/requirements.txt
    python benchmarks/overhead.py                    all: about half an hour, writes benchmarks/overhead.md
    python benchmarks/overhead.py --quick --only W4 --tools actdiag,floor

Only a whole run writes benchmarks/overhead.md and overhead.json; any run writes where --out says. With
--device cuda the clock waits for the device; memory and elements are the CPU's and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from stepcost import tables
from stepcost.plan import Plan
from stepcost.processes import ask, version
from stepcost.tools import TOOLS, TORCH
from stepcost.workloads import DEFAULT, WORKLOADS

HERE = Path(__file__).parent
PACKAGES = ("torch", "numpy", "pandas", "tensorboard", "wandb", "torchlens")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write them."""
    options = parsed(arguments)
    plan = Plan(options.only, options.tools, options.quick, options.device, options.clock)
    results = measure(plan)
    text = page(results)
    print(text)
    folder = options.out or (HERE if plan.complete and plan.device == "cpu" else None)
    if folder:
        write(folder / "overhead.md", text)
        write(folder / "overhead.json", json.dumps(results, indent=1) + "\n")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", type=names(WORKLOADS), default=DEFAULT, help="workloads, as W1,W4")
    parser.add_argument("--tools", type=names(TOOLS), default=tuple(TOOLS), help="as plain,actdiag")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--clock", choices=("wall", "process"), default="wall", help="wall time or CPU time")
    parser.add_argument("--out", type=Path, help="folder to write overhead.md and overhead.json into")
    options = parser.parse_args(arguments)
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {options.device}: torch finds no CUDA device here")
    return options


def names(known: Mapping[str, object]) -> Any:
    """Return a parser of names with commas between them."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown name {name!r}; known: {', '.join(known)}")
        return chosen

    return parse


def measure(plan: Plan) -> dict[str, Any]:
    """Run every worker of the plan, one after the other."""
    paths = {"default": version({}), "torch": version(TORCH)}
    single = paths["default"] == paths["torch"]
    results: dict[str, Any] = {"about": about(plan, paths), "times": {}, "memory": [], "elements": {}}
    for request in plan.times():
        answer = told(request, lacking(request["tool"], single))
        results["times"].setdefault(request["workload"], {})[request["tool"]] = answer
    for request in plan.memory():
        results["memory"].append((request, told(request, lacking(request["tool"], single))))
    for request, environment in plan.elements():
        path = paths["torch" if environment else "default"]
        if path not in results["elements"]:
            results["elements"][path] = ask(request, environment)
    return results


def lacking(tool: str, single: bool) -> str | None:
    """Return why a tool has no row of its own, None where it has."""
    return "same as above: this build has one path" if single and TOOLS[tool].environment else None


def told(request: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    """Return a worker's answer, telling on stderr that it is at work."""
    if reason:
        return {"unavailable": reason}
    print(*(request[name] for name in ("measure", "workload", "tool")), file=sys.stderr, flush=True)
    return ask(request, TOOLS[request["tool"]].environment)


def about(plan: Plan, paths: Mapping[str, str]) -> dict[str, Any]:
    """Return what the figures depend on; no name of the machine."""
    return {
        "actdiag": sorted(set(paths.values())),
        "packages": {name: installed(name) for name in PACKAGES},
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "device": plan.device,
        "clock": plan.clock,
        "quick": plan.quick,
    }


def installed(name: str) -> str:
    """Return a package's version, or that there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Return the processor's model with its family and model number, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in lines)
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    return f"{facts.get('model name', '?')}, family {facts.get('cpu family')}, model {facts.get('model')}"


def page(results: Mapping[str, Any]) -> str:
    """Return the whole result as markdown."""
    known = results["about"]
    packages = ", ".join(f"{name} {release}" for name, release in known["packages"].items())
    lines = [
        "# What a training step costs with actdiag",
        "",
        f"{'; '.join(known['actdiag'])}. Python {known['python']}, {packages}. {known['processor']}, "
        f"{known['cores']} cores, device {known['device']}, {known['clock']} time"
        f"{', quick: few repeats' if known['quick'] else ''}.",
        "",
    ]
    for workload, answers in results["times"].items():
        lines += tables.times(workload, answers)
    if results["memory"]:
        lines += tables.memory(results["memory"])
    if results["elements"]:
        lines += tables.elements(results["elements"])
    return "\n".join([*lines, "## Method", "", tables.METHOD, ""])


def write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    main()
