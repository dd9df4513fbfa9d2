"""Dropout with masks from Philox; the elements are numbered (image, tower, feature) over the whole batch.

Arrays are (towers, images, ..., features) of the towers on this device.
"""

import numpy as np

from cualex.devices.control import Control
from cualex.devices.host import HostDevice
from cualex.random.philox import DROPOUT, words

PICTURES = 4  # images whose mask is drawn at a time


def forward(
    device: HostDevice,
    x: np.ndarray,
    y: np.ndarray,
    mask: np.ndarray,
    *,
    keep: float,
    factor: float,
    layer: int,
    towers: int,
    first_tower: int,
    control: Control,
) -> None:
    """Write y = x * mask * factor and the mask; a unit is kept where its word is below keep * 2^32.

    One worker does it: drawing is many short calls, and those of two would take longer, waiting for each other.
    """
    here, pictures = x.shape[:2]
    features = x[0, 0].size
    limit = round(keep * 2**32)

    def task(_, scratch):
        row = towers * features
        for first in range(0, pictures, PICTURES):
            last = min(first + PICTURES, pictures)
            begin = (control.part * pictures + first) * row  # in the parts of a batch the images are numbered on
            drawn = words(control.seed, DROPOUT, layer, control.step, (last - first) * row, first=begin)
            kept = (drawn < limit).reshape(last - first, towers, *x.shape[2:])
            for tower in range(here):
                own = tower, slice(first, last)
                mask[own] = kept[:, first_tower + tower]
                np.multiply(x[own], mask[own], out=y[own])
                if factor != 1:
                    y[own] *= factor

    device.run(task, 1)


def backward(
    device: HostDevice,
    mask: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    *,
    factor: float,
    keep: float | None = None,
    layer: int | None = None,
    towers: int | None = None,
    first_tower: int | None = None,
    control: Control | None = None,
) -> None:
    """Write dx = dy * mask * factor; `dx` may be `dy`. The mask is kept, so nothing is drawn again."""
    np.multiply(dy, mask, out=dx)
    if factor != 1:
        dx *= factor


def infer(device: HostDevice, x: np.ndarray, y: np.ndarray, *, factor: float) -> None:
    """Write y = x * factor."""
    np.multiply(x, factor, out=y)
