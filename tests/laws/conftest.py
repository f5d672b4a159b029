"""How many examples the laws are held to: `ACTDIAG_LAWS=50 pytest tests/laws` looks for 50 times as many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("ACTDIAG_LAWS", "1"))
settings.register_profile(
    "laws",
    max_examples=60 * TIMES,
    deadline=None,
    derandomize=TIMES == 1,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
LAWS = settings.get_profile("laws")
