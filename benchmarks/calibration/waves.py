"""A second data set, generated: ten noisy waveforms at unknown places and sizes, 40 points each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLES, POINTS, CLASSES, HARMONICS = 4000, 40, 10, 4
NOISE = 0.25
"""Standard deviation of the noise on each point, beside waveforms of rms 1."""


def waves() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return inputs (4000, 40) and targets (4000,), always the same.

    A class is a sum of four harmonics; a sample is its class's waveform, shifted by up to a fifth of its
    length either way, scaled by 0.7 to 1.3, with noise.
    """
    generator = np.random.default_rng(20)
    frequencies = np.arange(1, HARMONICS + 1)
    size = (CLASSES, HARMONICS)
    amplitudes, phases = generator.normal(size=size), generator.uniform(0.0, 2.0 * np.pi, size)
    amplitudes /= np.sqrt(np.square(amplitudes).sum(1, keepdims=True) / 2.0)
    targets = generator.integers(0, CLASSES, SAMPLES)
    places = np.arange(POINTS) / POINTS + generator.uniform(-0.2, 0.2, (SAMPLES, 1))
    angles = 2.0 * np.pi * places[:, :, None] * frequencies + phases[targets][:, None, :]
    inputs = (amplitudes[targets][:, None, :] * np.cos(angles)).sum(2)
    inputs *= generator.uniform(0.7, 1.3, (SAMPLES, 1))
    inputs += NOISE * generator.normal(size=inputs.shape)
    return inputs.astype(np.float32), targets
