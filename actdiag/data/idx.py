"""MNIST's IDX files: 2 zero bytes, a type code, the number of dimensions, their sizes, the values.

References: LeCun, Cortes & Burges, the MNIST database, "the IDX file format".
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
import torch

from actdiag.data.batch import Batch, draw_batch
from actdiag.errors import ActdiagError
from actdiag.reading import check_file, expand, reason
from actdiag.types import RunSpec

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IMAGES = ("train-images-idx3-ubyte", "train-images.idx3-ubyte")
_LABELS = ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte")
_CHUNK = 1 << 20


def load(spec: RunSpec, parameter: str) -> Batch:
    """Draw a batch of the training images in the folder `parameter`, inputs `(batch, rows * columns)`.

    Raises:
        ActdiagError: a missing or broken file, or images and labels that do not belong together.
    """
    folder = expand(parameter)
    images_file, labels_file = _find(folder, _IMAGES), _find(folder, _LABELS)
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise ActdiagError(
            f"{images_file} holds {len(images)} images, {labels_file.name} {len(labels)} labels: "
            "one label for each image is expected"
        )
    if labels.dtype.kind == "f" or labels.min() < 0:
        got = "fractions" if labels.dtype.kind == "f" else str(labels.min())
        raise ActdiagError(f"{labels_file}: labels must be whole class numbers >= 0, got {got}")
    inputs = torch.from_numpy(images.reshape(len(images), -1))
    return draw_batch(spec, inputs, torch.from_numpy(labels.astype(np.int64)))


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.generic]:
    """Return the array in an IDX file, plain or (suffix .gz) compressed, in the machine's byte order.

    Memory follows what the file holds, never what its header promises.

    Raises:
        ActdiagError: unreadable, no IDX file, another number of `dimensions`, empty, cut short or too long.
    """
    check_file(path)
    try:
        with path.open("rb") as raw:
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
            return _read_stream(path, stream, dimensions)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise ActdiagError(f"cannot read {path}: {reason(error)}: fetch it again") from error


def _read_stream(path: Path, stream: BinaryIO, dimensions: int) -> npt.NDArray[np.generic]:
    kind, shape = _read_header(path, stream, dimensions)
    expected = math.prod(shape) * kind.itemsize
    content = _read_at_most(stream, expected + 1)
    if len(content) != expected:
        what = "is cut short" if len(content) < expected else "is too long"
        held = str(len(content)) if len(content) < expected else "more"
        raise ActdiagError(
            f"{path} {what}: its header says {' x '.join(map(str, shape))} values in {expected} bytes, "
            f"it holds {held}: fetch it again"
        )
    return np.frombuffer(content, dtype=kind).reshape(shape).astype(kind.newbyteorder("="))


def _read_header(
    path: Path, stream: BinaryIO, dimensions: int
) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise ActdiagError(
            f"{path} is no IDX file: it must start with 00 00, a type code "
            f"({', '.join(f'{code:02x}' for code in _TYPES)}) and the number of dimensions, "
            f"got {magic.hex(' ') or 'an empty file'}"
        )
    if magic[3] != dimensions:
        raise ActdiagError(f"{path} must have {dimensions} dimension(s), its header says {magic[3]}")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ActdiagError(f"{path} is cut short within its header: fetch it again")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        raise ActdiagError(f"{path} holds no values: its header says {' x '.join(map(str, shape))}")
    return np.dtype(_TYPES[magic[2]]), shape


def _read_at_most(stream: BinaryIO, most: int) -> bytearray:
    content = bytearray()
    while len(content) < most and (chunk := stream.read(min(_CHUNK, most - len(content)))):
        content += chunk
    return content


def _find(folder: Path, names: tuple[str, ...]) -> Path:
    if not os.path.isdir(folder):  # noqa: PTH112, pathlib's raises for a name that is too long
        raise ActdiagError(f"data 'idx' takes a folder with MNIST's IDX files, '{folder}' is no folder")
    for name in (f"{name}{suffix}" for name in names for suffix in ("", ".gz")):
        if (folder / name).exists():
            return folder / name
    raise ActdiagError(f"folder '{folder}' must hold {' or '.join(names)}, plain or .gz: it holds neither")
