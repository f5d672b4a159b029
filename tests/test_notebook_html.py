"""What a notebook shows of a recording, a diagnosis, a finding: all, escaped, and nothing from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fake_recording import attached, diagnosis, fake, finding, simulate
from grids import failing, grid

from actdiag.recording import Recording, concatenate
from actdiag.types import Diagnosis, Finding, Severity

VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """The tags of a piece of HTML, each closed in order, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that opens."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note words that are seen."""
        self.words += data if "style" not in self.open else ""

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


def page(value: Recording | Diagnosis | Finding) -> Page:
    text = value._repr_html_()
    assert text == value._repr_html_()
    return Page(text)


def test_a_finding_says_all_that_it_holds() -> None:
    shown = page(finding("net")).words
    for words in (
        "error AD101 vanishing-gradient layers 1 to 3",
        "The gradient shrinks from the last layer to the first.",
        "Remedy: Use --init xavier.",
        "measured 3.1e+07; expected 1; threshold 1e+03 (calibration on 220 networks)",
    ):
        assert words in shown
    assert "layers 1, 3, 4" in page(finding("net", layers=(1, 3, 4))).words
    assert "layer 2" in page(finding("net", layers=(2,))).words


def test_a_diagnosis_begins_with_its_verdict_and_ends_with_what_was_not_judged() -> None:
    recording, _, _ = simulate(2)
    name = recording.runs[0]
    found = diagnosis(recording, finding(name), finding(name, Severity.INFO, code="AD902"))
    shown = page(found)
    assert shown.words.startswith("✕ does not train")
    assert shown.words.index("AD101") < shown.words.index("AD902") < shown.words.index("Not judged: 1")
    assert "AD204 saturated-units: relu is not bounded on both sides" in shown.words
    assert page(Diagnosis(("net",))).words == "✓ healthy"
    assert page(Diagnosis(())).words == "? nothing to judge"


def test_findings_of_many_runs_are_told_once_with_how_many_have_them() -> None:
    _, verdicts, nets = grid()
    shown = page(verdicts)
    assert "in 2 of 4 runs, as in tanh-normal-0.01-4x16-features16" in shown.words
    assert shown.words.count("Remedy:") == 1
    assert "healthy: 2 of 4 runs" in shown.words
    tiles = [attributes["title"] for attributes in shown.all("i")]
    assert tiles == [
        f"{known.run}: {'does not train' if init == 'normal:0.01' else 'healthy'}"
        for (_, init, _), known in nets.items()
    ]


def test_a_recording_draws_rms_and_gradient_with_their_ends_in_words() -> None:
    recording, activations, gradients = simulate(5, sigma=0.3)
    shown = page(recording)
    rms = [float(np.sqrt((x**2).mean())) for x in activations]
    norms = [float(np.sqrt((g**2).sum(axis=1).mean())) for g in gradients]
    labels = [attributes["aria-label"] for attributes in shown.all("svg")]
    assert labels == [
        f"rms from layer 1 to layer 5: {rms[0]:.3g} → {rms[-1]:.3g}",
        f"gradient norm from layer 1 to layer 6: {norms[0]:.3g} → {norms[-1]:.3g}",
    ]
    assert shown.words.startswith(f"Recording: 1 run, {len(recording.rows)} measured rows, 0 predicted")
    heights = [[float(y) for y in re.findall(r"\d (\d+\.\d)", path["d"])] for path in shown.all("path")]
    share = (np.log(rms) - np.log(rms).min()) / np.ptp(np.log(rms))
    drawn = (max(heights[0]) - np.array(heights[0])) / np.ptp(heights[0])
    np.testing.assert_allclose(drawn, share, atol=0.01)


def test_a_steady_curve_looks_steady() -> None:
    steady = np.full((8, 4), 0.5)
    (first, _) = page(fake([steady, steady * 1.01], [steady] * 3)).all("path")
    heights = [float(y) for y in re.findall(r"\d (\d+\.\d)", first["d"])]
    assert np.ptp(heights) < 0.5


def test_zeros_and_what_is_not_finite_leave_gaps() -> None:
    good, zero, broken = np.full((8, 4), 0.5), np.zeros((8, 4)), np.full((8, 4), np.nan)
    shown = page(fake([good, zero, good, broken], [zero] * 5, act="relu", bounds=None))
    assert len(shown.all("path")) == 2
    assert "0.5 → nan" in shown.words
    assert "0 → 0" in shown.words


def test_a_run_that_failed_and_one_without_hidden_layers_are_told() -> None:
    recording = failing(fake([], [np.ones((4, 4))]), "tanh", "he", "ValueError: <b>no</b>")
    shown = page(recording)
    assert "ValueError: <b>no</b>" in shown.words
    assert len(shown.all("svg")) == 1
    assert page(replace(recording, rows=recording.rows.head(0))).words.count("nothing was measured") == 1


def test_of_many_runs_the_first_are_shown_and_the_others_counted() -> None:
    recording = concatenate([simulate(2, seed=seed)[0] for seed in range(23)])
    shown = page(recording)
    assert len(shown.all("tr")) == 1 + 20
    assert shown.words.endswith("and 3 more")
    assert len(page(diagnosis(recording)).all("i")) == 23


EVIL = '<script>alert("1")</script>&amp;\' onload="x'


def evil_diagnosis() -> Diagnosis:
    found = finding(
        EVIL, code=EVIL, name=EVIL, message=EVIL, remedy=EVIL, evidence={EVIL: EVIL, "threshold_source": EVIL}
    )
    other = replace(found, run="other")
    first = diagnosis(attached(2, run=EVIL), found)
    reasons = tuple(replace(outcome, name=EVIL, reason=EVIL) for outcome in first.skipped)
    return replace(first, runs=(EVIL, "other"), findings=(found, other), skipped=reasons)


def evil_recording() -> Recording:
    recording = attached(2, run=EVIL)
    return failing(recording, "tanh", "he", EVIL) if recording.meta["runs"][EVIL]["spec"] else recording


@pytest.mark.parametrize("value", [finding(EVIL, message=EVIL), evil_diagnosis(), evil_recording()])
def test_names_are_words_and_never_markup(value: Recording | Diagnosis | Finding) -> None:
    shown = page(value)
    assert not {tag for tag, _ in shown.tags} & {"script", "img", "iframe", "link"}
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
    assert EVIL in shown.words
    assert [attributes["title"].split(": ")[0] for attributes in shown.all("i")] in ([], [EVIL, "other"])


@pytest.mark.parametrize("value", [*grid()[:2], finding("net")])
def test_nothing_is_fetched_and_text_keeps_the_notebooks_colours(
    value: Recording | Diagnosis | Finding,
) -> None:
    text = value._repr_html_()
    assert not re.search(r"https?:|url\(|@import|src=|<script", text)
    for attributes in (style for _, style in page(value).tags if "color" in style.get("style", "")):
        style = f";{attributes['style']}"
        assert not re.search(r";color:(?!inherit)", style) or "background:#" in style
