"""One thread for every test: the tensors are small, and waiting threads spin."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
