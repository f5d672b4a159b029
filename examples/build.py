"""Make tour.ipynb from tour.md: its code cells, run in order, and what they show.

    pip install -c constraints.txt -e '.[notebook]' && python examples/build.py

The same bytes every time on one machine: no times, no paths, no versions.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "tour.md"
NOTEBOOK = SOURCE.with_suffix(".ipynb")


def cells(text: str) -> list[tuple[str, str]]:
    """Return (kind, text) of each cell: code between fences, markdown around them."""
    parts = re.split(r"^```python\n(.*?)^```\n", text, flags=re.MULTILINE | re.DOTALL)
    kinds = [("code" if place % 2 else "markdown", part.strip()) for place, part in enumerate(parts)]
    return [(kind, part) for kind, part in kinds if part]


def build() -> None:
    """Write the notebook.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat.v4
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook()
    for number, (kind, text) in enumerate(cells(SOURCE.read_text(encoding="utf-8")), start=1):
        make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        notebook.cells.append(make(text, id=f"cell-{number:02}"))
    where = {"metadata": {"path": str(SOURCE.parent)}}
    NotebookClient(notebook, kernel_name="python3", resources=where).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        _settle(cell)
    nbformat.write(notebook, NOTEBOOK)


def _settle(cell: Any) -> None:
    """Take out of a cell what another run would write differently."""
    cell.metadata = {}
    for output in cell.get("outputs", []):
        output.pop("metadata", None)
        if output.output_type in ("display_data", "execute_result"):
            output.metadata = {}
            if {"image/png", "text/html"} & set(output.data):
                output.data.pop("text/plain", None)  # what is shown says the same
            if "image/png" in output.data:
                image = small(base64.b64decode(output.data["image/png"]))
                output.data["image/png"] = base64.b64encode(image).decode() + "\n"


def small(image: bytes) -> bytes:
    """Return a PNG of 256 colours, without its text chunks, which name the software that drew it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    build()
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size / 1024:.0f} kB")
