"""Names that attack: in every output they stay words, in one line, of characters that are shown."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from fake_comparison import networks
from fake_recording import attached, finding
from hostile import NAMES
from matplotlib import pyplot
from rich.console import Console

from actdiag import plot
from actdiag.cli.matrix import show
from actdiag.cli.terminal import Terminal
from actdiag.comparisons import Comparison
from actdiag.diagnosis import diagnose
from actdiag.errors import UsageError
from actdiag.recording import Recording
from actdiag.reporters import REPORTERS
from actdiag.texts import encodable
from actdiag.types import Diagnosis, Finding

DRAWN = ("mathtext", "tex", "escape", "nul", "direction", "emoji", "surrogate")
"""The names that matplotlib might choke on."""
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?|-?inf")
every_name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())


class Elements(HTMLParser):
    """Lists a page's elements with their attributes' names, and the contents of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        if tag not in ("wbr", "use"):  # where a name may be broken
            self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:  # noqa: D102
        self.found.append(("comment", (data,)))


def one(name: str) -> Recording:
    """Return the recording of a model in which everything that has a name has this one."""
    braced = name.replace("{", "{{").replace("}", "}}")
    gaps = [{"name": f"{name} unseen"}, {"name": "other", "reason": f"{name}."}]
    recording = attached(2, run=name, name=f"{braced}{{0}}", gaps=gaps)
    facts = {"spec": None, "loss": {"kind": name}, "notes": [name], "command": name}
    return replace(recording, meta={**recording.meta, "actdiag": name, "torch": name, "runs": {name: facts}})


def several(name: str) -> Recording:
    """Return a comparison with the name in every field that may hold words."""
    recording, _ = networks(inits=("xavier", "he"), depths=(2,))
    runs = {run: f"{name}{number}" for number, run in enumerate(recording.meta["runs"])}
    facts = {
        runs[run]: {**old, "notes": [name], "command": name, "spec": _renamed(old["spec"], name)}
        for run, old in recording.meta["runs"].items()
    }
    return replace(
        recording,
        rows=recording.rows.assign(
            run=recording.rows["run"].map(runs), module=name, act=name + recording.rows["act"]
        ),
        modules=recording.modules.assign(run=recording.modules["run"].map(runs), name=name),
        meta={**recording.meta, "actdiag": name, "runs": facts},
    )


def _renamed(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return {**spec, "act": name + spec["act"], "init": name + spec["init"], "data": name + "data"}


def judged(recording: Recording, name: str) -> Diagnosis:
    found = diagnose(recording)
    return replace(found, findings=(*found.findings, odd(recording.runs[0], name)))


def odd(run: str, name: str) -> Finding:
    """Return a finding that has the name everywhere."""
    evidence = {"measured": f"{name} ", "threshold": 1.0, "threshold_source": name}
    return finding(run, name=name, message=name, remedy=name, modules=(name,), evidence=evidence)


@cache
def cases(name: str) -> tuple[tuple[Recording, Diagnosis], ...]:
    """Return the recordings of a model and of a comparison, each with what is found in it."""
    return tuple((recording, judged(recording, name)) for recording in (one(name), several(name)))


def pairs(name: str) -> zip[tuple[tuple[Recording, Diagnosis], tuple[Recording, Diagnosis]]]:
    """Return each case, as a recording spells the name, beside that of a harmless one of the same length."""
    name = encodable(name)
    return zip(cases(name), cases("n" * len(name)), strict=True)


def elements(page: bytes | str) -> list[tuple[str, tuple[str, ...]]]:
    return Elements(page.decode() if isinstance(page, bytes) else page).found


def cells_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def unshown(text: str) -> set[str]:
    return {character for character in text if not character.isprintable()} - {"\n"}


@every_name
def test_no_element_or_attribute_is_added_to_a_page(name: str) -> None:
    for (recording, found), (plain, sound) in pairs(name):
        page, expected = (
            REPORTERS["html"](*case)["report.html"] for case in ((recording, found), (plain, sound))
        )
        assert not unshown(page.decode())
        assert elements(page) == elements(expected)


@every_name
def test_no_element_is_added_to_a_notebook(name: str) -> None:
    for (recording, found), (plain, sound) in pairs(name):
        for mine, other in ((recording, plain), (found, sound), (found.findings[-1], sound.findings[-1])):
            shown = mine._repr_html_()
            assert not unshown(shown)
            assert elements(shown) == elements(other._repr_html_())


@every_name
def test_a_spreadsheet_finds_no_formula_and_no_other_rows(name: str) -> None:
    for (recording, found), (plain, sound) in pairs(name):
        files, expected = REPORTERS["csv"](recording, found), REPORTERS["csv"](plain, sound)
        assert files.keys() == expected.keys()
        for file, content in files.items():
            rows, others = (
                list(csv.reader(io.StringIO(text.decode()))) for text in (content, expected[file])
            )
            assert [len(row) for row in rows] == [len(row) for row in others]
            cells = [cell for row in rows for cell in row if not NUMBER.fullmatch(cell)]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
            assert not unshown("".join(cells))


@every_name
def test_json_holds_the_name_itself(name: str) -> None:
    for recording, found in cases(name):
        content = json.loads(REPORTERS["json"](recording, found)["report.json"])
        last = next(each for each in content["findings"] if each["name"] == name)
        assert (last["message"], last["modules"]) == (name, [name])
        assert list(content["runs"]) == list(recording.runs)


@every_name
def test_a_terminal_is_not_steered(name: str) -> None:
    for recording, found in cases(name):
        terminal, shown = Terminal(), io.StringIO()
        terminal.console = Console(file=shown, width=140, highlight=False)
        if len(recording.runs) == 1:
            terminal.show(recording, found)
        else:
            show(terminal, Comparison(recording, found))
        for text in (shown.getvalue(), str(found), repr(recording), str(UsageError(name))):
            assert not unshown(text)
        assert "\n" not in repr(recording) + str(UsageError(name))


@pytest.mark.parametrize("kind", DRAWN)
def test_pictures_are_drawn_without_a_warning(kind: str) -> None:
    name = NAMES[kind]
    with pyplot.rc_context({"text.usetex": True, "font.family": "cursive"}):
        for recording, found in cases(name):
            assert all(data.startswith(b"\x89PNG") for data in REPORTERS["png"](recording, found).values())
            for draw in (plot.profile, plot.distributions):
                draw(recording).figure.savefig(io.BytesIO())
    pyplot.close("all")


def test_two_layers_whose_names_are_shortened_alike_stay_two_rows() -> None:
    recording = attached(3, name="x" * 60 + "{0}" + "y" * 60)
    assert recording.modules["name"].nunique() == len(recording.modules)
    table = list(
        csv.reader(io.StringIO(REPORTERS["csv"](recording, diagnose(recording))["layers.csv"].decode()))
    )
    names = [row[table[0].index("module")] for row in table[1:]]
    assert len(set(names)) == len(names) == 4
