"""Laws of whatever shows words of others: any text stays text, in a page, a table, a terminal, a picture."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from fake_recording import diagnosis, finding, simulate
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from actdiag import RunSpec
from actdiag.cli.terminal import print_line
from actdiag.errors import UsageError
from actdiag.plots.picture import Sheet
from actdiag.plots.style import shortened, styled
from actdiag.reporters import REPORTERS
from actdiag.reporters.pages import environment
from actdiag.svg import text as svg_text
from actdiag.texts import encodable, escaped, printable, spreadsheet_cell
from laws.conftest import LAWS

ANY = st.text(max_size=40) | st.text("<>&\"'=+-@\t\r\n;,$\\{}_^%#[]/!x1 \x1b\u202e\ud800\0", max_size=20)
"""Any text, halves of surrogate pairs included; and what attacks are made of."""


NUMBER = re.compile(r"[+-](\d+([.]\d*)?|[.]\d+|inf)(e[+-]?\d+)?", re.IGNORECASE)
RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
"""Names that Windows keeps for devices."""


class Parts(HTMLParser):
    """What a parser finds in an element: its text, its attribute, and how many elements there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.attributes, self.elements = "", [], 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.elements += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:  # noqa: D102
        self.text += data


def shown(text: str) -> str:
    """Return what is to be seen of a text in a page: the same, with "?" where nothing could be seen."""
    return re.sub(r"[^\n]", lambda match: match[0] if match[0].isprintable() else "?", text)


@LAWS
@given(text=ANY)
def test_a_page_shows_the_text_and_nothing_else(text: str) -> None:
    template = environment().from_string('<p title="{{ text }}">{{ text }}</p>')
    for page in (f'<p title="{escaped(text)}">{escaped(text)}</p>', template.render(text=text)):
        parts = Parts(page)
        assert (parts.elements, parts.text, parts.attributes) == (1, shown(text), [("title", shown(text))])
        assert page.encode("utf-8")


@LAWS
@given(text=ANY)
def test_a_drawing_is_xml_with_the_text(text: str) -> None:
    for root in (
        ElementTree.fromstring(svg_text(1.0, 2.0, text, "middle")),
        ElementTree.fromstring(f'<text class="{escaped(text)}">{escaped(text)}</text>'),
    ):
        assert (root.text or "", list(root)) == (shown(text), [])
    assert unescape(escaped(text)) == shown(text)


@LAWS
@given(texts=st.lists(ANY, min_size=1, max_size=4))
def test_a_cell_is_no_formula_and_says_the_same(texts: list[str]) -> None:
    cells = [spreadsheet_cell(printable(text)) for text in texts]
    table = io.StringIO()
    csv.writer(table).writerow(cells)
    table.seek(0)
    assert list(csv.reader(table)) == [cells]
    for text, cell in zip(texts, cells, strict=True):
        assert cell.removeprefix("'") == printable(text).removeprefix("'")
        assert not cell.startswith(("=", "@"))
        assert not cell.startswith(("+", "-")) or NUMBER.fullmatch(cell)


@LAWS
@given(text=ANY)
def test_a_line_of_the_terminal_is_one_line_of_what_can_be_shown(text: str) -> None:
    file = io.StringIO()
    print_line(Console(file=file, width=10_000, highlight=False), "a", (text, "bold"), "b")
    assert file.getvalue() == f"a{printable(text)}b\n"
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
    assert str(UsageError(text)).isprintable()


@LAWS
@given(text=ANY)
def test_what_can_be_shown_stays(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert [new for old, new in zip(text, printable(text), strict=True) if old.isprintable()] == [
        old for old in text if old.isprintable()
    ]
    assert encodable(text).encode("utf-8").decode("utf-8") == encodable(text)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert encodable(text) == text


@LAWS
@given(text=ANY)
def test_json_holds_the_text(text: str) -> None:
    recording = simulate(1)[0]
    found = diagnosis(recording, finding(recording.runs[0], message=text, evidence={"measured": text}))
    content = json.loads(REPORTERS["json"](recording, found)["report.json"])
    assert content["findings"][0]["message"] == text
    assert content["findings"][0]["evidence"] == {"measured": text}


with styled():  # a text takes the style of the moment that it is made in, an axes' title that of the axes'
    FIGURE = Figure(figsize=(2.0, 1.0))
    FigureCanvasAgg(FIGURE)
    AXES = FIGURE.add_axes((0.0, 0.0, 1.0, 1.0))


@LAWS
@given(text=ANY)
def test_any_text_is_drawn(text: str) -> None:
    with styled():
        Sheet(AXES, 2.0, 1.0).text(0.1, 0.5, text)
        AXES.set_title(shortened(text, 20))
        FIGURE.canvas.draw()
        AXES.texts[0].remove()


@LAWS
@given(path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_slug_is_a_name_for_a_folder_whatever_the_data_are_called(path: str) -> None:
    spec = RunSpec(data=f"idx:{path}")
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,119}", spec.slug)
    assert replace(spec).slug == spec.slug
    stem = spec.slug.partition(".")[0]
    assert stem not in RESERVED


@pytest.mark.parametrize(
    ("spec", "slug"),
    [
        (RunSpec(), "tanh-xavier-10x256"),
        (RunSpec(depth=3, width=64, act="relu", init="he", seed=7), "relu-he-3x64-seed7"),
        (RunSpec(act="leaky_relu:0.1", init="normal:0.01"), "leaky_relu-0.1-normal-0.01-10x256"),
        (RunSpec(data="idx:../x"), "tanh-xavier-10x256-idx-..-x-" + "?" * 8),
    ],
)
def test_slugs_stay_what_they_are(spec: RunSpec, slug: str) -> None:
    """Reports of earlier versions are found again under them."""
    assert re.fullmatch(re.escape(slug).replace(r"\?", "[0-9a-f]"), spec.slug)
