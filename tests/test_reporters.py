"""The reports: what they say, what they never contain, and what they replace."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from fake_recording import attached, diagnosis, fake, finding, simulate

from actdiag import scan, schema
from actdiag.errors import ActdiagError, UsageError
from actdiag.recording import OWN, Recording, concatenate, is_own
from actdiag.reporters import REPORTERS, diagnosis_as_dict, report
from actdiag.reporters.html import context
from actdiag.types import Diagnosis, RunSpec, Severity

HOSTILE = "</code><script>alert(1)</script>\"'&"
VOID = {"meta", "path", "use"}


class Page(HTMLParser):
    """Collects a page's elements and checks that each is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See an element without content."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what a reader reads."""
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """Return what a reader reads, white space made one."""
        return re.sub(r"\s+", " ", " ".join(self.words))


def html(recording: Recording, of: Diagnosis) -> str:
    return REPORTERS["html"](recording, of)["report.html"].decode()


def bad() -> tuple[Recording, Diagnosis]:
    recording = simulate(4, sigma=0.1)[0]
    warning = finding(
        recording.runs[0], Severity.WARNING, code="AD203", message="Saturated.", remedy="Rescale."
    )
    return recording, diagnosis(recording, warning, finding(recording.runs[0]))


def draws(verdicts: str) -> tuple[Recording, Diagnosis]:
    """Return a recording of as many draws, those marked x with an error."""
    recording = concatenate([simulate(2, seed=seed)[0] for seed in range(len(verdicts))])
    found = [finding(run) for run, mark in zip(recording.runs, verdicts, strict=True) if mark == "x"]
    return recording, diagnosis(recording, *found)


def with_spec(recording: Recording, **changes: Any) -> Recording:
    run = recording.runs[0]
    facts = recording.meta["runs"][run]
    facts = {**facts, "spec": {**facts["spec"], **changes}}
    return replace(recording, meta={**recording.meta, "runs": {run: facts}})


def test_there_are_four_formats() -> None:
    assert sorted(REPORTERS) == ["csv", "html", "json", "png"]


def test_page_says_verdict_findings_evidence_and_what_to_do() -> None:
    page = Page(html(*bad()))
    for words in (
        "Does not train",
        "The gradient shrinks from the last layer to the first.",
        "Change this first Use --init xavier.",
        "measured 3.1e7 expected 1 threshold 1000 threshold from calibration on 220 networks layers 1-3",
        "symmetric-weights AD301",
        "saturated-units AD204 : relu is not bounded on both sides",
        "actdiag scan --depth 4 --width 16 --act tanh --init xavier",
        "torch version 2.13.0",
    ):
        assert words in page.text
    assert page.text.index("Error") < page.text.index("Warning")
    assert ("html", {"lang": "en"}) in page.tags


@pytest.mark.parametrize(
    ("severity", "words"),
    [
        (None, "Healthy"),
        (Severity.INFO, "Healthy"),
        (Severity.WARNING, "Trains worse than it could"),
        (Severity.ERROR, "Does not train"),
    ],
)
def test_heading_is_the_verdict(severity: Severity | None, words: str) -> None:
    recording = simulate(2)[0]
    found = [] if severity is None else [finding(recording.runs[0], severity)]
    heading = re.search(r"<h1.*?</span>(.*?)</h1>", html(recording, diagnosis(recording, *found)))
    assert heading is not None
    assert heading[1] == words


def test_table_has_a_row_per_layer_with_the_numbers_of_numpy() -> None:
    recording, activations, gradients = simulate(3)
    text = html(recording, diagnosis(recording))
    body = re.findall(r'<tr><th scope="row">(\d+)</th>(.*?)</tr>', text)
    assert [int(layer) for layer, _ in body] == [1, 2, 3, 4]
    rms, norm = np.sqrt((activations[1] ** 2).mean()), np.sqrt((gradients[1] ** 2).sum(1).mean())
    assert f"<td>{rms:#.3g}</td>" in body[1][1]
    assert f"<td>{norm:#.3g}</td>" in body[1][1]
    assert body[3][1].count("not defined") == 3
    assert "Not defined in this network: dead units, saturated." in Page(text).text


