"""How element-wise work is cut: few large pieces, for Python lets only one worker at a time into each NumPy call."""

import math

VALUES = 300_000  # of a map: enough to compute for longer than handing over takes, and little enough for the cache


def pieces(maps) -> list[tuple[int, slice]]:
    """Cut maps (towers, images, ...) into runs of images of one tower, of about `VALUES` values or one image."""
    towers, pictures = maps.shape[:2]
    run = max(1, VALUES // math.prod(maps.shape[2:]))
    return [(tower, slice(n, n + run)) for tower in range(towers) for n in range(0, pictures, run)]


def each_piece(device, task, maps) -> None:
    """Call `task(own, scratch)` with the index of every piece of some maps."""
    own = pieces(maps)
    device.run(lambda i, scratch: task(own[i], scratch), len(own))
