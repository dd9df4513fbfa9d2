"""Dropout with masks from Philox; the elements are numbered (picture, tower, feature) over the whole batch.

Arrays are (towers, pictures, ..., features) of the towers on this place.
"""

import numpy as np

from cualex.random.philox import DROPOUT, words

PICTURES = 4  # pictures whose mask is drawn at a time


def forward(device, x, y, mask, *, keep, factor, layer, towers, first_tower, control) -> None:
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
            begin = (control.part * pictures + first) * row  # in the parts of a batch the pictures are numbered on
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
    device, mask, dy, dx, *, factor, keep=None, layer=None, towers=None, first_tower=None, control=None
) -> None:
    """Write dx = dy * mask * factor; `dx` may be `dy`. The mask is kept, so nothing is drawn again."""
    np.multiply(dy, mask, out=dx)
    if factor != 1:
        dx *= factor


def infer(device, x, y, *, factor) -> None:
    """Write y = x * factor."""
    np.multiply(x, factor, out=y)
