"""Files from elsewhere: what is no file is told from what its name says, and nothing waits for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actdiag.errors import ActdiagError
from actdiag.reading import check_file, expand, reason


def test_a_file_and_a_link_to_one_pass(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    check_file(tmp_path / "file")
    check_file(tmp_path / "link")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, told in (
        (tmp_path, "it is a folder, expected a file"),
        (tmp_path / "pipe", "it is a pipe, expected a file"),
        (Path("/dev/zero"), "it is a device, expected a file"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (tmp_path / "a\0b", "embedded null byte"),
    ):
        with pytest.raises(ActdiagError) as caught:
            check_file(path)
        assert str(caught.value) == f"cannot read {str(path).replace(chr(0), '?')}: {told}"


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)  # root may read everything
    with pytest.raises(ActdiagError, match=r"cannot read .*file: no permission$"):
        check_file(tmp_path / "file")


def test_a_home_that_nobody_has_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("~/a.csv") == Path("/home/me/a.csv")
    assert expand("~nobody-of-that-name/a.csv") == Path("~nobody-of-that-name/a.csv")


def test_a_reason_is_one_line_without_the_path() -> None:
    assert reason(OSError(2, "No such file", "/a/b")) == "No such file"
    assert reason(ValueError("bad\n  header")) == "bad header"
    assert reason(MemoryError()) == "MemoryError"
