"""Memory: what is free, what a network takes, and what becomes of too much."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actdiag import RunSpec, compare, scan
from actdiag.errors import ActdiagError, UsageError
from actdiag.footprint import parameters, run_bytes
from actdiag.memory import check_fits, free_memory, is_exhausted, telling_exhaustion
from actdiag.models import build

GIB = 2**30


def system(root: Path, **files: str) -> Path:
    """Write what Linux says of itself; `a__b_c` is the file a/b.c, where the name has a dot."""
    for name, text in {"proc/meminfo": "MemFree: 1 kB\nMemAvailable: 8388608 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_what_is_available_without_control_groups(tmp_path: Path) -> None:
    assert free_memory(system(tmp_path)) == 8 * GIB


@pytest.mark.parametrize(
    ("group", "folder"),
    [("0::/job\n", "job"), ("0::/job/step\n", "job"), ("0::/job\n", ""), ("0::/\n", "")],
)
def test_a_group_of_version_2_and_those_above_it_count(tmp_path: Path, group: str, folder: str) -> None:
    place = f"sys/fs/cgroup/{folder}".rstrip("/")
    files = {
        "memory.max": f"{4 * GIB}",
        "memory.current": f"{3 * GIB}",
        "memory.stat": f"inactive_file {GIB}",
    }
    root = system(tmp_path, **{f"{place}/{name}": text for name, text in files.items()})
    system(root, **{"proc/self/cgroup": group})
    assert free_memory(root) == 2 * GIB


def test_a_group_of_version_1_counts(tmp_path: Path) -> None:
    files = {
        "memory.limit_in_bytes": f"{2 * GIB}",
        "memory.usage_in_bytes": f"{GIB}",
        "memory.stat": "total_inactive_file 5\ninactive_file 9",
    }
    root = system(tmp_path, **{f"sys/fs/cgroup/memory/job/{name}": text for name, text in files.items()})
    system(root, **{"proc/self/cgroup": "5:cpu:/other\n4:memory:/job\n0::/\n"})
    assert free_memory(root) == GIB + 5


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", "no number"])
def test_no_limit_is_none(tmp_path: Path, limit: str) -> None:
    place = "sys/fs/cgroup/job/"
    files = {"proc/self/cgroup": "0::/job\n", f"{place}memory.max": limit, f"{place}memory.current": "7"}
    root = system(tmp_path, **files, **{f"{place}memory.stat": "inactive_file 0"})
    assert free_memory(root) == 8 * GIB


def test_elsewhere_the_system_is_asked_or_nothing_is_known(tmp_path: Path) -> None:
    found = free_memory(tmp_path)
    assert found is None or found > 0


def test_what_does_not_fit_is_one_line() -> None:
    check_fits(4 * GIB, "it", "less", free=4 * GIB)
    with pytest.raises(UsageError) as caught:
        check_fits(4 * GIB, "it", "less", free=3 * GIB)
    assert str(caught.value) == "it needs about 4.29 GB of memory and 3.22 GB are free: less"


@pytest.mark.parametrize("act", ["tanh", "maxout"])
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_parameters_are_counted(depth: int, act: str) -> None:
    spec = RunSpec(depth=depth, width=6, act=act, init="normal:0.1")
    model = build(spec, math.nan, torch.zeros(2, 5), 3)
    assert parameters(spec, 5, 3) == sum(parameter.numel() for parameter in model.parameters())


BIG = RunSpec(depth=2, width=8, batch=8)


@pytest.fixture
def _8_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actdiag.memory.free_memory", lambda: 8 * GIB)


@pytest.mark.usefixtures("_8_gib")
@pytest.mark.parametrize(
    ("change", "name", "least"),
    [
        # weights and gradients, or what autograd keeps, in float32; of layers 100 kB each
        ({"depth": 2_000_000_000}, "2000000000 x 8 on 8", 2e14),
        ({"width": 1_000_000}, "2 x 1000000 on 8", 8e12),
        ({"batch": 2**31 - 1}, "2 x 8 on 2147483647", 2.1e11),
        ({"features": 2**31 - 1}, "2 x 8 on 8", 1.3e11),
        ({"classes": 2**31 - 1}, "2 x 8 on 8", 1.3e11),
        ({"width": 2**31 - 1, "features": 1, "classes": 1, "loss": "mse"}, "2 x 2147483647 on 8", 3.6e19),
    ],
)
def test_a_network_beyond_all_memory_is_refused_before_it_is_made(
    change: dict[str, int], name: str, least: float
) -> None:
    with pytest.raises(UsageError) as caught:
        scan(replace(BIG, **change))
    found = re.fullmatch(
        rf"a network of {name} samples needs about (\S+) ([GTE])B of memory and 8.59 GB are free: "
        "make depth, width, batch, features or classes smaller",
        str(caught.value),
    )
    assert found, str(caught.value)
    assert least < float(found[1]) * {"G": 1e9, "T": 1e12, "E": 1e18}[found[2]] < 3 * least


@pytest.mark.usefixtures("_8_gib")
def test_a_cell_beyond_all_memory_is_a_failed_run_and_the_others_go_on() -> None:
    recording = compare([replace(BIG, width=1_000_000), BIG])
    failed, done = (recording.meta["runs"][run] for run in recording.runs)
    assert "of memory and" in failed["error"]
    assert not done.get("error")


def test_the_estimate_grows_with_each_number() -> None:
    base = RunSpec(depth=3, width=32, batch=16)
    least = run_bytes(base, 32, 10)
    for change in ({"depth": 4}, {"width": 33}, {"batch": 17}, {"dtype": "float64"}, {"norm": "batch"}):
        assert run_bytes(replace(base, **change), 32, 10) > least
    assert min(run_bytes(base, 33, 10), run_bytes(base, 32, 11)) > least


def exhaust_python() -> None:
    raise MemoryError


def exhaust_numpy() -> None:
    np.empty(2**60, dtype=np.uint8)


def exhaust_torch() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def exhaust_cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("exhaust", [exhaust_python, exhaust_numpy, exhaust_torch, exhaust_cuda])
def test_memory_that_runs_out_all_the_same_is_one_line(exhaust: object) -> None:
    with pytest.raises(ActdiagError) as caught, telling_exhaustion("it", "less"):
        exhaust()  # type: ignore[operator]
    assert re.fullmatch(r"it ran out of memory( when it asked for 1\.15 EB)?: less", str(caught.value))
    cause = caught.value.__cause__
    assert cause is not None
    assert is_exhausted(cause)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match=r"^mat1$"), telling_exhaustion("it", "less"):
        raise RuntimeError("mat1")
