"""Activations by name: y = f(x), and dx = dy f'(x) with the derivative from y (activations.py has the table)."""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine import activations
from cualex.engine.host.chunks import each_piece


def forward(device: HostDevice, x: np.ndarray, y: np.ndarray, *, function: str) -> None:
    """Apply the function; arrays are (towers, images, ...)."""
    found = activations.find(function)

    def task(own, scratch):
        found.forward(x[own], y[own], scratch("work", y[own].shape, y.dtype))

    each_piece(device, task, x)


def backward(device: HostDevice, y: np.ndarray, dy: np.ndarray, dx: np.ndarray, *, function: str) -> None:
    """Multiply the gradient by the derivative; `dx` may be `dy` itself."""
    found = activations.find(function)

    def task(own, scratch):
        slope = scratch("slope", y[own].shape, y.dtype)
        found.slope(y[own], slope)
        np.multiply(dy[own], slope, out=dx[own])

    each_piece(device, task, y)
