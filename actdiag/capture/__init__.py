"""Capture: fold every tensor into its state at the moment it exists, and keep no tensor."""

from actdiag.capture.recorder import Recorder as Recorder
from actdiag.capture.recorder import attach as attach
