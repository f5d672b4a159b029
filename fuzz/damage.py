"""Damage to a recording's files: an input of the fuzzer, read as a list of edits."""

from __future__ import annotations

import csv
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

FILES = ("meta.json", "rows.csv", "modules.csv", "histograms.npz")
TABLES = ("rows.csv", "modules.csv")
TYPES = (b"<i8", b"<u2", b"<u4", b"<f8", b"<f4", b"|O", b">i8", b"<i4")
TEXTS = ("", "NaN", "inf", "-1", "0", "1e308", "True", "measured", "theory", "9" * 19, "1e999", "activation")
"""What a cell becomes that is given by one byte."""
MOST_EDITS = 6

Files = MutableMapping[str, bytes]


def damaged(files: Files, data: bytes) -> Files:
    """Return the files after the edits that an input stands for: a kind, a length and a payload each."""
    files = dict(files)
    for kind, payload in _edits(data):
        EDITS[kind % len(EDITS)](files, payload)
    return files


def _edits(data: bytes) -> Iterator[tuple[int, bytes]]:
    for _ in range(MOST_EDITS):
        if len(data) < 2:
            return
        kind, size = data[0], data[1]
        size = len(data) if size == 255 else size  # the last edit takes all that is left
        yield kind, data[2 : 2 + size]
        data = data[2 + size :]


def _replace(files: Files, payload: bytes) -> None:
    """Put other bytes in the place of a file."""
    files[FILES[_byte(payload, 0) % 4]] = payload[1:]


def _splice(files: Files, payload: bytes) -> None:
    """Put other bytes in the place of some of a file's."""
    name = FILES[_byte(payload, 0) % 4]
    start = int.from_bytes(payload[1:3], "big") % (len(files[name]) + 1)
    files[name] = files[name][:start] + payload[4:] + files[name][start + _byte(payload, 3) :]


def _cell(files: Files, payload: bytes) -> None:
    """Change a cell of a table."""
    table = _table(files, payload)
    row = table[_byte(payload, 1) % len(table)] if table else []
    if row:
        row[_byte(payload, 2) % len(row)] = _text(payload[3:])
    _put_table(files, payload, table)


def _column(files: Files, payload: bytes) -> None:
    """Change a column of a table below its header."""
    table = _table(files, payload)
    for row in table[1:]:
        if row:
            row[_byte(payload, 1) % len(row)] = _text(payload[2:])
    _put_table(files, payload, table)


def _line(files: Files, payload: bytes) -> None:
    """Repeat, drop or move a row of a table."""
    table = _table(files, payload)
    if table:
        line = table.pop(_byte(payload, 1) % len(table))
        for place in payload[2:5]:
            table.insert(place % (len(table) + 1), line)
    _put_table(files, payload, table)


def _leaf(files: Files, payload: bytes) -> None:
    """Put some JSON in the place of a value of meta.json."""
    try:
        meta, value = json.loads(files["meta.json"]), json.loads(payload[1:])
    except (ValueError, RecursionError):
        return
    holders = list(_holders(meta))
    if holders:
        holder, key = holders[_byte(payload, 0) % len(holders)]
        holder[key] = value
    files["meta.json"] = json.dumps(meta).encode()


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where each value lies."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in list(items):
        yield value, key
        yield from _holders(held)


def _member(files: Files, payload: bytes) -> None:
    """Put other bytes in the place of an array's file."""
    _put_member(files, payload, lambda content: payload[1:])


def _values(files: Files, payload: bytes) -> None:
    """Put an array of other values in the place of an array."""
    kind, values = TYPES[_byte(payload, 1) % len(TYPES)], payload[2:]
    length = len(values) // max(int(kind[2:] or 8), 1)
    header = b"{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }" % (kind, length)
    header = header.ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + values
    _put_member(files, payload, lambda _: content)


def _value(files: Files, payload: bytes) -> None:
    """Change a few bytes of an array."""
    start = 128 + int.from_bytes(payload[1:3], "big")
    _put_member(files, payload, lambda old: old[:start] + payload[3:] + old[start + len(payload[3:]) :])


def _put_member(files: Files, payload: bytes, change: Callable[[bytes], bytes]) -> None:
    """Write the archive again with one of its members changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(files["histograms.npz"])) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # an earlier edit has broken it
        return
    if not members:
        return
    name = list(members)[_byte(payload, 0) % len(members)]
    members[name] = change(members[name])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, held in members.items():
            archive.writestr(zipfile.ZipInfo(name), held)
    files["histograms.npz"] = content.getvalue()


def _rename(files: Files, payload: bytes) -> None:
    """Call the run something else everywhere."""
    try:
        meta = json.loads(files["meta.json"])
        old, new = next(iter(meta["runs"])), payload.decode(errors="replace")
        meta["runs"] = {new: meta["runs"][old]}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, StopIteration):
        return
    files["meta.json"] = json.dumps(meta).encode()
    for name in TABLES:
        table = _table(files, bytes([TABLES.index(name)]))
        _put(files, name, [[new if cell == old else cell for cell in row] for row in table])


EDITS = (_replace, _splice, _cell, _column, _line, _leaf, _member, _values, _value, _rename)


def _table(files: Files, payload: bytes) -> list[list[str]]:
    text = files[TABLES[_byte(payload, 0) % 2]].decode(errors="replace")
    try:
        return list(csv.reader(io.StringIO(text)))
    except csv.Error:  # an earlier edit has broken it
        return []


def _put_table(files: Files, payload: bytes, table: list[list[str]]) -> None:
    if table:
        _put(files, TABLES[_byte(payload, 0) % 2], table)


def _put(files: Files, name: str, table: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    files[name] = text.getvalue().encode(errors="replace")


def _text(payload: bytes) -> str:
    if len(payload) == 1:
        return TEXTS[payload[0] % len(TEXTS)]
    return payload.decode(errors="replace")


def _byte(payload: bytes, place: int) -> int:
    return payload[place] if len(payload) > place else 0
