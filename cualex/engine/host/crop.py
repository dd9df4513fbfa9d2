"""From stored images to what the first layer reads: crop, mirror, subtract the mean image."""

import numpy as np

from cualex.devices.control import Control
from cualex.devices.host import HostDevice

# Of an image, that go through all steps together: they fit a core's own cache, with the mean beside them.
ROWS = 114
# That a colour is added to at a time: calls for runs of one row would take as long as the additions.
RUN = 6


def forward(
    device: HostDevice,
    pictures: np.ndarray,
    views: np.ndarray,
    colours: np.ndarray,
    mean: np.ndarray,
    y: np.ndarray,
    *,
    crop: int,
    pad: int = 0,
    scale: float | tuple[float, float, float] = 1.0,
    centred: bool = False,
    control: Control | None = None,
) -> None:
    """Write y = scale * crop of ((image - mean) + colour), mirrored left to right where a view says so.

    pictures (n, rows, columns, 3) uint8; views (n, 3) as (row, column, mirror); colours (n, 3), added to the whole
    image; mean (rows, columns, 3); y (n, crop, crop, 3), inside its border of `pad` zeros. The mirror image is that
    of the difference: the mean is taken at the crop, then both are turned. RGB from 0 to 255. When `centred`, the
    centre of the mean is taken instead, whatever the view, and not turned. `scale` is a number, or one a colour.

    Rows are worked on as wide as they are stored, so that they lie in one run, and cut at the end.
    """
    width = mean.shape[1]
    row, column = ((side - crop) // 2 for side in mean.shape[:2])
    middle = mean[row : row + crop, column : column + crop]
    turned = np.ascontiguousarray(middle[:, ::-1]) if centred else middle  # turned back with the image
    scaled = np.ndim(scale) > 0 or scale != 1
    factors = np.tile(np.asarray(scale, y.dtype), (width, 1)) if np.ndim(scale) else scale
    shifts = np.repeat(colours[:, None], width, axis=1)  # runs of three would be slow
    shifted = np.logical_or.reduce(colours, axis=1)
    corners = views.tolist()

    def task(n, scratch):
        row, column, mirror = corners[n]
        room = scratch("crop", (ROWS, width, 3), y.dtype)
        if shifted[n]:
            shift = scratch("shift", (RUN, width, 3), y.dtype)
            shift[...] = shifts[n]
        for first in range(0, crop, ROWS):
            last = min(first + ROWS, crop)
            rows = slice(row + first, row + last)
            block = room[: last - first]
            seen = block[:, column : column + crop]
            np.copyto(block, pictures[n, rows])  # in two steps: types mixed in one are slower
            if centred:
                seen -= (turned if mirror else middle)[first:last]
            else:
                block -= mean[rows]
            if shifted[n]:
                _add_to_all(block, shift)
            if scaled:
                block *= factors
            own = y[n, first:last]
            if mirror:
                for channel in range(3):  # long runs of columns, not short ones of channels
                    np.copyto(own[..., channel], seen[:, ::-1, channel])
            else:
                np.copyto(own, seen)

    device.run(task, len(pictures))


def _add_to_all(block, rows) -> None:
    """Add some rows, all the same, to all rows of a block."""
    whole = len(block) // len(rows) * len(rows)
    runs = block[:whole].reshape(-1, rows.size)
    runs += rows.reshape(-1)
    block[whole:] += rows[: len(block) - whole]
