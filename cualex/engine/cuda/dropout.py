"""Dropout with masks from Philox, the same as the host engine's, drawn in each pass: nothing is saved.

The elements are numbered (image, tower, feature) over the whole batch and all towers. Arrays are
(towers, images, ..., features) of the towers on this device.
"""

from math import prod

import numpy as np

from cualex.engine.cuda.launching import THREADS, elementwise, grid, storage, vector

WORDS = 4  # of a block of Philox


def forward(device, x, y, mask=None, *, keep, factor, layer, towers, first_tower, control) -> None:
    """Write y = x * mask * factor; a unit is kept where its word is below keep * 2^32.

    Seed and step are those of the device's copy of `control`.
    """
    towers_here, images = x.shape[:2]
    features = prod(x.shape[2:])
    values = vector(device, features, most=WORDS)
    limit = min(round(keep * 2**32), 2**32 - 1)
    device.launch(
        "dropout",
        (x, y, device.control, np.uint32(limit), np.uint32(layer), np.uint32(first_tower)),
        grid=grid(images * features // values, towers_here),
        block=THREADS,
        BATCH=images,
        FEATURES=features,
        TOWERS=towers,
        FACTOR=factor,
        VECTOR=values,
        PRECISION=storage(device),
    )


def backward(device, mask, dy, dx, *, keep, factor, layer, towers, first_tower, control) -> None:
    """Write dx = dy * mask * factor; `dx` may be `dy`."""
    forward(
        device,
        dy,
        dx,
        keep=keep,
        factor=factor,
        layer=layer,
        towers=towers,
        first_tower=first_tower,
        control=control,
    )


def infer(device, x, y, *, factor) -> None:
    """Write y = x * factor."""
    elementwise(device, "scale", (x, y), FACTOR=factor)