def test_several_draws_are_counted_and_listed() -> None:
    page = Page(html(*draws(".xx.x")))
    assert "3 of 5 draws: does not train; 2 of 5 draws: healthy" in page.text
    assert "Shown below: tanh-xavier-2x16-gain1.0-features16-seed1" in page.text
    assert page.text.count("AD101 vanishing-gradient") == 3
    assert "draws" not in Page(html(*bad())).text


@pytest.mark.parametrize("act", ["tanh", "relu"])
def test_fifty_layers_fit_in_200_kilobytes(act: str) -> None:
    recording = simulate(50, sigma=1.4, act=act)[0]
    found = [finding(recording.runs[0], layers=tuple(range(1, 51))) for _ in range(6)]
    assert 30_000 < len(html(recording, diagnosis(recording, *found)).encode()) < 200_000


def test_page_asks_nothing_of_any_other_file() -> None:
    text = html(*bad())
    page = Page(text)
    named = [value for _, given in page.tags for name, value in given.items() if name in ("src", "href")]
    assert named
    assert all(value is not None and value.startswith("#") for value in named)
    assert not re.search(r"https?://|url\(|@import|@font-face|<script|<link|<img", text)


def test_every_drawing_is_xml_and_has_a_name_and_ids_are_unique() -> None:
    text = html(*bad())
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 2 + 2 * 4 + 4
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert root.get("aria-label") or root.find("title") is not None
    ids = re.findall(r'\bid="(.*?)"', text)
    assert len(ids) == len(set(ids))
    named = re.findall(r'aria-labelledby="(.*?)"', text)
    assert {name for names in named for name in names.split()} <= set(ids)


def test_hostile_names_stay_text() -> None:
    recording, found = bad()
    run = recording.runs[0]
    recording = replace(
        with_spec(recording, act=HOSTILE, data=HOSTILE),
        modules=recording.modules.assign(name=HOSTILE),
        rows=recording.rows.assign(module=HOSTILE),
    )
    hostile = finding(run, message=HOSTILE, remedy=HOSTILE, name=HOSTILE, evidence={HOSTILE: HOSTILE})
    recording.meta["runs"][run]["notes"].append(HOSTILE)
    text = html(recording, diagnosis(recording, hostile))
    assert "<script" not in text
    assert Page(text).text.count(HOSTILE) >= 8
    assert len(REPORTERS["png"](recording, found)) == 2


def test_page_is_the_same_every_time() -> None:
    assert html(*bad()) == html(*bad())


def test_page_of_a_model_of_the_users_own_has_no_command() -> None:
    recording = simulate(2)[0]
    run = recording.runs[0]
    facts = {"spec": None, "loss": {}, "notes": ["no loss was given"]}
    recording = replace(recording, meta={**recording.meta, "runs": {run: facts}})
    page = Page(html(recording, diagnosis(recording)))
    assert "actdiag scan" not in page.text
    assert "no loss was given" in page.text


def test_page_says_what_was_not_observed_and_why() -> None:
    gaps = [{}, {"name": HOSTILE}, {"observed": True, "reason": "'1' is complex (complex64)"}, {"name": ""}]
    recording = attached(2, gaps=gaps)
    text = html(recording, diagnosis(recording))
    page = Page(text)
    assert "Observed 6 of 9 modules, 1 of them in part, 3 not called." in page.text
    (folded,) = re.findall(r"<details>.*?</details>", text, re.DOTALL)
    rows = Page(folded).text
    assert f"3 not called gap0, {HOSTILE}, the model itself" in rows
    assert "1 partly observed: '1' is complex (complex64) gap2" in rows
    assert "<details>" not in html(*bad())
    assert "Observed 9 of 9 modules." in Page(html(*bad())).text


def test_page_of_very_many_layers_folds_its_histograms_and_shortens_its_names() -> None:
    recording = attached(61)
    text = html(recording, diagnosis(recording))
    assert re.findall(r"<summary>(.*?)</summary>", text) == ["61 histograms"] * 2
    assert text.count("<details>") == text.count("</details>") == 2
    cells = re.findall(r'<td class="left" title="(.*?)">(.*?)</td>', text)
    assert len(cells) == 62
    assert cells[0] == (
        "encoder.block_0.a_name_of_many_words.projection_0_inner",
        "encoder.block_0.a_n...projection_0_inner",
    )
    assert all(len(short) == 40 for _, short in cells)
    assert len(text.encode()) < 150_000
    other = attached(60)
    assert "<details>" not in html(other, diagnosis(other))


