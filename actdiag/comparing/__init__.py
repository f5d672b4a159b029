"""Measure many networks and put them into one recording."""

from actdiag.comparing.engine import compare as compare
