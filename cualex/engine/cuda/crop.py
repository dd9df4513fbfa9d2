"""Preprocessing on the device: crop, flip, colour noise, mean, space to depth."""

from math import isqrt

import numpy as np

from cualex.engine.cuda.launching import THREADS, grid, storage, vector


def forward(device, pictures, views, colours, mean, y, *, crop, pad=0, scale=1.0, centred=False, control=None) -> None:
    """Write y = scale * crop of ((image - mean) + colour), flipped left to right where a view says so.

    pictures (2, n, rows, columns, 3) uint8; views (2, n, 3) int32 as (row, column, mirror); colours (2, n, 3) float32:
    a row for each input slot, of which the device's control names one; mean (rows, columns, 3) float32. The mirror
    image is that of the difference: the mean is taken at the crop, then both are turned. RGB from 0 to 255. When
    `centred`, the centre of the mean is taken instead, whatever the view, and not turned. `scale` is a number, or one a
    colour.

    y (..., n, h, w, 3 * b * b) holds blocks of b x b pixels in the order (row, column, colour). With b > 1 the crop
    lies at (pad, pad), zeros around it; with b = 1 it fills y.
    """
    _, n, rows, columns, _ = pictures.shape
    height, width, depth = y.shape[-3:]
    block = isqrt(depth // 3)
    values = vector(device, 3 * block, most=4)  # of one row of the image
    red, green, blue = np.broadcast_to(scale, 3).tolist()
    device.launch(
        "crop",
        (pictures, views, colours, mean, device.control, y),
        grid=grid(n * height * width * depth // values),
        block=THREADS,
        BATCH=n,
        ROWS=rows,
        COLUMNS=columns,
        OUT_ROWS=height,
        OUT_COLUMNS=width,
        CROP=crop,
        PAD=pad if block > 1 else 0,
        BLOCK=block,
        CENTRED=int(centred),
        RED=red,
        GREEN=green,
        BLUE=blue,
        VECTOR=values,
        PRECISION=storage(device),
    )