def test_page_is_titled_by_the_name_of_an_attached_run() -> None:
    recording = attached(2, run="my net")
    text = html(recording, diagnosis(recording))
    assert "<title>healthy: my net</title>" in text
    assert '<p class="net">my net</p>' in text
    assert "Change this first" not in text


def test_page_without_a_remedy_has_nothing_to_change_first() -> None:
    recording = attached(2)
    for remedy, words in (("Stop.", True), ("", False)):
        found = finding("resnet", Severity.WARNING, remedy=remedy)
        assert ("Change this first" in html(recording, diagnosis(recording, found))) is words


def test_page_says_that_there_are_other_steps_and_other_branches() -> None:
    recording = attached(3)
    names = recording.modules["name"].tolist()
    follows = dict(zip((names[2], names[4], names[6]), (names[0], names[0], names[4]), strict=True))
    branched = recording.modules.assign(follows=recording.modules["name"].map(follows).fillna(""))
    later = recording.rows.assign(step=40)
    rows = pd.concat([recording.rows, later], ignore_index=True)
    page = Page(html(replace(recording, rows=rows, modules=branched), diagnosis(recording)))
    assert "2 steps were recorded, 0 to 40: the layers are shown as they were at step 0." in page.text
    assert "1 of 3 hidden layers lies on other branches, or in other places of their blocks" in page.text
    assert "branches" not in Page(html(recording, diagnosis(recording))).text


def test_page_without_a_diagnosis_says_so() -> None:
    recording = simulate(2)[0]
    assert "Nothing to judge" in html(recording, Diagnosis(()))


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(depth=2, width=8, act="relu", init="he", norm="batch", residual=True, seed=3),
        RunSpec(depth=2, width=8, gain=1.5, features=7, classes=3, batch=64, bias=0.1),
        RunSpec(depth=2, width=8, init="normal:0.01", data="digits", standardise=False),
    ],
)
def test_command_is_the_one_that_was_given(spec: RunSpec) -> None:
    recording = scan(spec)
    assert " --".join(context(recording, diagnosis(recording))["command"]) == spec.command()


