"""The pages that every browser test looks at: add one here, and all of them hold for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fake_comparison import networks, with_failed
from fake_recording import attached, diagnosis, finding, simulate

from actdiag.recording import Recording
from actdiag.reporters import REPORTERS
from actdiag.types import Diagnosis, RunSpec, Severity

LONG = "x" * 300
"""A word that no line can hold."""


def _html(recording: Recording, found: Diagnosis) -> str:
    return REPORTERS["html"](recording, found)["report.html"].decode()


def report() -> str:
    """Return the report of one run, with words that no line can hold."""
    recording = simulate(12, sigma=0.5)[0]
    run = recording.runs[0]
    recording.meta["runs"][run]["notes"].append(LONG)
    evidence = {"measured": 1e-9, "where": LONG}
    return _html(
        recording, diagnosis(recording, finding(run, message=f"It vanishes in {LONG}.", evidence=evidence))
    )


def large_report() -> str:
    """Return the report of a large model of the user's own."""
    gaps = [{"name": f"{'x' * 90}{number}"} for number in range(40)]
    gaps.append({"reason": f"'{'y' * 90}' is complex; its output is {'z' * 90}", "observed": True})
    recording = attached(150, gaps=gaps)
    return _html(recording, diagnosis(recording))


def comparison() -> str:
    """Return a comparison in which every verdict occurs, and words that no line can hold."""
    recording = networks(seeds=(0, 1), depths=(4, 12))[0]
    recording = with_failed(recording, f"ValueError: {LONG}", act="elu", init="he")
    runs = recording.runs
    found = [
        finding(runs[0], message=f"It vanishes in {LONG}.", evidence={"measured": 1e-9, LONG: LONG}),
        finding(runs[1]),
        *(finding(run, Severity.WARNING, message="Dull.") for run in runs[2:6]),
    ]
    return _html(recording, diagnosis(recording, *found))


def measured() -> str:
    """Return a comparison of networks that were run, as a user sees it."""
    from actdiag.comparing import compare
    from actdiag.diagnosis import diagnose

    inits = ("zeros", "normal:0.01", "xavier", "he", "orthogonal", "lsuv")
    specs = [
        RunSpec(depth=depth, width=32, act=act, init=init, batch=64)
        for depth, acts in ((0, ("tanh",)), (8, ("tanh", "relu", "sigmoid", "maxout", "step")))
        for act in acts
        for init in inits
    ]
    recording = compare(specs)
    return _html(recording, diagnose(recording))


def wide() -> str:
    """Return a comparison of one activation by fourteen initialisers."""
    names = [f"normal:0.{number:02}" for number in range(1, 15)]
    recording = networks(("tanh", "relu"), names)[0]
    return _html(recording, diagnosis(recording))


PAGES: dict[str, Callable[[], str]] = {
    page.__name__: cache(page) for page in (report, large_report, comparison, measured, wide)
}
