"""docs/numbers.md: no column of any table without a meaning, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_comparison import networks
from fake_recording import simulate

from actdiag import diagnose
from actdiag.cli import advice, cli
from actdiag.cli.terminal import Terminal
from actdiag.comparisons import Comparison
from actdiag.panels import activation_panels
from actdiag.profiles import layer_table
from actdiag.reporters import pages
from actdiag.rules import RULES
from actdiag.rules.base import Run
from actdiag.schema import MODULES, ROWS, SPEC

PAGE = Path(__file__).parents[1] / "docs" / "numbers.md"
TEMPLATES = Path(pages.__file__).parent / "templates"


def sections() -> dict[str, list[list[str]]]:
    """Return the cells of the tables below each heading, their heads left out."""
    found = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        lines = [line for line in part.splitlines() if line.startswith("|")]
        rules = {place for place, line in enumerate(lines) if set(line) <= set("|-")}
        kept = [line for place, line in enumerate(lines) if not {place, place + 1} & rules]
        found[part.splitlines()[0]] = [
            [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept
        ]
    return found


def column(heading: str, place: int) -> list[str]:
    """Return what stands in a column of the tables whose heading begins so, each name by itself."""
    rows = next(rows for title, rows in sections().items() if title.startswith(heading))
    cells = [row[place] for row in rows if row[place]]
    return [name.strip("` ") for cell in cells for name in (cell.split(", ") if "`" in cell else [cell])]


def test_rows_csv() -> None:
    assert column("rows.csv", 0) == list(ROWS)
    assert column("rows.csv", 0)[-len(SPEC) :] == list(SPEC)


def test_modules_csv() -> None:
    assert sorted(column("modules.csv", 0)) == sorted(MODULES)


def test_layers_in_the_terminal_the_page_and_the_file() -> None:
    run = Run.of(simulate(3)[0], simulate(3)[0].runs[0])
    layers = layer_table(run)
    panels = {panel.layer: panel for panel in activation_panels(run)}
    table = Terminal()._table(layers.to_dict("records"), 14, panels, theory=True)
    assert column("Layers", 0) == [str(each.header) for each in table.columns]
    own = [name for name in column("Layers", 1) if name not in ("layer", "module", "shape")]
    assert own == [each.heading for each in pages._COLUMNS]
    macro = (TEMPLATES / "parts.html").read_text().split("macro layer_table")[1].split("</thead>")[0]
    assert re.findall(r">([a-z]+)</th>", macro) == ["layer", "module", "shape"]
    assert sorted(column("Layers", 2)) == sorted(["run", *layers.columns])


def test_networks_on_the_page_and_in_the_file() -> None:
    source = (TEMPLATES / "comparison.html").read_text()
    named = re.search(r'for name in (\["#".*?\])', source)
    assert named is not None
    assert column("Networks", 0) == re.findall(r'"([^"]+)"', named[1])
    recording = networks()[0]
    assert sorted(column("Networks", 1)) == sorted(Comparison(recording, diagnose(recording)).table().columns)


def test_theory() -> None:
    output = CliRunner().invoke(cli, ["theory", "--depth", "3"]).output
    heads = re.split(r"  +", output.splitlines()[1].strip())
    assert column("`actdiag theory`", 0) == heads


def test_gain() -> None:
    output = CliRunner().invoke(cli, ["gain", "tanh"]).output
    assert column("`actdiag gain`", 0) == output.splitlines()[0].split()


def test_fix() -> None:
    source = Path(advice.__file__).read_text().replace("{steps}", "N").replace("{draws}", "M")
    assert column("`actdiag fix`", 0) == re.findall(r'^ {12}\(f?"([^"]+)"', source, re.M)


@pytest.mark.parametrize("code", sorted(set(re.findall(r"AD\d{3}", PAGE.read_text()))))
def test_rules_that_are_named_exist(code: str) -> None:
    assert code in RULES
