"""ReLU: y = max(x, 0), and dx = dy where y > 0."""

import numpy as np


def forward(device, x, y) -> None:
    """Set what is negative to zero; arrays are (towers, pictures, ...)."""

    def task(tower, n, scratch):
        np.maximum(x[tower, n], 0, out=y[tower, n])

    device.grid(task, *x.shape[:2])


def backward(device, y, dy, dx) -> None:
    """Pass the gradient on where the output is positive; `dx` may be `dy` itself."""

    def task(tower, n, scratch):
        positive = scratch("positive", y[tower, n].shape, bool)
        np.multiply(dy[tower, n], np.greater(y[tower, n], 0, out=positive), out=dx[tower, n])

    device.grid(task, *y.shape[:2])
