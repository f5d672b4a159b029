"""Markdown of what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from stepcost.memory import STEPS
from stepcost.tools import TOOLS
from stepcost.workloads import WORKLOADS

Answer = Mapping[str, Any]
Place = tuple[str, int, str]
PER_LAYER = ("W4", "W6", "tiny")
"""Workloads whose cost is that of calls, not of elements: it is told a Linear + activation as well."""


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Spell the median and the quartiles."""
    low, middle, high = values
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def why_not(answer: Answer) -> str | None:
    """Return why there is no number, None where there is one."""
    reason = answer.get("unavailable") or answer.get("failed")
    return reason and reason.replace("|", "/")


def times(workload: str, answers: Mapping[str, Answer]) -> list[str]:
    """Return the section of a workload; `answers` by tool."""
    per_layer = workload in PER_LAYER
    head = ["what", "ratio to the plain step", "ms added a step", "tensors a step", "pairs"]
    head += ["µs added a Linear + activation"] if per_layer else []
    rows = [time_row(workload, tool, answer, len(head)) for tool, answer in answers.items()]
    plain = [answer["plain"][1] for answer in answers.values() if "plain" in answer]
    took = f"; plain step {1e3 * median(plain):.{2 if per_layer else 0}f} ms" if plain else ""
    return [f"## {workload}: {WORKLOADS[workload].title}{took}", "", *table(head, rows), ""]


def time_row(workload: str, tool: str, answer: Answer, width: int) -> list[str]:
    """Return the cells of a tool."""
    title = TOOLS[tool].title
    if reason := why_not(answer):
        return [title, reason, *[""] * (width - 2)]
    added = [1e3 * value for value in answer["added"]]
    digits = 2 if workload in PER_LAYER else 0
    row = [
        title,
        spread(answer["ratio"]),
        spread(added, digits),
        str(answer["tensors"]),
        str(answer["pairs"]),
    ]
    if width > len(row):
        row.append(spread([1e3 * value / WORKLOADS[workload].hidden for value in added], 1))
    return row


def memory(answers: Sequence[tuple[Answer, Answer]]) -> list[str]:
    """Return the section on peak memory, from pairs of request and answer."""
    head = ["workload, batch", "what", "rows a step", "MB over the plain step", "kB a row"]
    head += ["MB over, blocks mapped", "kB a row, blocks mapped", "bound, kB a row"]
    peaks = _grouped(answers)
    places = dict.fromkeys(key[:3] for key in peaks if key[2] != "plain")
    rows = [memory_row(place, peaks) for place in places]
    return ["## Peak memory", "", *table(head, rows), ""]


def memory_row(place: Place, peaks: Mapping[tuple[str, int, str, str], Sequence[Answer]]) -> list[str]:
    """Return the cells of a tool at a batch size."""
    workload, batch, tool = place
    name = [f"{workload}, {batch}", TOOLS[tool].title]
    pairs = [
        (peaks[(*place, malloc)], peaks[workload, batch, "plain", malloc]) for malloc in ("default", "mapped")
    ]
    reasons = [reason for pair in pairs for found in pair for answer in found if (reason := why_not(answer))]
    if reasons:
        return [*name, reasons[0], "", "", "", "", ""]
    rows, allowed = (pairs[0][0][0][fact] for fact in ("rows", "allowed"))
    over = [_middle(found) - _middle(beside) for found, beside in pairs]
    cells = [cell for value in over for cell in (f"{value / 1e6:.1f}", f"{value / 1e3 / rows:.0f}")]
    return [*name, str(rows), *cells, f"{allowed / 1e3 / rows:.0f}"]


def _middle(answers: Sequence[Answer]) -> float:
    return float(median(answer["peak"] for answer in answers))


def _grouped(answers: Sequence[tuple[Answer, Answer]]) -> dict[tuple[str, int, str, str], list[Answer]]:
    groups: dict[tuple[str, int, str, str], list[Answer]] = {}
    for request, answer in answers:
        key = request["workload"], request["batch"], request["tool"], request["malloc"]
        groups.setdefault(key, []).append(answer)
    return groups


def elements(answers: Mapping[str, Answer]) -> list[str]:
    """Return the section on one tensor's statistics; `answers` by path."""
    head = ["shape", "path", "`observe`, ns an element", "one read, ns an element", "ratio"]
    rows = [row for path, answer in answers.items() for row in _element_rows(path, answer)]
    calls = [
        f"One call on 8 x 8, {path}: {spread(answer['call'], 1)} µs."
        for path, answer in answers.items()
        if "call" in answer
    ]
    return ["## Per element", "", *table(head, rows), "", *calls, ""]


def _element_rows(path: str, answer: Answer) -> Iterator[list[str]]:
    if reason := why_not(answer):
        yield ["", path, reason, "", ""]
        return
    for shape, found in answer["shapes"].items():
        ratio = spread(found["ratio"], 0)
        yield [shape, path, spread(found["observe"]), spread(found["read"], 3), ratio]


METHOD = f"""\
A step is zero_grad, forward, cross entropy and backward, without an optimiser, on three batches in turn. Each
row is a process of its own with two copies of one network, one with the tool and one without. Steps of both
alternate; each block with the tool (one step, or a whole period of `every`) is divided by the mean of the
plain blocks before and after it. Median (quartiles) of these ratios. The first two blocks of each kind are
not timed, nor is attaching. A row is only kept if the tool recorded every activation and gradient it must.

One thread. For times malloc keeps what is freed (MALLOC_MMAP_THRESHOLD_ at glibc's highest, 32 MB, and no
trimming, in every process): else each tensor of a MB is mapped anew, and its page faults are what is timed.

Activations: each activation module's output and its gradient. The hand-written hook takes `.item()` of
mean and std and 64 bins; fastai-style is ActivationStats (mean, std, near-zero, 40 bins on the CPU) written
anew, on gradients as well; wandb sees parameters and their gradients; torchlens copies and measures nothing.
Background processes and threads (wandb, TensorBoard) run on other cores and count only where the step waits.

Peak memory: the highest resident set (VmHWM, set back once all is imported) over {STEPS} steps, without a
second network, minus that of the plain step, a process each. Once with malloc as it is:
holes between blocks count; once with each block above 64 kB on pages of its own, which is what is in use.
Bound: 100 kB + 64 B a unit for each tensor."""
