"""The bare minimum that `actdiag scan --depth 10` is timed against: imports, one forward, one backward."""

import matplotlib.figure  # noqa: F401
import torch
from torch import nn

torch.manual_seed(0)
parts = [part for _ in range(10) for part in (nn.Linear(256, 256), nn.Tanh())]
model = nn.Sequential(*parts, nn.Linear(256, 10))
inputs, targets = torch.randn(512, 256), torch.randint(10, (512,))
nn.functional.cross_entropy(model(inputs), targets).backward()
