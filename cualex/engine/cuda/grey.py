"""Greyscale images: y = 0.299 red + 0.587 green + 0.114 blue, and the gradient of the colours."""

from cualex.engine.cuda.launching import THREADS, grid, storage


def forward(device, x, y) -> None:
    """Weigh and sum the colours: x (images, rows, columns, 3), y (towers, images, rows, columns, 1)."""
    towers, pixels = y.shape[0], y[0].size
    device.launch("grey", (x, y), grid=grid(pixels, towers), block=THREADS, PIXELS=pixels, PRECISION=storage(device))


def backward(device, dy, dx) -> None:
    """Give each colour its share: dy (towers, images, rows, columns, 1), dx (images, rows, columns, 3)."""
    towers, pixels = dy.shape[0], dy[0].size
    numbers = {"PIXELS": pixels, "TOWERS": towers, "PRECISION": storage(device)}
    device.launch("grey_backward", (dy, dx), grid=grid(pixels), block=THREADS, **numbers)
