"""The page of a comparison, as text: what it says, that it is whole, and that it is small."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_comparison import networks, with_facts, with_failed
from fake_recording import diagnosis, finding

from actdiag.panels import Panel
from actdiag.profiles import Curve
from actdiag.recording import Recording, concatenate
from actdiag.reporters import REPORTERS
from actdiag.reporters.families import Series, family_chart
from actdiag.reporters.strips import PITCH, chosen_layers, strip
from actdiag.types import Diagnosis, Severity

DASH = "\u2013"
HOSTILE = """</style></script><script>alert("x" + 'y')</script>&amp;"""


def html(recording: Recording, of: Diagnosis) -> str:
    return REPORTERS["html"](recording, of)["report.html"].decode()


def grid() -> tuple[Recording, Diagnosis]:
    """Return two depths, two draws each; one network with findings, and one that could not be run."""
    recording = networks(depths=(4, 12), seeds=(0, 1))[0]
    recording = with_failed(recording, "ValueError: no such data", act="elu", init="he")
    first, second = recording.runs[:2]
    found = [
        finding(first, message="It vanishes."),
        finding(first, Severity.WARNING, code="AD203", name="other", message="It is dull.", remedy="Polish."),
        finding(second, message="It vanishes, too.", remedy="Use --init xavier."),
    ]
    return recording, diagnosis(recording, *found)


def words(page: str) -> str:
    """Return what a reader reads, white space made one."""
    page = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def part(page: str, number: int) -> str:
    """Return a network's own part."""
    return page.partition(f'<div class="body" id="r{number}">')[2].partition("</details>")[0]


def test_of_draws_of_one_network_the_page_is_the_ordinary_one() -> None:
    recording = networks(("tanh",), ("he",), seeds=range(2))[0]
    assert 'id="matrix"' not in html(recording, diagnosis(recording))
    assert 'id="matrix"' in html(*grid())


def test_page_counts_verdicts_and_names_everything() -> None:
    page = words(html(*grid()))
    assert "11 of 13 healthy" in page
    assert "2 activations" not in page
    assert "3 activations \u00d7 3 initializers, depth 4, 12, width 16" in page
    assert "✓ 11 healthy" in page
    assert "✕ 1 does not train" in page
    assert "∅ 1 could not be run" in page
    for heading in ("depth 4", "depth 12", "What arrives at each layer", "The ranking", "Each network"):
        assert heading in page


def test_a_square_holds_the_gains_of_numpy() -> None:
    recording, arrays = networks(("relu",), ("xavier", "he"), depths=(4,))
    page = html(recording, diagnosis(recording))
    for number, (signal, gradients) in enumerate(arrays.values()):
        up, down = (
            (np.sqrt((last**2).mean()) / np.sqrt((first**2).mean())) ** (1 / 3)
            for first, last in ((signal[0], signal[3]), (gradients[3], gradients[0]))
        )
        square = re.search(rf'<td class="good"><a href="#r{number}".*?</a>', page)
        assert square is not None
        assert words(square[0]).split() == [
            "✓",
            "healthy",
            "→",
            f"{up:#.2g}",
            DASH,
            "←",
            f"{down:#.2g}",
            DASH,
        ]
        assert f"activation {up:#.3g}, expected unknown; gradient {down:#.3g}" in square[0]


def test_each_network_has_its_findings_with_evidence_and_remedy_and_its_command() -> None:
    page = html(*grid())
    own = words(part(page, 0))
    for text in (
        "2 of 2 draws: does not train. Shown: seed 0.",
        "Error vanishing-gradient AD101",
        "It vanishes.",
        "measured 3.1e7; expected 1; threshold 1000 ; layers 1-3",
        "What to do: Use --init xavier.",
        "Warning other AD203",
        "What to do: Polish.",
        "actdiag scan --depth 4 --width 16 --act tanh --init xavier",
    ):
        assert text in own.replace("&#39;", "'"), text
    assert "too" not in own
    assert words(part(page, 1)).lstrip().startswith("2 of 2 draws: healthy. Shown: seed 0. Nothing found")
    assert "vanishing-gradient (AD101) calibration on 220 networks" in words(page)


def test_a_remedy_is_told_once_in_a_network() -> None:
    recording = networks(("tanh",), ("he", "xavier"))[0]
    run = recording.runs[0]
    page = html(recording, diagnosis(recording, finding(run), finding(run, code="AD206")))
    assert words(part(page, 0)).count("Use --init xavier.") == 1
    assert part(page, 0).count("the same.") == 1


def test_draws_that_disagree_are_counted_in_the_square_and_in_words() -> None:
    recording = networks(("tanh",), ("he", "xavier"), seeds=range(3))[0]
    page = html(recording, diagnosis(recording, finding(recording.runs[0])))
    assert "✓ healthy 2/3" in page
    assert "2 of 3 draws: healthy; 1 of 3 draws: does not train. Shown: seed 1." in part(page, 0)


