"""The texts after `--data`: which source each names, and what each wrong one is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from actdiag.errors import UsageError
from actdiag.sources import SOURCES, parse_source


@pytest.mark.parametrize(
    ("text", "name", "parameter"),
    [
        ("gaussian", "gaussian", ""),
        ("digits", "digits", ""),
        ("idx:some/folder", "idx", "some/folder"),
        ("idx:C:/mnist", "idx", "C:/mnist"),
        ("csv:a.csv:label", "csv", "a.csv:label"),
        ("csv:C:/a.csv:label", "csv", "C:/a.csv:label"),
        ("my.package:make", "pkg.mod:callable", "my.package:make"),
        ("json:loads", "pkg.mod:callable", "json:loads"),
    ],
)
def test_head_before_first_colon_tells_the_source(text: str, name: str, parameter: str) -> None:
    source, given = parse_source(text)
    assert (source.name, given) == (name, parameter)


def test_module_in_current_folder_is_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="unknown data 'my_own_flowers'"):
        parse_source("my_own_flowers:make")
    (tmp_path / "my_own_flowers.py").write_text("")
    assert parse_source("my_own_flowers:make")[1] == "my_own_flowers:make"


def test_module_without_a_file_is_a_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_in_a_notebook", ModuleType("made_in_a_notebook"))
    assert parse_source("made_in_a_notebook:make")[0].name == "pkg.mod:callable"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "digit",
            "unknown data 'digit': did you mean 'digits'? Known: gaussian, digits, idx, csv, pkg.mod:call",
        ),
        ("gausian:3", "unknown data 'gausian': did you mean 'gaussian'?"),
        ("", "unknown data ''"),
        ("my.package", "unknown data 'my.package'"),
        ("../x.csv:label", "unknown data '../x.csv'"),
        ("gaussian:3", "data 'gaussian' takes no parameter, got 'gaussian:3': write gaussian"),
        ("gaussian:", "data 'gaussian' takes no parameter"),
        ("digits:x", "data 'digits' takes no parameter, got 'digits:x'"),
        ("idx", "data 'idx' is written idx:FOLDER, got 'idx'"),
        ("idx:", "data 'idx' is written idx:FOLDER, got 'idx:'"),
        ("csv", "data 'csv' is written csv:FILE:TARGET, got 'csv'"),
        ("csv:a.csv", "data 'csv' is written csv:FILE:TARGET, got 'csv:a.csv'"),
        ("csv:a.csv:", "data 'csv' is written csv:FILE:TARGET"),
        ("csv::label", "data 'csv' is written csv:FILE:TARGET"),
        ("json:", "data 'pkg.mod:callable' is written pkg.mod:callable, got 'json:'"),
    ],
)
def test_wrong_text_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_describe_themselves() -> None:
    assert list(SOURCES) == ["gaussian", "digits", "idx", "csv", "pkg.mod:callable"]
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.usage.startswith(name)
        assert source.description
        assert "\n" not in source.description
    assert [source.name for source in SOURCES.values() if source.generated] == ["gaussian"]


@pytest.mark.parametrize(("module", "loads"), [("actdiag.sources", "False"), ("actdiag.data", "True")])
def test_listing_sources_loads_no_torch(module: str, loads: str) -> None:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == loads
