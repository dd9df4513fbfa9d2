"""The gemms of convolution and dense layers: which kernels run, on which tiles, with which constants.

Where a gemm has too few tiles to fill a GPU, its depth is split (split-K): the partial sums are slabs of float32, which
one more kernel adds up in their order. A tower's sums are the same whether or not the other is in the same launch.
"""

import numpy as np

from cualex.engine.cuda import gemm_tiles, gemm_wgmma
from cualex.engine.cuda.gemm_shape import Shape
from cualex.engine.cuda.launching import THREADS, grid, storage


def forward(device, shape: Shape, x, weight, bias, y, relu: bool, rounds_weight: bool = False) -> None:
    """Launch the gemm of windows and filters, with the bias and, with `relu`, the ReLU in its epilogue."""
    if gemm_wgmma.forward(device, shape, x, weight, bias, y, relu):
        return
    chunk = _chunk(device)
    tiles, constants = _tiles(
        device,
        "conv_forward",
        (shape.pixels, shape.made, shape.window, shape.groups),
        storage(device),
        rounds_weight,
        RELU=int(relu),
        WHOLE_A=int(shape.read % chunk == 0),
        WHOLE_B=int(shape.window % chunk == 0),
        **shape.constants(),
    )
    slabs = _slabs(device, tiles.splits, y.shape)
    device.launch(
        "conv_forward",
        (*_pair(x), weight, bias, y, slabs),
        grid=(tiles.count(shape.pixels, shape.made), 1, shape.towers * shape.groups * tiles.splits),
        block=tiles.threads,
        shared=tiles.shared(True, True, chunk),
        **constants,
    )
    if tiles.splits > 1:
        _sum_splits(device, slabs, bias, None, list(y), storage(device), relu=relu)


def input_gradient(device, shape: Shape, dy, weight, dx, relu_of=None, rounds_weight: bool = False) -> None:
    """Launch gemms of output gradients and filters, one after the other for towers that read the same maps."""
    if not shape.reads_all:
        _input_gradient(device, shape, dy, weight, dx, relu_of, storage(device), rounds_weight)
        return
    for tower in range(shape.towers):
        one, last = slice(tower, tower + 1), tower == shape.towers - 1
        stored = storage(device) if last else storage(device, rounds=False)  # only the sum is rounded to TF32
        relus = relu_of if last else None
        _input_gradient(device, shape, dy[one], weight[one], dx, relus, stored, rounds_weight, add=tower > 0)


def _input_gradient(device, shape, dy, weight, dx, relu_of, stored, rounds_weight, add=False) -> None:
    chunk, pixels = _chunk(device), shape.batch * shape.rows * shape.columns
    columns, depth = shape.sources * shape.read, shape.filter_size**2 * shape.made
    tiles, constants = _tiles(
        device,
        "conv_input_gradient",
        (pixels, columns, depth, shape.groups),
        stored,
        rounds_weight,
        ADD=int(add),
        WHOLE_A=int(shape.made % chunk == 0),
        WHOLE_B=int(shape.read % chunk == 0),
        **shape.constants(without="towers"),
    )
    slabs = _slabs(device, tiles.splits, (len(dx), pixels, shape.channels))
    device.launch(
        "conv_input_gradient",
        (dy, weight, *_pair(relu_of), *_pair(dx), slabs),
        grid=(tiles.count(pixels, columns), 1, len(dy) * shape.groups * tiles.splits),
        block=tiles.threads,
        shared=tiles.shared(True, False, chunk),
        **constants,
    )
    if tiles.splits > 1:
        _sum_splits(device, slabs, None, relu_of, dx, stored, add=add)


