"""The labelled grid on which the verdict's error rates are measured: see `benchmarks/verdicts.py`."""
