"""IDX files: written here by hand from the format's description, read by the package."""

from __future__ import annotations

import gzip
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from actdiag.data import load_batch
from actdiag.data.idx import read_idx
from actdiag.errors import ActdiagError, UsageError
from actdiag.types import RunSpec

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def encode(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> RunSpec:
    (folder / IMAGES).write_bytes(encode(images))
    (folder / LABELS).write_bytes(encode(labels))
    return RunSpec(data=f"idx:{folder}", batch=len(images), standardise=False)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, 4), dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return np.array([0, 1, 2, 3, 4, 4], dtype=np.uint8)


def whole_arrays(kind: str) -> st.SearchStrategy[np.ndarray]:
    shapes = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)
    return arrays.arrays(np.dtype(kind), shapes)


@given(data=st.data(), kind=st.sampled_from(sorted(CODES)), packed=st.booleans())
def test_written_arrays_read_back(data: st.DataObject, kind: str, packed: bool) -> None:
    array = data.draw(whole_arrays(kind))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("file.gz" if packed else "file")
        content = encode(array)
        path.write_bytes(gzip.compress(content) if packed else content)
        back = read_idx(path, array.ndim)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(data=st.data(), packed=st.booleans())
def test_every_prefix_is_refused(data: st.DataObject, packed: bool) -> None:
    array = data.draw(whole_arrays("u1"))
    content = gzip.compress(encode(array)) if packed else encode(array)
    kept = data.draw(st.integers(0, len(content) - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("file.gz" if packed else "file")
        path.write_bytes(content[:kept])
        with pytest.raises(ActdiagError, match="file"):
            read_idx(path, array.ndim)


@given(content=st.binary(max_size=40), dimensions=st.integers(1, 3), packed=st.booleans())
def test_any_bytes_give_an_array_or_an_error(content: bytes, dimensions: int, packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("file.gz" if packed else "file")
        path.write_bytes(content)
        try:
            seen = read_idx(path, dimensions).ndim
        except ActdiagError:
            seen = dimensions
    assert seen == dimensions


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_usual_names(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, suffix: str, separator: str
) -> None:
    pack = gzip.compress if suffix else bytes
    (tmp_path / f"train-images{separator}idx3-ubyte{suffix}").write_bytes(pack(encode(images)))
    (tmp_path / f"train-labels{separator}idx1-ubyte{suffix}").write_bytes(pack(encode(labels)))
    batch = load_batch(RunSpec(data=f"idx:{tmp_path}", batch=6, standardise=False))
    drawn = sorted(zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True))
    assert drawn == sorted(zip(images.reshape(6, 12).tolist(), labels.tolist(), strict=True))
    assert batch.inputs.dtype == torch.float32
    assert batch.classes == 5


def test_standardised_over_all_images(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    images[:, 0, 0] = 77
    write_folder(tmp_path, images, labels)
    drawn = load_batch(RunSpec(data=f"idx:{tmp_path}", batch=6)).inputs.double()
    expected = torch.ones(12, dtype=torch.float64)
    expected[0] = 0
    torch.testing.assert_close(drawn.std(dim=0, correction=0), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn.mean(dim=0), torch.zeros(12, dtype=torch.float64), atol=1e-5, rtol=0)


def test_home_folder_is_expanded(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, images, labels)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_batch(RunSpec(data="idx:~", batch=2)).inputs.shape == (2, 12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file: .* got an empty file"),
        (b"\x1f\x8b\x08\x00", "is no IDX file: it must start with 00 00, .* got 1f 8b 08 00"),
        (b"\0\0\x07\x03" + b"\0" * 20, "is no IDX file: .* got 00 00 07 03"),
        (b"\0\0\x08\x01\0\0\0\1\0", r"must have 3 dimension\(s\), its header says 1"),
        (b"\0\0\x08\x03\0\0\0\1\0\0", "is cut short within its header"),
        (b"\0\0\x08\x03\0\0\0\0\0\0\0\1\0\0\0\1", "holds no values: its header says 0 x 1 x 1"),
        (
            b"\0\0\x08\x03\0\0\0\1\0\0\0\1\0\0\0\2a",
            "is cut short: .* 1 x 1 x 2 values in 2 bytes, it holds 1: ",
        ),
        (b"\0\0\x08\x03\0\0\0\1\0\0\0\1\0\0\0\1abc", "is too long: .* in 1 bytes, it holds more"),
        (b"\0\0\x0e\x03" + b"\xff" * 12 + b"abc", "is cut short: .* in 633825299671710441967108423680 bytes"),
    ],
)
def test_broken_image_file_is_told_by_name(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, content: bytes, message: str
) -> None:
    if b"\xff" * 12 in content:
        message = f"is cut short: .* in {(2**32 - 1) ** 3 * 8} bytes, it holds 3"
    spec = write_folder(tmp_path, images, labels)
    (tmp_path / IMAGES).write_bytes(content)
    with pytest.raises(ActdiagError, match=f"{IMAGES} {message}"):
        load_batch(spec)


@pytest.mark.parametrize("packed", [False, True])
def test_lying_header_takes_no_memory(tmp_path: Path, packed: bool) -> None:
    content = b"\0\0\x08\x01" + struct.pack(">I", 2**31) + b"abc"
    path = tmp_path / ("file.gz" if packed else "file")
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        with pytest.raises(ActdiagError, match="is cut short"):
            read_idx(path, 1)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_broken_compression_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"\0\0\x08\x01\0\0\0\1a")
    with pytest.raises(ActdiagError, match=r"cannot read .*file\.gz: Not a gzipped file"):
        read_idx(path, 1)
    path.write_bytes(gzip.compress(b"")[:10] + b"\xff" * 20)
    with pytest.raises(ActdiagError, match=r"cannot read .*file\.gz: .*invalid block type"):
        read_idx(path, 1)


def test_images_and_labels_must_match(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    spec = write_folder(tmp_path, images, labels[:5])
    with pytest.raises(
        ActdiagError, match=rf"{IMAGES} holds 6 images, {LABELS} 5 labels: one label for each"
    ):
        load_batch(spec)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [(np.full(6, 1.0, dtype=np.float32), "fractions"), (np.full(6, -1, dtype=np.int8), "-1")],
)
def test_labels_must_be_class_numbers(
    tmp_path: Path, images: np.ndarray, wrong: np.ndarray, got: str
) -> None:
    with pytest.raises(ActdiagError, match=rf"{LABELS}: labels must be whole class numbers >= 0, got {got}$"):
        load_batch(write_folder(tmp_path, images, wrong))


def test_what_is_no_file_does_not_wait(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    spec = write_folder(tmp_path, images, labels)
    (tmp_path / IMAGES).unlink()
    os.mkfifo(tmp_path / IMAGES)
    with pytest.raises(ActdiagError, match=f"cannot read .*{IMAGES}: it is a pipe, expected a file"):
        load_batch(spec)


@pytest.mark.parametrize("name", ["n" * 300, "~nobody-of-that-name", "a\0b"])
def test_a_name_that_no_folder_can_have_is_one_line(name: str) -> None:
    with pytest.raises(ActdiagError, match="is no folder"):
        load_batch(RunSpec(data=f"idx:{name}"))


def test_missing_folder_and_file(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(
        ActdiagError, match=r"takes a folder with MNIST's IDX files, '.*nowhere' is no folder"
    ):
        load_batch(RunSpec(data=f"idx:{tmp_path / 'nowhere'}"))
    spec = write_folder(tmp_path, images, labels)
    (tmp_path / LABELS).unlink()
    with pytest.raises(ActdiagError, match=rf"must hold {LABELS} or train-labels\.idx1-ubyte, plain or \.gz"):
        load_batch(spec)


def test_features_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave --features out"):
        load_batch(RunSpec(data=f"idx:{tmp_path}", features=3))