def test_draws_are_told_exactly_where_all_networks_have_as_many() -> None:
    recording = networks(("tanh",), ("he", "xavier"), seeds=range(3))[0]
    assert "judged by 3 draws of its weights" in words(html(recording, diagnosis(recording)))
    fewer = concatenate([recording.of(run) for run in recording.runs[:-1]])
    assert "judged by up to 3 draws of its weights" in words(html(fewer, diagnosis(fewer)))
    single = networks(("tanh",), ("he", "xavier"))[0]
    assert "judged by" not in words(html(single, diagnosis(single)))


def test_a_healthy_network_says_what_is_worth_knowing_and_not_that_nothing_was_found() -> None:
    recording = networks(("tanh",), ("he", "xavier"))[0]
    first, second = recording.runs
    told = (
        (first, "AD203", "dull"),
        (first, "AD202", "odd"),
        (first, "AD203", "dull"),
        (first, "AD001", "made"),
    )
    found = [finding(run, Severity.INFO, code=code, name=name) for run, code, name in told]
    page = html(recording, diagnosis(recording, *found))
    assert "Nothing that keeps it from training; worth knowing: dull, odd." in page
    assert "Nothing that keeps it from training." in page
    assert page.count("Nothing found") == 1  # in the part of the second, of which nothing is said
    assert "Nothing found" in part(page, recording.runs.index(second))


def test_a_failed_network_shows_its_error_and_how_to_run_it() -> None:
    page = html(*grid())
    own = words(part(page, 12))
    assert "Not run: ValueError: no such data" in own
    assert "actdiag scan --depth 4 --width 16 --act elu --init he" in own
    assert page.count("ValueError: no such data") == 3  # in the figure, in the ranking and in its own part
    assert re.search(r'<td class="failed"><a href="#r12"[^>]*><b>∅ not run</b></a>', page)


def test_every_reference_leads_somewhere_and_ids_are_unique() -> None:
    page = html(*grid())
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:href="#|aria-labelledby="|url\(#)([^")]*)', page)
    assert len(targets) > 100
    assert set(targets) <= set(ids)
    assert all(value.startswith("#") for value in re.findall(r'\b(?:href|src)="([^"]*)"', page))
    assert not re.search(r"https?:|@import|@font-face|<link|<img|fetch\(|XMLHttp", page)


def test_every_drawing_is_xml_with_a_name_or_hidden() -> None:
    page = re.sub(r'<div class="row head" aria-hidden="true">.*?</div></div>', "", html(*grid()))
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) > 60
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-hidden") == "true" or (root.get("role") == "img" and root.get("aria-label"))


def test_deep_networks_show_ten_layers_and_say_so() -> None:
    page = html(*grid())
    deep = next(place for place in range(13) if "10 of 12 hidden layers" in part(page, place))
    heading, *layers = re.findall(r"<tr><th>(\w+)", part(page, deep))
    assert heading == "layer"
    assert layers == ["1", "2", "3", "5", "6", "7", "8", "10", "11", "12", "13"]
    assert "hidden layers; the command" not in part(page, 0)


def test_the_ranking_can_be_sorted_by_numbers() -> None:
    recording, arrays = networks(("tanh",), ("xavier", "he"))
    page = html(recording, diagnosis(recording))
    keys = [float(key) for key in re.findall('data-k="([^"]*)">\u00d7', page)]
    assert len(keys) == 6
    signal = next(iter(arrays.values()))[0]
    first = (np.sqrt((signal[3] ** 2).mean()) / np.sqrt((signal[0] ** 2).mean())) ** (1 / 3)
    assert any(key == pytest.approx(first, rel=1e-3) for key in keys)


def test_hostile_names_stay_text() -> None:
    recording, _ = grid()
    run = recording.runs[0]
    for name in (run, recording.runs[1]):
        spec = {**recording.meta["runs"][name]["spec"], "act": HOSTILE, "init": HOSTILE, "data": HOSTILE}
        recording = with_facts(recording, name, spec=spec, command=HOSTILE, notes=[HOSTILE])
    recording = with_facts(recording, recording.runs[-1], error=HOSTILE)
    evidence = {HOSTILE: HOSTILE, "threshold": 1.0, "threshold_source": HOSTILE}
    found = finding(run, message=HOSTILE, remedy=HOSTILE, name=HOSTILE, evidence=evidence)
    page = html(recording, diagnosis(recording, found))
    assert "alert(&#34;x&#34; + &#39;y&#39;)" in page
    assert 'alert("x"' not in page
    assert page.count("<script>") == page.count("</script>") == 1
    assert page.count("</style>") == 1
    assert not re.search(r"=[^\"'<>\s]*alert", page)


def test_page_is_the_same_every_time() -> None:
    assert html(*grid()) == html(*grid())


