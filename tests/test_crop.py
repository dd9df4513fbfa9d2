"""The first step: crop, mirror, mean and scale, exact against indexing."""

import numpy as np

from cualex.engine.host import crop

STORED, CROP = 9, 5


def test_crop_mirror_mean_and_scale(device, rng):
    pictures = rng.integers(0, 256, (3, STORED, STORED, 3), np.uint8)
    mean = (rng.integers(0, 1024, (STORED, STORED, 3)) / 4).astype(np.float32)
    views = np.array([[0, 0, 0], [4, 1, 1], [2, 4, 0]])
    colours = np.array([[0, 0, 0], [1, -2, 4], [8, 0.5, 0]], np.float32)
    y = np.empty((3, CROP, CROP, 3), np.float32)
    crop.forward(device, pictures, views, colours, mean, y, crop=CROP, scale=0.5)
    for n, (row, column, mirror) in enumerate(views):
        for r, c, channel in np.ndindex(CROP, CROP, 3):
            place = row + r, column + (CROP - 1 - c if mirror else c), channel
            assert y[n, r, c, channel] == 0.5 * (float(pictures[(n, *place)]) + colours[n, channel] - mean[place])
