"""Statistics as monoids: `observe(tensor) -> state`, `merge(state, state) -> state`, `describe(state)`.

The law is `observe(cat(x, y)) == merge(observe(x), observe(y))`: exactly for counts, to 1e-12 relative
for moments. Streaming over batches, adding up micro-batches and reducing over ranks are one operation.
"""

from actdiag.statistics.state import TensorState as TensorState
from actdiag.statistics.state import merge as merge
from actdiag.statistics.state import observe as observe
from actdiag.statistics.summary import Summary as Summary
from actdiag.statistics.summary import describe as describe
