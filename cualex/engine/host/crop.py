"""From stored pictures to what the first layer reads: crop, mirror, subtract the mean picture at the crop."""

import numpy as np


def forward(device, pictures, views, mean, y, *, scale=1.0) -> None:
    """Write y = scale * crop of (picture - mean), mirrored left to right where a view says so.

    pictures (n, rows, columns, 3) uint8; views (n, 3) as (row, column, mirror); mean (rows, columns, 3);
    y (n, crop, crop, 3). The mirror image is that of the difference: the mean is taken at the crop, then both
    are turned. RGB from 0 to 255.
    """
    crop = y.shape[1]

    def task(n, scratch):
        row, column, mirror = (int(number) for number in views[n])
        place = slice(row, row + crop), slice(column, column + crop)
        target = scratch("crop", y.shape[1:], y.dtype) if mirror else y[n]
        np.copyto(target, pictures[n][place])  # in two steps: types mixed in one are slower
        target -= mean[place]
        if scale != 1:
            target *= scale
        for channel in range(3) if mirror else ():  # long runs of columns, not short ones of channels
            np.copyto(y[n, :, :, channel], target[:, ::-1, channel])

    device.run(task, len(pictures))
