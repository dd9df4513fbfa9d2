"""Grey images: y = 0.299 red + 0.587 green + 0.114 blue, and the gradient of the colours."""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.chunks import each_piece
from cualex.engine.map_ops import BLUE, GREEN, RED


def forward(device: HostDevice, x: np.ndarray, y: np.ndarray) -> None:
    """Add the colours up: x (images, rows, columns, 3), y (towers, images, rows, columns, 1)."""

    def task(own, scratch):
        picture, target = x[own[1]], y[(*own, ..., 0)]
        part = scratch("part", target.shape, y.dtype)
        np.multiply(picture[..., 0], RED, out=target)
        target += np.multiply(picture[..., 1], GREEN, out=part)
        target += np.multiply(picture[..., 2], BLUE, out=part)

    each_piece(device, task, y)


def backward(device: HostDevice, dy: np.ndarray, dx: np.ndarray) -> None:
    """Give each colour its share: dy (towers, images, rows, columns, 1), dx (images, rows, columns, 3)."""

    def task(image, scratch):
        part = scratch("part", dx.shape[1:3], dx.dtype)
        for channel, share in enumerate((RED, GREEN, BLUE)):
            for tower, given in enumerate(dy[:, image, :, :, 0]):
                np.multiply(given, share, out=part)
                target = dx[image, :, :, channel]
                np.copyto(target, part) if tower == 0 else np.add(target, part, out=target)

    device.run(task, len(dx))
