"""Capture: fold every tensor into its state at the moment it exists, and keep no tensor."""

from actdiag.capture.options import Options as Options
from actdiag.capture.recorder import Recorder as Recorder
