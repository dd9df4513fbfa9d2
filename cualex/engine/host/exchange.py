"""Sums of gradients that come from several places."""

import numpy as np


def add(device, x, y) -> None:
    """Add x to y."""
    np.add(y, x, out=y)
