"""What many tests share: numbers that never change from run to run, and the engine of this machine."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    """Random numbers, the same in every run and for every test."""
    return np.random.default_rng(2012)


@pytest.fixture
def device():
    from cualex import devices

    return devices.open_device("cpu")
