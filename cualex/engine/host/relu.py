"""ReLU: y = max(x, 0), and dx = dy where y > 0."""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.chunks import each_piece


def forward(device: HostDevice, x: np.ndarray, y: np.ndarray) -> None:
    """Set what is negative to zero; arrays are (towers, images, ...)."""

    def task(own, scratch):
        np.maximum(x[own], 0, out=y[own])

    each_piece(device, task, x)


def backward(device: HostDevice, y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """Pass the gradient on where the output is positive; `dx` may be `dy` itself."""

    def task(own, scratch):
        positive = np.greater(y[own], 0, out=scratch("positive", y[own].shape, bool))
        np.multiply(dy[own], positive, out=dx[own])

    each_piece(device, task, y)