@pytest.mark.parametrize("depth", [10, 50])
def test_a_hundred_networks_fit_in_a_megabyte(depth: int) -> None:
    recording = networks(("tanh", "relu"), ("xavier", "he"), depths=(depth,))[0]
    sources = [finding(recording.runs[0], code=f"AD10{place}", remedy=f"{place}" * 150) for place in range(4)]
    found = [replace(each, run=run) for run in recording.runs for each in sources]
    page = html(recording, diagnosis(recording, *found))
    once = len(html(*two_small()))
    assert once < 45_000
    assert 20_000 < len(page.encode()) - once < 4 * 10_000


def two_small() -> tuple[Recording, Diagnosis]:
    recording = networks(("tanh",), ("xavier", "he"), depths=(1,))[0]
    return recording, diagnosis(recording)


def test_chosen_layers_are_even_and_hold_both_ends() -> None:
    for count in (1, 9, 10, 11, 37, 1000):
        chosen = chosen_layers(list(range(1, count + 1)))
        assert (chosen[0], chosen[-1], len(chosen)) == (1, count, min(count, 10))
        steps = np.diff(chosen)
        assert count == 1 or steps.max() - steps.min() <= 1


def test_bars_are_as_high_as_their_shares() -> None:
    heights = np.repeat([0.5, 1.0, 0.0, 0.25], 10)
    drawing = strip("a0", [Panel(1, -1.0, 1.0, heights), Panel(2, -1.0, 1.0, np.zeros(0), ("not recorded",))])
    (path,) = re.findall(r'class="bars" d="(.*?)"', drawing.drawing)
    assert path == "M0 45v-17h15v-17h15v34h15v-8h15v8z"  # 34 high, 60 wide
    assert f'<tspan x="{PITCH}">not recorded</tspan>' in drawing.drawing
    assert ElementTree.fromstring(drawing.drawing).get("id") == "a0"


def curve(values: list[float], theory: bool = False, band: bool = False) -> Curve:
    layers = np.arange(len(values), dtype=np.float64)
    ends = np.array([values, values]) * [[0.5], [2.0]] if band else None
    return Curve("rms", layers, np.array(values), theory, ends)


def groups(*series: Series, backward: bool = False) -> dict[str, ElementTree.Element]:
    drawing = family_chart("frame", "rms", series, 1.0, backward=backward)
    return {str(each.get("id")): each for each in ElementTree.fromstring(f"<svg>{drawing}</svg>")}


def test_each_line_is_a_group_with_theory_and_band() -> None:
    drawn = groups(
        Series("f1", 3, "he", curve([1.0, 0.1, 0.01]), curve([1.0, 0.2, 0.04], True, True)),
        Series("f2", 4, "xavier", curve([1.0, 1.0, 1.0]), None),
    )
    assert list(drawn) == ["frame", "f1", "f2"]
    parts = {str(each.get("class")): each.get("d") for each in drawn["f1"]}
    assert set(parts) == {"band", "theory", "line", "dot", "leader", "end"}
    assert parts["line"] == "M52 12l119 100 119 100"  # two decades over 200 units, three layers over 238
    assert str(parts["theory"]).startswith("M52 12l119 69.9 119 69.9")
    assert {each.get("class") for each in drawn["f2"]} == {"line", "dot", "leader", "end"}


def test_zeros_and_what_is_not_finite_are_marked_and_break_the_line() -> None:
    drawn = groups(Series("f1", 0, "he", curve([1.0, 0.0, 0.1, float("nan"), 0.01]), None))
    marks = [each for each in drawn["f1"] if str(each.get("class")).startswith("mark")]
    assert len(marks) == 2
    line = next(each.get("d") for each in drawn["f1"] if each.get("class") == "line")
    assert str(line).count("M") == 3


@pytest.mark.parametrize("backward", [False, True])
def test_names_at_the_ends_do_not_overlap(backward: bool) -> None:
    series = [Series(f"f{n}", n, f"init {n}", curve([1.0, 0.9, 0.9 + 1e-3 * n]), None) for n in range(15)]
    drawn = groups(*series, backward=backward)
    heights = sorted(
        float(str(text.get("y"))) for name in drawn for text in drawn[name].findall("text[@class='end']")
    )
    assert len(heights) == 15
    assert np.diff(heights).min() >= 12.4
    assert heights[0] > 0
    assert heights[-1] < 250
    lefts = {
        float(str(text.get("x"))) for each in drawn.values() for text in each.findall("text[@class='end']")
    }
    assert lefts == ({111.0} if backward else {319.0})


def test_where_nothing_can_be_drawn_it_is_said() -> None:
    series = [Series("f1", 0, "he", curve([0.0, 0.0]), None)]
    assert "nothing above zero to draw" in family_chart("frame", "rms", series, 1.0, backward=False)
