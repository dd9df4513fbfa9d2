"""Between plain arrays (images, channels, rows, columns), float32, and the maps of one tower."""

from cualex.engine.cuda.launching import THREADS, grid, storage


def from_plain(device, x, y) -> None:
    """Write y[0, n, h, w, c] = x[n, c, h, w]."""
    _launch(device, "from_plain", x, y, x.shape)


def to_plain(device, x, y) -> None:
    """Write y[n, c, h, w] = x[0, n, h, w, c]."""
    _launch(device, "to_plain", x, y, y.shape)


def _launch(device, name: str, x, y, plain: tuple[int, ...]) -> None:
    images, channels, rows, columns = plain
    sizes = {"IMAGES": images, "CHANNELS": channels, "PIXELS": rows * columns}
    device.launch(name, (x, y), grid=grid(x.size), block=THREADS, PRECISION=storage(device), **sizes)
