"""Rows with source "theory": what mean-field theory says of the layers of a recording."""

from actdiag.predictions.rows import predicted as predicted
