"""ReLU: y = max(x, 0), and dx = dy where y > 0. Arrays are (towers, images, ...)."""

from cualex.engine.cuda.launching import elementwise


def forward(device, x, y) -> None:
    """Set negative values to zero."""
    elementwise(device, "relu_forward", (x, y))


def backward(device, y, dy, dx) -> None:
    """Pass the gradient on where the output is positive; `dx` may be `dy` itself."""
    elementwise(device, "relu_backward", (y, dy, dx))
