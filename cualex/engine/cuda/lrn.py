"""Local response normalisation across channels, alone and together with the max-pooling above it.

    y[c] = x[c] / s[c]^beta,    s[c] = k + alpha * SUM over j of x[j]^2,    c - n//2 <= j <= c + n//2

    dx[c] = dy[c] / s[c]^beta - 2 alpha beta x[c] * SUM over j of dy[j] x[j] / s[j]^(beta+1)

The window stays inside a tower's channels. Where k = 0 and it is all zero, y is 0, and so is dx. Nothing is saved of
the normalisation: the backward pass computes s from x again. `saved` of the pooled functions is the choice
(maxpool.py). The pooled functions give the bits of the separate ones.

Arrays are (towers, images, rows, columns, channels).
"""

from cualex.engine.cuda.launching import THREADS, grid, sizes, storage, vector
from cualex.engine.cuda.maxpool import window
from cualex.kernels import STATIC_SHARED

TILE = 24 * 1024  # bytes of shared memory for a ring of rows, so that several blocks fit on a multiprocessor
BLOCKS = 1024  # that keep a large GPU busy


def forward(device, x, y, saved=None, *, n, k, alpha, beta) -> None:
    """Normalise."""
    values, channels = vector(device, x.shape[-1]), x.shape[-1]
    device.launch(
        "lrn_forward",
        (x, y),
        grid=grid(x.size // values),
        block=THREADS,
        PIXELS=x.size // channels,
        CHANNELS=channels,
        **kernel_constants(device, values, n, k, alpha, beta),
    )


def backward(device, x, saved, dy, dx, *, n, k, alpha, beta, relu=False) -> None:
    """Write the gradient of the input; with `relu`, that of the ReLU's input below it. `dx` may be `dy`."""
    numbers = kernel_constants(device, vector(device, x.shape[-1]), n, k, alpha, beta)
    _back(device, "lrn_backward", (x, dy, dx), x, relu, numbers | sizes(x))


def forward_pooled(device, x, y, saved=None, *, n, k, alpha, beta, size, stride) -> None:
    """Normalise and take the maximum of windows; the normalised maps are never stored."""
    values = vector(device, x.shape[-1])
    (segment, chunk), pixel = _tile(x, y, size, stride, values), size * device.dtype.itemsize
    constants = sizes(x, y)
    blocks = constants.pop("IMAGES") * -(-y.shape[3] // segment) * -(-x.shape[-1] // chunk)
    band = -(-y.shape[2] // min(y.shape[2], -(-BLOCKS // blocks)))
    device.launch(
        "lrn_maxpool_forward",
        (x, y, saved),
        grid=(blocks * -(-y.shape[2] // band),),
        block=THREADS,
        shared=((segment - 1) * stride + size) * chunk * pixel,
        CHOOSE=int(saved is not None),
        BAND=band,
        SEGMENT=segment,
        CHUNK=chunk,
        **constants,
        **window(size, stride),
        **kernel_constants(device, values, n, k, alpha, beta),
    )


def backward_pooled(device, x, saved, y, dy, dx, *, n, k, alpha, beta, size, stride, relu=False) -> None:
    """Write the gradient of the input from that of the pooled maps, in one step."""
    numbers = kernel_constants(device, vector(device, x.shape[-1]), n, k, alpha, beta)
    constants = numbers | sizes(x, y) | window(size, stride)
    _back(device, "lrn_maxpool_backward", (x, saved, dy, dx), x, relu, constants)


def kernel_constants(device, values, n, k, alpha, beta) -> dict:
    """Return the constants that all these kernels have."""
    reals = {"K": k, "ALPHA": alpha, "BETA": beta}
    return {"WINDOW": n, "VECTOR": values, "PRECISION": storage(device), **reals}


def _back(device, name, arguments, x, relu, constants) -> None:
    """Launch a backward kernel, with about as many pixels per block as its threads hold at once."""
    channels = x.shape[-1]
    pixels = max(1, THREADS * constants["VECTOR"] // channels)
    device.launch(
        name,
        arguments,
        grid=(-(-x.size // (channels * pixels)),),
        block=THREADS,
        shared=4 * pixels * channels,
        PIXELS=pixels,
        ROUNDS=-(-pixels * channels // (THREADS * constants["VECTOR"])),
        RELU=int(relu),
        **constants,
    )


def _tile(x, y, size, stride, values) -> tuple[int, int]:
    """Choose how many windows of a row and how many channels a block has: (segment, chunk).

    All channels where `size` rows of one window fit in shared memory; then as many windows as fit in TILE, in segments
    of equal length.
    """
    most = STATIC_SHARED // (size * size * x.dtype.itemsize * values) * values
    chunk = min(x.shape[-1], most)
    columns = TILE // (size * chunk * x.dtype.itemsize)
    segments = -(-y.shape[3] // max(1, (columns - size) // stride + 1))
    return -(-y.shape[3] // segments), chunk
