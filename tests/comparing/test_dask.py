"""Dask's workers: two processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from actdiag import Recording, RunSpec, compare
from actdiag.cli import cli

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'actdiag[dask]'")
SPECS = [
    RunSpec(depth=2, width=8, batch=16, init=init, seed=seed) for init in ("xavier", "he") for seed in (0, 1)
]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        memory_limit=0,
        host="127.0.0.1",
    ) as cluster:
        yield cluster


def test_an_executor_of_dask_measures_the_same(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actdiag.comparing.chunks.MOST", 1)
    with distributed.Client(cluster) as client, client.get_executor(pure=False) as executor:
        assert compare(SPECS, executor) == compare(SPECS)
        assert len(client.scheduler_info()["workers"]) == 2


def test_the_command_takes_a_scheduler(cluster: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = [
        "--depth",
        "2",
        "--width",
        "8",
        "--batch",
        "16",
        "--init",
        "xavier",
        "--init",
        "he",
        "--seeds",
        "2",
    ]
    address = cluster.scheduler_address
    result = CliRunner().invoke(
        cli, ["compare", *small, "--scheduler", address, "--out", "far", "--format", "csv"]
    )
    assert result.exit_code == 0, result.output
    assert Recording.load(tmp_path / "far") == compare(SPECS)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "tcp://nowhere.invalid:1"])
def test_a_scheduler_that_does_not_answer_is_told(
    address: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("actdiag.comparing.pools.TIMEOUT", 1.0)
    result = CliRunner().invoke(cli, ["compare", "--scheduler", address])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: no Dask scheduler answers at '{address}': ")
    assert not list(tmp_path.iterdir())
