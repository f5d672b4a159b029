"""The notebook in examples/: made of tour.md, still running, small, and free of anything of one machine."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from matplotlib import pyplot

EXAMPLES = Path(__file__).parent.parent / "examples"
SHOWING = {"display_data", "execute_result"}


@pytest.fixture(scope="module")
def builder() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("build_examples", EXAMPLES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    return found


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def test_the_notebook_is_made_of_the_text_beside_it(builder: ModuleType, notebook: dict[str, Any]) -> None:
    stored = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert stored == builder.cells((EXAMPLES / "tour.md").read_text(encoding="utf-8"))
    assert {kind for kind, _ in stored} == {"code", "markdown"}


def test_text_is_cut_at_the_fences(builder: ModuleType) -> None:
    text = "# Title\n\n```python\na = 1\n\nb = 2\n```\n\n```python\nc\n```\nend `x`\n"
    assert builder.cells(text) == [
        ("markdown", "# Title"),
        ("code", "a = 1\n\nb = 2"),
        ("code", "c"),
        ("markdown", "end `x`"),
    ]


def test_every_cell_was_run_in_order_and_none_failed_or_warned(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert {output["output_type"] for output in outputs(notebook)} == SHOWING
    plots = [cell for cell in code if "actdiag.plot." in "".join(cell["source"])]
    assert len(plots) == 6
    for cell in plots:
        assert ["image/png" in output["data"] for output in cell["outputs"]] == [True]
    shown = [output["data"]["text/html"] for output in outputs(notebook) if "text/html" in output["data"]]
    assert len(shown) == 5


def test_the_notebook_is_small_and_holds_nothing_of_one_machine(notebook: dict[str, Any]) -> None:
    text = (EXAMPLES / "tour.ipynb").read_text(encoding="utf-8")
    assert len(text) < 500_000
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    assert not re.search(r"/home/|/tmp/|/root/|/work/|/usr/|site-packages| at 0x|\b20\d\d-\d\d-\d\d", text)
    drawn = [output["data"]["image/png"] for output in outputs(notebook) if "image/png" in output["data"]]
    images = [base64.b64decode("".join(lines)) for lines in drawn]
    assert not any(chunk in image for image in images for chunk in (b"tEXt", b"tIME", b"Software"))


def test_the_cells_still_run(builder: ModuleType) -> None:
    pyplot.switch_backend("Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    for kind, text in builder.cells((EXAMPLES / "tour.md").read_text(encoding="utf-8")):
        if kind == "code":
            exec(compile(text, "tour.md", "exec"), names)
    assert len(pyplot.get_fignums()) == 6
    pyplot.close("all")
    assert len(names["grid"].runs) == 9
