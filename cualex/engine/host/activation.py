"""Activations by name: y = f(x), and dx = dy f'(x) the derivative from y or x (activations.py has the table)."""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine import activations
from cualex.engine.host.chunks import each_piece


def forward(device: HostDevice, x: np.ndarray, y: np.ndarray, *, function: str) -> None:
    """Apply the function; arrays are (towers, images, ...)."""
    found = activations.find(function)

    def task(own, scratch):
        found.forward(x[own], y[own], scratch("work", y[own].shape, y.dtype), found.a)

    each_piece(device, task, x)


def backward(device: HostDevice, kept: np.ndarray, dy: np.ndarray, dx: np.ndarray, *, function: str) -> None:
    """Multiply the gradient by the derivative, computed from `kept`, y or x; `dx` may be `dy` itself."""
    found = activations.find(function)

    def task(own, scratch):
        slope = scratch("slope", kept[own].shape, kept.dtype)
        found.slope(kept[own], slope, found.a)
        np.multiply(dy[own], slope, out=dx[own])

    each_piece(device, task, kept)
