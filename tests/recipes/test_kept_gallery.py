"""The gallery that is kept in the repository."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from actdiag.recipes import RECIPES, Size
from actdiag.recipes.gallery import write_index

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "reports" / "gallery"
MOST = 8_000_000
"""Bytes of the whole."""


def claims() -> dict[str, list[dict[str, object]]]:
    """Return each kept recipe's claims with their outcomes."""
    return {
        path.parent.name: json.loads(path.read_text())["claims"] for path in GALLERY.glob("*/claims.json")
    }


def test_every_recipe_is_kept_with_what_it_claims() -> None:
    kept = claims()
    assert set(kept) == set(RECIPES)
    for name, found in kept.items():
        size = json.loads((GALLERY / name / "claims.json").read_text())["size"]
        told = {claim.name: claim.says for claim in RECIPES[name].claims(Size(size))}
        assert {claim["name"]: claim["says"] for claim in found} == told


def test_the_readme_counts_the_outcomes_that_are_kept() -> None:
    counts = Counter(str(claim["outcome"]) for found in claims().values() for claim in found)
    words = " ".join((ROOT / "README.md").read_text().split())
    told = re.search(
        r"of (\d+) claims (\d+) were reproduced, (\d+) were not, and (\d+) are inconclusive", words
    )
    assert told is not None
    expected = [
        sum(counts.values()),
        *(counts[name] for name in ("reproduced", "not reproduced", "inconclusive")),
    ]
    assert [int(number) for number in told.groups()] == expected
    assert {name for name in RECIPES if not re.search(rf"\b{name}\b", words)} == set()


def test_the_gallery_is_small_whole_and_without_dates() -> None:
    files = [path for path in GALLERY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST
    for name in RECIPES:
        names = {path.name for path in (GALLERY / name).iterdir()}
        assert {"report.html", "figure.png", "claims.json"} <= names
    texts = [path.read_text() for path in files if path.suffix in (".html", ".json", ".md")]
    assert not any(re.search(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]", text) for text in texts)


def test_the_index_is_that_of_the_pages(tmp_path: Path) -> None:
    for path in GALLERY.glob("*/claims.json"):
        (tmp_path / path.parent.name).mkdir()
        for file in path.parent.iterdir():
            (tmp_path / path.parent.name / file.name).write_bytes(file.read_bytes())
    write_index(tmp_path)
    for name in ("index.html", "README.md"):
        assert (tmp_path / name).read_text() == (GALLERY / name).read_text()
