"""Remedies that were measured: tried on a copy, measured again, trained, and given only where they helped."""

from __future__ import annotations