def colours(text: str, dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    return dict(re.findall(r"--(\w+):(#\w+)", blocks[dark]))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_the_paper(dark: bool) -> None:
    named = colours(html(*bad()), dark)
    for paper in ("paper", "raised"):
        for ink in ("ink", "muted", "accent", "bad", "fair", "good", "across", "gradient"):
            pair = sorted((luminance(named[paper]), luminance(named[ink])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (paper, ink)


def test_json_is_plain_json_with_everything_in_it() -> None:
    recording = simulate(2)[0]
    evidence = {"measured": np.float64("nan"), "expected": float("inf"), "threshold": np.int64(3)}
    found = finding(recording.runs[0], evidence=evidence)
    data = REPORTERS["json"](recording, diagnosis(recording, found))["report.json"]
    content = json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (content["verdict"], content["votes"]) == ("does not train", {"does not train": 1})
    assert content["findings"][0]["evidence"] == {"measured": None, "expected": "inf", "threshold": 3}
    assert content["findings"][0]["severity"] == "error"
    assert content["findings"][0]["layers"] == [1, 2, 3]
    run = recording.runs[0]
    assert content["passed"] == [
        {"code": "AD102", "name": "exploding-gradient", "run": run},
        {"code": "AD301", "name": "symmetric-weights", "run": run},
    ]
    assert content["skipped"][0]["reason"] == "relu is not bounded on both sides"
    assert content["runs"][recording.runs[0]]["spec"]["act"] == "tanh"
    assert content["versions"] == {"actdiag": "0.1.0", "torch": "2.13.0", "schema": schema.VERSION}


def test_diagnosis_as_dict_has_the_agreed_keys() -> None:
    content = diagnosis_as_dict(bad()[1])
    assert list(content) == ["verdict", "votes", "findings", "passed", "skipped"]
    keys = ["code", "name", "severity", "run", "layers", "modules", "message", "evidence", "remedy", "step"]
    assert [list(found) for found in content["findings"]] == [keys, keys]


def test_csv_reads_back_exactly() -> None:
    recording, of = draws(".x")
    files = REPORTERS["csv"](recording, of)
    layers = list(csv.DictReader(io.StringIO(files["layers.csv"].decode())))
    assert [layer["run"] for layer in layers] == [run for run in recording.runs for _ in range(3)]
    rows = recording.rows[recording.rows["tensor"] == "activation"]
    assert [float(layer["rms"]) for layer in layers if layer["rms"]] == rows["rms"].tolist()
    found = pd.read_csv(io.BytesIO(files["findings.csv"]))
    assert found[["run", "code", "layers", "threshold"]].to_numpy().tolist() == [
        [recording.runs[1], "AD101", "1-3", 1000.0]
    ]


def test_report_writes_the_recording_and_the_formats(tmp_path: Path) -> None:
    recording, of = bad()
    folder = report(recording, of, tmp_path / "out", ("html", "png", "json", "csv"))
    names = "distributions.png findings.csv histograms.npz layers.csv meta.json modules.csv profile.png"
    names += " report.html report.json rows.csv"
    assert sorted(path.name for path in folder.iterdir()) == names.split()
    assert Recording.load(folder) == recording
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_report_of_the_same_run_is_replaced_as_a_whole(tmp_path: Path) -> None:
    recording, of = bad()
    report(recording, of, tmp_path / "out", ("html",))
    report(recording, of, tmp_path / "out", ("json",))
    assert not (tmp_path / "out" / "report.html").exists()


def test_every_file_of_a_report_is_known_as_its_own() -> None:
    written = {name for reporter in REPORTERS.values() for name in reporter(*bad())}
    assert written <= OWN
    assert all(is_own(name) for name in (*written, "matrix-2.png", "profile-12.png", "distributions-3.png"))
    assert not any(is_own(name) for name in ("profile-2.csv", "mine-2.png", "profile-x.png", "meta-2.json"))


@pytest.mark.parametrize("other", ["seed", "words", "damaged"])
def test_any_other_folder_is_kept_unless_forced(tmp_path: Path, other: str) -> None:
    recording, of = bad()
    folder = tmp_path / "out"
    if other == "seed":
        report(*(lambda r: (r, diagnosis(r)))(simulate(4, seed=1)[0]), folder, ())
    else:
        folder.mkdir()
        name, content = ("thesis.txt", "years of work") if other == "words" else ("meta.json", "[")
        (folder / name).write_text(content)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    expected = r"out exists and is no report of this run: --force writes into it, --out names another$"
    with pytest.raises(ActdiagError, match=expected):
        report(recording, of, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    report(recording, of, folder, (), force=True)
    assert Recording.load(folder) == recording


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert (report(*bad(), tmp_path, ("json",)) / "report.json").exists()


def test_a_file_in_the_place_is_kept_even_by_force(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.write_text("a file")
    for folder in (place, place / "below"):
        with pytest.raises(ActdiagError, match="--out") as caught:
            report(*bad(), folder, (), force=True)
        assert "\n" not in str(caught.value)
    assert place.read_text() == "a file"


@pytest.mark.parametrize("name", [".", ".."])
def test_the_current_folder_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ActdiagError, match="is or holds the current folder"):
        report(*bad(), name, (), force=True)


def test_unknown_format_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown report format 'htlm': did you mean 'html'\? Known: "):
        report(*bad(), tmp_path / "out", ("htlm",))
    assert not list(tmp_path.iterdir())


def test_a_format_that_fails_leaves_the_old_report(tmp_path: Path) -> None:
    recording, of = bad()
    report(recording, of, tmp_path / "out", ("json",))
    broken = replace(recording, meta={**recording.meta, "torch": object()})
    with pytest.raises((TypeError, ActdiagError)):
        report(broken, of, tmp_path / "out", ("json",))
    assert Recording.load(tmp_path / "out") == recording


def test_odd_text_is_written_somehow() -> None:
    recording = fake([], [np.ones((4, 4))])
    hostile = finding(recording.runs[0], message="a lone surrogate \ud800 and \u2028")
    for name in ("html", "json", "csv"):
        assert all(REPORTERS[name](recording, diagnosis(recording, hostile)).values())


def test_an_option_in_a_remedy_is_not_broken_at_its_hyphens_and_stays_escaped() -> None:
    recording = simulate(3, sigma=0.5)[0]
    found = finding(recording.runs[0], remedy="Take --init he_normal <now>, or --norm-place after.")
    page = REPORTERS["html"](recording, diagnosis(recording, found))["report.html"].decode()
    assert '<span class="option">--init</span> he_normal &lt;now&gt;, or ' in page
    assert '<span class="option">--norm-place</span> after.' in page
