"""What stays beside and within a folder that is replaced: links, others' files, other runs' workspaces."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_recording import diagnosis, simulate
from faults import left_over

from actdiag.cli import fix
from actdiag.errors import ActdiagError
from actdiag.folders import check_writable, replace_file, replacing, sweep
from actdiag.reporters import report

RECORDING = simulate(2)[0]


def write(folder: Path, content: str = "new") -> None:
    with replacing(folder) as fresh:
        (fresh / "file").write_text(content)


def test_a_name_as_long_as_file_systems_have_it(tmp_path: Path) -> None:
    folder = tmp_path / ("n" * 255)
    for content in ("old", "new"):
        write(folder, content)
    replace_file(folder / ("f" * 255), b"content")
    assert (folder / "file").read_text() == "new"
    assert sorted(map(len, os.listdir(folder))) == [4, 255]  # noqa: PTH208


def test_a_link_is_kept_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "weights").touch()
    for link, target in (("to_folder", "folder"), ("to_file", "weights"), ("to_nothing", "there/later")):
        (tmp_path / link).symlink_to(target)
    write(tmp_path / "to_folder")
    write(tmp_path / "to_nothing")
    replace_file(tmp_path / "to_file", b"new")
    assert all((tmp_path / link).is_symlink() for link in ("to_folder", "to_nothing", "to_file"))
    assert [(tmp_path / name / "file").read_text() for name in ("folder", "there/later")] == ["new", "new"]
    assert (tmp_path / "weights").read_text() == "new"


def test_a_loop_of_links_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(ActdiagError, match=r"^cannot write .*one.*: .*Name another with --out\.$"):
        write(tmp_path / "one" / "run")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_folders_and_files_have_the_modes_that_others_would_have(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "run")
        replace_file(tmp_path / "weights", b"new")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run", "run/file", "weights")]
    assert modes == [0o777 & ~mask, 0o666 & ~mask, 0o666 & ~mask]


@pytest.mark.parametrize("way", ["report", "save", "fix"])
def test_others_files_stay_what_they_are(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "run"
    (folder / "mine").mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    (folder / "mine" / "notes.txt").write_text("mine")
    (folder / "nowhere").symlink_to("gone")
    os.mkfifo(folder / "pipe")
    number = (folder / "mine" / "notes.txt").stat().st_ino
    if way == "report":
        report(RECORDING, diagnosis(RECORDING), folder, "json", force=True)
    elif way == "save":
        RECORDING.save(folder)
    else:
        fix._place_files({"advice.json": b"{}"}, folder)
    assert (folder / "mine" / "notes.txt").read_text() == "mine"
    assert (folder / "mine" / "notes.txt").stat().st_ino == number
    assert (folder / "nowhere").is_symlink()
    assert (folder / "pipe").is_fifo()


def test_a_run_that_goes_on_keeps_its_workspace(tmp_path: Path) -> None:
    with replacing(tmp_path / "one") as fresh:
        sweep(tmp_path)
        write(tmp_path / "two")
        (fresh / "file").write_text("mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_another_run_of_the_same_folder_takes_the_place_of_the_first(tmp_path: Path) -> None:
    with replacing(tmp_path / "run") as fresh:
        (fresh / "file").write_text("last")
        write(tmp_path / "run", "first")
        assert (tmp_path / "run" / "file").read_text() == "first"
    assert (tmp_path / "run" / "file").read_text() == "last"
    assert left_over(tmp_path) == []


def test_only_a_workspace_is_swept(tmp_path: Path) -> None:
    mine = [".actdiag-notes", ".actdiag-0123456789abcdef0", "actdiag-0123456789abcdef"]
    for name in (*mine, ".actdiag-0123456789abcdef"):
        (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for write_it in (lambda path: replace_file(path, b""), lambda path: fix._check_places(path, None, True)):
        with pytest.raises(ActdiagError, match=r"pipe: it is no regular file\. Name another file\.$"):
            write_it(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("check", [check_writable, write])
def test_a_mount_point_is_told_before_anything_is_measured(
    check: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "volume")
    with pytest.raises(
        ActdiagError, match="volume is a mount point, which cannot be replaced: name a folder"
    ):
        check(tmp_path / "volume")
    assert os.listdir(tmp_path) == ["volume"]  # noqa: PTH208


@pytest.mark.parametrize("check", [check_writable, write])
def test_a_name_that_the_next_run_would_sweep_away_is_refused(
    check: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(ActdiagError, match="has a name that actdiag keeps for itself: name another folder"):
        check(tmp_path / ".actdiag-0123456789abcdef")
    assert not list(tmp_path.iterdir())
