"""From stored pictures to what the first layer reads: crop, mirror, subtract the mean picture."""

import numpy as np

# Of a crop, that go through all steps together: they fit a core's own cache, with the mean beside them.
ROWS = 114


def forward(
    device, pictures, views, colours, mean, y, *, crop, pad=0, scale=1.0, centred=False, control=None
) -> None:
    """Write y = scale * crop of (picture + colour - mean), mirrored left to right where a view says so.

    pictures (n, rows, columns, 3) uint8; views (n, 3) as (row, column, mirror); colours (n, 3), added to the whole
    picture; mean (rows, columns, 3); y (n, crop, crop, 3), inside its border of `pad` zeros. The mirror image is that
    of the difference: the mean is taken at the crop, then both are turned. RGB from 0 to 255. When `centred`, the
    centre of the mean is taken instead, whatever the view, and not turned. `scale` is a number, or one a colour.
    """
    row, column = ((side - crop) // 2 for side in mean.shape[:2])
    middle = mean[row : row + crop, column : column + crop]
    factors = np.tile(np.asarray(scale, y.dtype), (crop, 1)) if np.ndim(scale) else scale
    turned = np.ascontiguousarray(middle[:, ::-1]) if centred else None  # turned back with the picture
    shifts, shifted = np.repeat(colours[:, None], crop, axis=1), colours.any(axis=1)  # runs of three would be slow
    corners = views.tolist()

    def task(n, scratch):
        row, column, mirror = corners[n]
        for first in range(0, crop, ROWS):
            last = min(first + ROWS, crop)
            place = slice(row + first, row + last), slice(column, column + crop)
            own = y[n, first:last]
            target = scratch("crop", own.shape, y.dtype) if mirror else own
            np.copyto(target, pictures[n, *place])  # in two steps: types mixed in one are slower
            target -= mean[place] if not centred else (turned if mirror else middle)[first:last]
            if shifted[n]:
                target += shifts[n]
            if np.ndim(scale) or scale != 1:
                target *= factors
            for channel in range(3) if mirror else ():  # long runs of columns, not short ones of channels
                np.copyto(own[..., channel], target[:, ::-1, channel])

    device.run(task, len(pictures))
