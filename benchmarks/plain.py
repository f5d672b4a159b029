"""The least that `actdiag scan --depth 10` is timed against: imports, one forward, one backward.

    python benchmarks/plain.py [drawing] [held]

`drawing` imports matplotlib.figure as well; `held` keeps the garbage collector from the imports, as the
command line does. Prints the seconds that the network alone took.
"""

import gc
import sys
import time

if "held" in sys.argv:
    gc.disable()
import torch
from torch import nn

if "drawing" in sys.argv:
    import matplotlib.figure  # noqa: F401
if "held" in sys.argv:
    gc.freeze()
    gc.enable()

started = time.perf_counter()
torch.manual_seed(0)
parts = [part for _ in range(10) for part in (nn.Linear(256, 256), nn.Tanh())]
model = nn.Sequential(*parts, nn.Linear(256, 10))
inputs, targets = torch.randn(512, 256), torch.randint(10, (512,))
nn.functional.cross_entropy(model(inputs), targets).backward()
print(time.perf_counter() - started)
