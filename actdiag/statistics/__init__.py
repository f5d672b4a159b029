"""Statistics as monoids: `observe(tensor) -> state`, `merge(state, state) -> state`, `describe(states)`.

The law is `observe(cat(x, y)) == merge(observe(x), observe(y))`: exactly for counts, to 1e-12 relative
for moments. Streaming over batches, adding up micro-batches and reducing over ranks are one operation.
A float32 tensor on the CPU is visited once by the C kernel where that was built (`actdiag.kernel`); torch
operations measure all others.
"""

from actdiag.statistics.sizes import count_outside as count_outside
from actdiag.statistics.sizes import sizes as sizes
from actdiag.statistics.state import TensorState as TensorState
from actdiag.statistics.state import merge as merge
from actdiag.statistics.state import observe as observe
from actdiag.statistics.table import Table as Table
from actdiag.statistics.table import describe as describe
