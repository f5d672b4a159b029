"""A tiny recipe from end to end: facts, files, index; and what stands in the way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tiny_recipe import CHARTS, Tiny, claim

from actdiag.errors import ActdiagError
from actdiag.recipes.base import Accepted, Measured, Size
from actdiag.recipes.gallery import check_place, found, write
from actdiag.recipes.running import reproduce

PNG = b"\x89PNG\r\n\x1a\n"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_facts_hold_what_was_claimed_and_what_came_out() -> None:
    facts = reproduce(Tiny(), Size.PAPER).facts
    (one,) = facts["claims"]
    assert facts["command"] == "actdiag reproduce tiny --size paper"
    assert facts["setting"] == "in paper"
    assert facts["source"] == "Nobody & Noone (1999): A title. A venue."
    assert facts["figures"] == [{"file": "figure.png", "alt": "It rises."}]
    assert (one["outcome"], one["mean"], one["draws"], one["needed"]) == ("reproduced", 0.5, 3, None)
    # 0.1 t(0.975, 2) / sqrt(3), t = 4.302653
    assert one["interval"] == pytest.approx([0.5 - 0.248414, 0.5 + 0.248414], abs=1e-6)
    assert one["values"] == [0.4, 0.5, 0.6]
    assert (one["accepted"], one["expected"], one["explanation"]) == ([0.0, 1.0], 0.5, "Nobody knows.")
    assert [one[word] for word in ("says", "reason", "theory")] == ["the says", "the reason", "the theory"]


def test_what_json_cannot_hold_is_none() -> None:
    open_ended = claim(accepted=Accepted(high=1.0))
    (one,) = reproduce(Tiny(claimed=(open_ended,), values=(0.1, math.inf))).facts["claims"]
    assert one["accepted"] == [None, 1.0]
    assert (one["mean"], one["interval"], one["values"]) == (None, [None, None], [0.1, None])
    assert (one["outcome"], one["needed"]) == ("inconclusive", None)


def test_a_recipe_that_measures_something_else_is_refused() -> None:
    class Other(Tiny):
        def measure(self, size: Size) -> Measured:
            return Measured({"two": [1.0, 2.0]}, "", (CHARTS,))

    with pytest.raises(ActdiagError, match=r"recipe 'tiny' must measure its claims, got \['two'\]"):
        reproduce(Other())


def test_one_thread_computes_and_the_number_is_put_back() -> None:
    seen = []

    class Looks(Tiny):
        def measure(self, size: Size) -> Measured:
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            reproduce(Looks())
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_a_folder_holds_page_picture_and_numbers(tmp_path: Path) -> None:
    folder = write(reproduce(Tiny()), tmp_path / "a" / "gallery")
    assert set(files(tmp_path / "a" / "gallery")) == {
        "README.md",
        "index.html",
        "tiny/claims.json",
        "tiny/figure.png",
        "tiny/report.html",
    }
    assert (folder / "figure.png").read_bytes().startswith(PNG)
    assert json.loads((folder / "claims.json").read_text("utf-8")) == reproduce(Tiny()).facts


def test_twice_the_same_bytes_and_neither_date_nor_place(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(reproduce(Tiny()), tmp_path / name)
    first = files(tmp_path / "first")
    assert first == files(tmp_path / "second")
    assert b"Software" not in first["tiny/figure.png"]
    for content in first.values():
        assert str(tmp_path).encode() not in content


def test_the_index_lists_what_lies_there_by_name(tmp_path: Path) -> None:
    write(reproduce(Tiny(name="zeta", title="The last")), tmp_path)
    write(reproduce(Tiny(name="alpha", title="The first", values=(2.0, 2.1))), tmp_path)
    assert [facts["recipe"] for facts in found(tmp_path)] == ["alpha", "zeta"]
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert readme.index("[The first](alpha/report.html)") < readme.index("[The last](zeta/report.html)")
    assert "![It rises.](alpha/figure.png)" in readme
    assert "0 of 1 claims reproduced, 1 not reproduced" in readme
    index = (tmp_path / "index.html").read_text("utf-8")
    assert index.index('href="alpha/report.html"') < index.index('href="zeta/report.html"')
    assert "1 of 1 claims reproduced" in index


def test_a_second_run_replaces_the_first_as_a_whole(tmp_path: Path) -> None:
    folder = write(reproduce(Tiny()), tmp_path)
    (folder / "left-over.png").write_bytes(b"")
    write(reproduce(Tiny()), tmp_path)
    assert not (folder / "left-over.png").exists()


def test_a_folder_that_was_renamed_aside_comes_back(tmp_path: Path) -> None:
    folder = write(reproduce(Tiny()), tmp_path)
    aside = tmp_path / ".actdiag-0123456789abcdef" / "old"
    aside.mkdir(parents=True)
    folder.rename(aside / "tiny")
    assert [facts["recipe"] for facts in found(tmp_path)] == ["tiny"]


def test_a_fresh_gallery_and_its_own_files_are_no_obstacle(tmp_path: Path) -> None:
    check_place(tmp_path / "new", ["tiny"], Size.SMALL)
    (tmp_path / "tiny").mkdir()
    check_place(tmp_path, ["tiny"], Size.SMALL)
    write(reproduce(Tiny()), tmp_path)
    check_place(tmp_path, ["tiny"], Size.SMALL)


def test_what_is_not_the_gallerys_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ActdiagError, match="file is a file, expected a folder: name another with --out"):
        check_place(tmp_path / "file", [], Size.SMALL)
    (tmp_path / "README.md").write_text("# My project")
    with pytest.raises(ActdiagError, match=r"README\.md was not written by actdiag reproduce"):
        check_place(tmp_path, [], Size.SMALL)
    (tmp_path / "README.md").unlink()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "mine.txt").write_text("")
    with pytest.raises(ActdiagError, match="tiny exists and is no reproduction of tiny"):
        check_place(tmp_path, ["tiny"], Size.SMALL)


@pytest.mark.parametrize("text", ["{", "[]", '{"recipe": "other"}'])
def test_damaged_claims_are_named(tmp_path: Path, text: str) -> None:
    folder = write(reproduce(Tiny()), tmp_path)
    (folder / "claims.json").write_text(text)
    with pytest.raises(
        ActdiagError, match=r"cannot read .*claims\.json: .* Remove it, or reproduce it again"
    ):
        found(tmp_path)


def test_a_small_run_does_not_take_the_place_of_one_at_the_published_size(tmp_path: Path) -> None:
    write(reproduce(Tiny(), Size.PAPER), tmp_path)
    with pytest.raises(
        ActdiagError, match="tiny holds a run of the published size: give --size paper, or name"
    ):
        check_place(tmp_path, ["tiny"], Size.SMALL)
    check_place(tmp_path, ["tiny"], Size.PAPER)
    write(reproduce(Tiny(), Size.SMALL), tmp_path)
    check_place(tmp_path, ["tiny"], Size.SMALL)
