"""Settings: the command line and setup.cfg."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actdiag.errors import ActdiagError, UsageError
from actdiag.rules import RULES
from actdiag.settings import Settings


def config(folder: Path, text: str) -> Path:
    (folder / "setup.cfg").write_text(text, encoding="utf-8")
    return folder


def test_the_default_is_every_rule_in_order() -> None:
    codes = [rule.code for rule in Settings().rules()]
    assert codes == sorted(RULES)
    assert len(codes) >= 10


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["AD101"], ("AD101",)),
        (["ad101"], ("AD101",)),
        (["vanishing-gradient"], ("AD101",)),
        (["Vanishing-Gradient"], ("AD101",)),
        (["AD30"], ("AD301", "AD302", "AD305")),
        (["AD901, AD30", "AD101"], ("AD101", "AD301", "AD302", "AD305", "AD901")),
        ([" , "], ()),
    ],
)
def test_rules_are_named_by_code_name_or_beginning(words: list[str], codes: tuple[str, ...]) -> None:
    assert Settings.parse(select=words).select == codes
    assert Settings.parse(ignore=words).ignore == codes


@pytest.mark.parametrize(
    ("word", "hint"), [("vanishing-gradent", "'vanishing-gradient'"), ("AD777", "Known: AD001")]
)
def test_an_unknown_rule_gets_a_hint(word: str, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown rule '{word}':.*{hint}") as caught:
        Settings.parse(select=[word])
    assert "\n" not in str(caught.value)


def test_a_threshold_changes_its_rule_alone() -> None:
    settings = Settings.parse(assignments=["AD101.floor=1e-2", "exploding-gradient.ceiling = 30"])
    assert settings.thresholds == {"AD101.floor": 0.01, "AD102.ceiling": 30.0}
    rules = {rule.code: rule for rule in settings.rules()}
    assert rules["AD101"].floor == 0.01  # type: ignore[attr-defined]
    assert rules["AD102"].ceiling == 30.0  # type: ignore[attr-defined]
    assert rules["AD201"].floor == RULES["AD201"]().floor  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "AD101.flor=1",
            r"unknown threshold of AD101 'flor': did you mean 'floor'\? Known: both, floor, error\.",
        ),
        ("AD101.floor=small", "threshold AD101.floor takes a finite number, got 'small'"),
        ("AD101.floor=nan", "threshold AD101.floor takes a finite number, got 'nan'"),
        ("AD101.floor=", "threshold AD101.floor takes a finite number, got ''"),
        ("AD101.floor=-1", "threshold AD101.floor takes a number >= 0, got '-1'"),
        ("AD101.floor", r"set as RULE\.NAME=NUMBER, such as AD101\.floor=0\.01, got 'AD101\.floor'"),
        ("AD101=1", "set as RULE"),
        ("AD1.floor=1", "unknown rule 'AD1'"),
        ("AD901.floor=1", "AD901 has no threshold to set"),
    ],
)
def test_a_wrong_assignment_is_one_line(text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        Settings.parse(assignments=[text])
    assert "\n" not in str(caught.value)


def test_no_file_and_no_section_are_the_defaults(tmp_path: Path) -> None:
    assert Settings.from_config(tmp_path) == Settings()
    assert Settings.from_config(config(tmp_path, "[metadata]\nname = %(x)s\n")) == Settings()


def test_reads_setup_cfg(tmp_path: Path) -> None:
    text = """
[actdiag]
select = AD10, AD20
ignore = AD204
    exploding-gradient
set =
    AD101.floor = 0.2
    AD201.floor = 0.3, AD202.ceiling = 50
"""
    settings = Settings.from_config(config(tmp_path, text))
    chosen = tuple(code for code in sorted(RULES) if code.startswith(("AD10", "AD20")))
    assert settings.select == chosen
    assert settings.ignore == ("AD102", "AD204")
    assert settings.thresholds == {"AD101.floor": 0.2, "AD201.floor": 0.3, "AD202.ceiling": 50.0}
    left = [code for code in chosen if code not in ("AD102", "AD204")]
    assert [rule.code for rule in settings.rules()] == left


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[actdiag]\nselct = AD1\n",
            r"unknown key in \[actdiag\] of setup.cfg 'selct': did you mean 'select'",
        ),
        ("[actdiag]\nset = AD101.floor=%(x)s\n", "takes a finite number"),
        ("no section\n", "cannot be read"),
        ("[actdiag]\nselect = AD1\nselect = AD2\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        Settings.from_config(config(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_bytes(b"\xff\xfe[actdiag]")
    with pytest.raises(UsageError, match="cannot be read"):
        Settings.from_config(tmp_path)


def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path) -> None:
    assert Settings.from_config(config(tmp_path, "\ufeff[actdiag]\nignore = AD101\n")).ignore == ("AD101",)


@pytest.mark.parametrize("kind", ["folder", "pipe", "symbolic links"])
def test_what_is_no_file_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "setup.cfg"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}.get(kind, lambda: path.symlink_to(path))()
    with pytest.raises(ActdiagError, match=rf"cannot read .*setup\.cfg: .*{kind}") as caught:
        Settings.from_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_wrong_file_shows_no_control_characters(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown key in .* '\?\[31m'"):
        Settings.from_config(config(tmp_path, "[actdiag]\n\x1b[31m = 1\n"))


def test_the_command_line_wins() -> None:
    file = Settings.parse(["AD1"], ["AD102"], ["AD101.floor=0.2", "AD201.floor=0.3"])
    line = Settings.parse(["AD2"], ["AD204"], ["AD101.floor=0.4"])
    merged = file.merged(line)
    assert merged.select == line.select
    assert merged.ignore == ("AD102", "AD204")
    assert merged.thresholds == {"AD101.floor": 0.4, "AD201.floor": 0.3}
    assert file.merged(Settings()) == file
    assert Settings().merged(line) == line


def test_a_threshold_is_set_once() -> None:
    with pytest.raises(UsageError, match=r"^threshold AD101\.floor was set 2 times: set it once$"):
        Settings.parse([], [], ["AD101.floor=1e-2", "vanishing-gradient.floor=2"])


@pytest.mark.parametrize("given", [None, 3, b"x", [3], [None], [b"AD101"], np.ones(2), np.array(1.0)])
def test_words_are_texts(given: Any) -> None:
    got = re.escape(repr(given))
    for call, takes in (
        (Settings.parse, r"select takes rules, as 'AD101' or \['AD101', 'AD201'\]"),
        (partial(Settings.parse, []), r"ignore takes rules, as 'AD101' or \['AD101', 'AD201'\]"),
        (partial(Settings.parse, [], []), r"assignments set thresholds, as 'AD101\.floor=0\.01'"),
    ):
        with pytest.raises(UsageError, match=f"^{takes}, got {' '.join(got.split())}$"):
            call(given)


def test_one_text_may_be_given_as_it_is() -> None:
    assert Settings.parse("AD101,AD201", "AD30", "AD101.floor=0.2") == Settings.parse(
        ["AD101", "AD201"], ["AD30"], ["AD101.floor=0.2"]
    )


def test_a_number_is_written_in_the_digits_0_to_9() -> None:
    with pytest.raises(UsageError, match="takes a finite number, got '\u0661'"):
        Settings.parse([], [], ["AD101.floor=\u0661"])
