"""Between plain arrays (images, channels, rows, columns) and the maps of one tower."""

import numpy as np

from cualex.devices.host import HostDevice


def from_plain(device: HostDevice, x: np.ndarray, y: np.ndarray) -> None:
    """Write y[0, n, h, w, c] = x[n, c, h, w]."""
    np.copyto(y[0], x.transpose(0, 2, 3, 1))


def to_plain(device: HostDevice, x: np.ndarray, y: np.ndarray) -> None:
    """Write y[n, c, h, w] = x[0, n, h, w, c]."""
    np.copyto(y, x[0].transpose(0, 3, 1, 2))
