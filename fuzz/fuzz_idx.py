"""IDX files: one alone, as bytes or compressed anew, or images and labels read as data."""

from __future__ import annotations

import gzip
import math
import struct

import numpy as np
import torch
from oracle import promise, refuses, scratch

from actdiag.data.idx import load, read_idx
from actdiag.types import RunSpec

FOLDER = scratch("idx")
IMAGES, LABELS = FOLDER / "train-images-idx3-ubyte", FOLDER / "train-labels-idx1-ubyte"
SIZES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
"""Type codes, and the bytes of a value."""
MOST_FITTED = 1 << 16
SPEC = RunSpec(data=f"idx:{FOLDER}", batch=4)


def seeds() -> list[bytes]:
    """Return inputs that read well, of every type code and way."""
    images = _encode(0x08, "u1", (3, 2, 2))
    labels = b"\0\0\x08\x01\0\0\0\x03\0\x01\x02"
    types = ((0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8"))
    alone = [
        bytes([dimensions]) + _encode(code, kind, (2,) * dimensions)
        for code, kind in types
        for dimensions in (1, 3)
    ]
    packed = [bytes([0x13]) + images, bytes([0x23]) + gzip.compress(images, mtime=0)]
    fitted = bytes([0x81]) + struct.pack(">HBBI", 0, 0x0C, 1, 1000) + b"ab"
    pairs = [bytes([way, len(images)]) + images + labels for way in (0x40, 0xC8)]
    return [*alone, *packed, fitted, *pairs]


def one(data: bytes) -> bool:
    """Read one input; the bits of its first byte say which way.

    1 and 2: dimensions. 8: with the magic of an IDX file. 16: compressed. 32: said to be compressed.
    64: images and labels. 128: with as many values as the header says.

    Returns:
        Whether it was read, not refused.
    """
    way, content = (data[0], data[1:]) if data else (1, b"")
    if way & 0x40:
        split = 1 + (content[0] if content else 0)
        return _pair(_mended(content[1:split], 3, way), _mended(content[split:], 1, way))
    dimensions = way & 3 or 1
    return _alone(_mended(content, dimensions, way), dimensions, way & 0x30)


def _mended(content: bytes, dimensions: int, way: int) -> bytes:
    if way & 0x08 and len(content) > 4:
        content = bytes([0, 0, sorted(SIZES)[content[2] % len(SIZES)], dimensions]) + content[4:]
    return _fitted(content, dimensions) if way & 0x80 else content


def _alone(content: bytes, dimensions: int, packing: int) -> bool:
    path = FOLDER / ("file.gz" if packing else "file")
    path.write_bytes(gzip.compress(content, 1, mtime=0) if packing == 0x10 else content)
    array = refuses(lambda: read_idx(path, dimensions))
    if array is None:
        return False
    promise(array.ndim == dimensions and array.size, f"an array of shape {array.shape}")
    promise(array.dtype.isnative, f"the byte order of {array.dtype}")
    if packing != 0x20:
        _check_values(content, array)
    return True


def _fitted(content: bytes, dimensions: int) -> bytes:
    """Return the content with as many values as its header says, the given ones again and again."""
    start = 4 + 4 * dimensions
    if len(content) <= start:
        return content
    size = SIZES.get(content[2], 1)
    wanted = math.prod(struct.unpack(f">{dimensions}I", content[4:start])) * size
    if not 0 < wanted <= MOST_FITTED:
        return content
    values = content[start:]
    return content[:start] + (values * (wanted // len(values) + 1))[:wanted]


def _check_values(content: bytes, array: np.ndarray) -> None:
    """Promise that the array says what the bytes say."""
    start = 4 + 4 * array.ndim
    promise(
        struct.unpack(f">{array.ndim}I", content[4:start]) == array.shape, "another shape than the file's"
    )
    again = array.astype(array.dtype.newbyteorder(">")).tobytes()
    promise(again == content[start:], "other values than the file's")


def _pair(images: bytes, labels: bytes) -> bool:
    IMAGES.write_bytes(images)
    LABELS.write_bytes(labels)
    batch = refuses(lambda: load(SPEC, str(FOLDER)))
    if batch is None:
        return False
    promise(batch.inputs.dtype == torch.float32 and batch.inputs.ndim == 2, "inputs of another form")
    promise(bool(torch.isfinite(batch.inputs).all()), "inputs that are not finite")
    promise(len(batch.inputs) == len(batch.targets) <= SPEC.batch, "targets for other inputs")
    promise(0 <= int(batch.targets.min()) <= int(batch.targets.max()) < batch.classes, "targets out of range")
    return True


def _encode(code: int, kind: str, shape: tuple[int, ...]) -> bytes:
    values = np.arange(math.prod(shape)).astype(kind)
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape) + values.tobytes()
