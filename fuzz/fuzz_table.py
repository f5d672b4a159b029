"""CSV files as data: the first line is the target's name, empty for the last column's, the rest the file.

After a first byte that is odd each byte stands for a cell of a table with three columns.
"""

from __future__ import annotations

import torch
from oracle import promise, refuses, scratch

from actdiag.data.table import load
from actdiag.types import RunSpec

FILE = scratch("table") / "table.csv"
CELLS = (
    *(b"%d" % number for number in range(8)),
    *(b"1e%d" % power for power in (-400, -320, -5, 3, 38, 39, 308, 400)),
    *(b"", b" ", b"x", b"NA", b"nan", b"-inf", b"True", b"0x1", b"1_0", b"1j", b"9" * 25, b"9" * 400),
    *(b",", b"\n", b'"', b'"a\nb"', b"\r", b"\0", b"\xe9", b"\xc3\xa9", b"\xef\xbb\xbf", b"#"),
)
SPEC = RunSpec(data="csv:table.csv:kind", batch=4)


def seeds() -> list[bytes]:
    """Return tables that read well, and some that are refused each for its own reason."""
    return [
        b"#\0\1\2\3\4\5\6\7\2",
        b"#\1\x0b\x12\3\x1a\2\5\6\x13",
        b"\na,b,kind\n1,2,x\n3,4.5,y\n",
        b"\n\xef\xbb\xbfa,kind\n1,0\n2,1\n3,1\n",
        b'\n"a","b ""c""",kind\r\n1,-1e3,"x\ny"\r\n2,1e-300,NA\r\n',
        b"\na,kind\nTrue,x\nFalse,y\n",
        b"\na;kind\n1,5;x\n2,5;y\n",
        b"\na,kind\n1,x\n2\n",
        b"\na,a,kind\n1,2,x\n3,4,y\n",
        b"\na,kind\n1,x\n1,x,3,4\n",
        b"\na,kind\ninf,x\n1e400,y\n,z\n",
        b"\na,kind\n123456789012345678901234567890,18446744073709551616\n1,2\n",
        b"\n\n\n\0,kind\n\xe9,x\n",
        b"b.1\nb,b,b.1\n1,1,1\n",
    ]


def one(data: bytes) -> bool:
    """Read one table as data.

    Returns:
        Whether it was read, not refused.
    """
    target, _, content = data.partition(b"\n")
    if data and data[0] % 2:
        target, content = b"", b"a,b,kind\n" + _spelt(data[1:])
    target = target or content.partition(b"\n")[0].rpartition(b",")[2].strip(b'\r"')
    FILE.write_bytes(content)
    batch = refuses(lambda: load(SPEC, f"{FILE}:{target.decode(errors='replace')}"))
    if batch is None:
        return False
    promise(batch.inputs.dtype == torch.float32 and batch.inputs.ndim == 2, "inputs of another form")
    promise(batch.inputs.numel() and bool(torch.isfinite(batch.inputs).all()), "inputs that are not finite")
    promise(len(batch.inputs) == len(batch.targets) <= SPEC.batch, "targets for other inputs")
    promise(0 <= int(batch.targets.min()) <= int(batch.targets.max()) < batch.classes, "targets out of range")
    return True


def _spelt(content: bytes) -> bytes:
    ends = (b",", b",", b"\n")
    return b"".join(CELLS[byte % len(CELLS)] + ends[place % 3] for place, byte in enumerate(content))