def weight_gradient(device, shape: Shape, x, dy, sink, bias_sink, block: int = 1, size: int = 0) -> None:
    """Launch the gemm of output gradients and windows, whose sums go to the sinks.

    `block` and `size` mask the zero padding of space-to-depth filters (kernels/common/mask.cuh).
    """
    chunk = _chunk(device)
    tiles, constants = _tiles(
        device,
        "conv_weight_gradient",
        (shape.made, shape.window, shape.pixels, shape.groups),
        _of_copy(device, sink),
        False,
        WHOLE_A=int(shape.made % chunk == 0),
        WHOLE_B=int(shape.read % chunk == 0),
        SINK=sink.kind,
        DECAY=float(sink.decay),
        BIAS_SINK=bias_sink.kind,
        BIAS_DECAY=float(bias_sink.decay),
        BLOCK=block,
        SIZE=size,
        **shape.constants(),
    )
    slabs, bias_slabs = _slabs(device, tiles.splits, sink.target.shape), None
    if tiles.splits > 1:
        count = tiles.splits * -(-shape.window // tiles.columns)
        bias_slabs = device.scratch("bias slabs", (count, *bias_sink.target.shape))
    device.launch(
        "conv_weight_gradient",
        (
            *_pair(x),
            dy,
            device.control,
            *sink.written,
            *bias_sink.written[:2],
            slabs,
            bias_slabs,
            np.float32(sink.factor),
            np.float32(bias_sink.factor),
        ),
        grid=(tiles.count(shape.made, shape.window), 1, shape.towers * shape.groups * tiles.splits),
        block=tiles.threads,
        shared=tiles.shared(False, False, chunk),
        **constants,
    )
    if tiles.splits > 1:
        sink_slabs(device, sink, slabs)
        sink_slabs(device, bias_sink, bias_slabs)


def sink_slabs(device, sink, slabs) -> None:
    """Add up the slabs of a gradient, float32 (slabs, ...), in their order, and pass it to its sink."""
    count = sink.target.size
    device.launch(
        "weight_update",
        (slabs, device.control, *sink.written, np.float32(sink.factor)),
        grid=grid(-(-count // 4)),
        block=THREADS,
        PRECISION=_of_copy(device, sink),
        COUNT=count,
        SPLITS=len(slabs),
        SINK=sink.kind,
        DECAY=float(sink.decay),
        BIAS=int(sink.bias),
    )


def _of_copy(device, sink) -> str:
    """Return how a sink's copy of the weights is stored."""
    return storage(device, rounds=sink.written[2] is not None)


def _sum_splits(device, slabs, bias, relu_of, y, stored, relu=False, add=False) -> None:
    device.launch(
        "sum_splits",
        (slabs, bias, *_pair(relu_of), *_pair(y)),
        grid=grid(-(-y[0].size // 4), len(y)),
        block=THREADS,
        PRECISION=stored,
        COUNT=y[0].size,
        CHANNELS=y[0].shape[-1],
        SPLITS=len(slabs),
        RELU=int(relu),
        ADD=int(add),
    )


def _tiles(
    device, name: str, gemm: tuple[int, int, int, int], stored: str, rounds_weight: bool, **constants
) -> tuple[gemm_tiles.Tiles, dict]:
    """Choose the tiles of a gemm (rows, columns, depth, groups); return them, and all constants of its kernel.

    stored: how it stores maps, or the copy of the weights.  rounds_weight: tensor cores are to round the weights to
    TF32, as they are not stored so. Its products are the tensor cores' where the precision has them, unless the kernel
    failed its self-test there.
    """
    precision = device.precision
    while True:
        tiles = gemm_tiles.choose(*gemm, precision)
        how = {
            "PRECISION": stored,
            "TENSOR_CORES": int(precision != "fp32"),
            "ROUND_B": int(precision == "tf32" and rounds_weight),
        }
        whole = {**how, **tiles.constants, **constants}
        if precision == "fp32" or not device.fallbacks.avoids(name, whole):
            return tiles, whole
        device.fallbacks.used.add(f"{name} {'x'.join(map(str, gemm[:3]))}")
        precision = "fp32"


def _slabs(device, splits, shape):
    """Return work memory for the partial sums, or None where the depth is not split."""
    return device.scratch("slabs", (splits, *shape)) if splits > 1 else None


def _chunk(device) -> int:
    """Return the values in 16 bytes."""
    return 16 // device.dtype.itemsize


def _pair(arrays):
    """Return two arrays for a kernel, with None for a missing one."""
    return (*(arrays or ()), None, None)[:2]
