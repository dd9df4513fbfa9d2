"""The gemms of convolution and dense layers: which kernels run, on which tiles, with which constants.

Where its tiles are too few to fill a GPU, the depth is split (split-K), and slabs of partial sums are added in order.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from cualex.engine.cuda import gemm_tiles, gemm_wgmma
from cualex.engine.cuda.launching import THREADS, grid, storage
from cualex.errors import UsageError

LARGEST = 2**31 - 1  # offsets within an array are 32 bits in the kernels


@dataclass(frozen=True)
class Shape:
    """The dimensions of a convolution as the kernels name them; `sources`: how many maps one tower reads."""

    batch: int
    rows: int
    columns: int
    channels: int
    sources: int
    reads_all: int
    out_rows: int
    out_columns: int
    filters: int
    towers: int
    groups: int
    filter_size: int
    stride: int
    pad: int

    @classmethod
    def of(cls, x, y, shared, groups=1, *, size=1, stride=1, pad=0) -> "Shape":
        """Return the dimensions of the arrays; maps of a dense layer have one pixel."""
        batch, *maps, channels = x[0].shape
        towers, _, *out, filters = y.shape
        if max(prod(x[0].shape), prod(y.shape)) > LARGEST:
            raise UsageError(f"batch size {batch} overflows the kernels' 32-bit offsets; use a smaller one")
        rows, columns = maps or (1, 1)
        out_rows, out_columns = out or (1, 1)
        sources = len(x) if shared else 1
        return cls(
            batch, rows, columns, channels, sources, int(shared),
            out_rows, out_columns, filters, towers, groups, size, stride, pad,
        )  # fmt: skip

    @property
    def pixels(self) -> int:
        """Return the pixels of one tower's output."""
        return self.batch * self.out_rows * self.out_columns

    @property
    def read(self) -> int:
        """Return the channels that a group reads of one source."""
        return self.channels // self.groups

    @property
    def made(self) -> int:
        """Return the filters of a group."""
        return self.filters // self.groups

    @property
    def window(self) -> int:
        """Return the values of a window: the summands of one output value."""
        return self.sources * self.filter_size**2 * self.read

    def constants(self, without: str = "") -> dict[str, int]:
        """Return the constants by their names in the kernels."""
        return {name.upper(): value for name, value in vars(self).items() if name != without}


def forward(device, shape: Shape, x, weight, bias, y, relu: bool) -> None:
    """Launch the gemm of windows and filters, with the bias and, with `relu`, the ReLU in its epilogue."""
    if gemm_wgmma.forward(device, shape, x, weight, bias, y, relu):
        return
    chunk = _chunk(device)
    tiles, constants = _tiles(
        device,
        "conv_forward",
        (shape.pixels, shape.made, shape.window, shape.groups),
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
        _sum_splits(device, slabs, bias, None, list(y), relu=relu)


def input_gradient(device, shape: Shape, dy, weight, dx, relu_of=None) -> None:
    """Launch gemms of output gradients and filters, one after the other for towers that read the same maps."""
    if not shape.reads_all:
        _input_gradient(device, shape, dy, weight, dx, relu_of)
        return
    for tower in range(shape.towers):
        one = slice(tower, tower + 1)
        last = relu_of if tower == shape.towers - 1 else None
        _input_gradient(device, shape, dy[one], weight[one], dx, last, add=tower > 0)


def _input_gradient(device, shape, dy, weight, dx, relu_of, add=False) -> None:
    chunk, pixels = _chunk(device), shape.batch * shape.rows * shape.columns
    columns, depth = shape.sources * shape.read, shape.filter_size**2 * shape.made
    tiles, constants = _tiles(
        device,
        "conv_input_gradient",
        (pixels, columns, depth, shape.groups),
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
        _sum_splits(device, slabs, None, relu_of, dx, add=add)


def weight_gradient(device, shape: Shape, x, dy, sink, bias_sink, block: int = 1, size: int = 0) -> None:
    """Launch the gemm of output gradients and windows, whose sums go to the sinks.

    `block` and `size` mask the zero padding of space-to-depth filters (kernels/common/mask.cuh).
    """
    chunk = _chunk(device)
    tiles, constants = _tiles(
        device,
        "conv_weight_gradient",
        (shape.made, shape.window, shape.pixels, shape.groups),
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
        PRECISION=storage(device),
        COUNT=count,
        SPLITS=len(slabs),
        SINK=sink.kind,
        DECAY=float(sink.decay),
        BIAS=int(sink.bias),
    )


def _sum_splits(device, slabs, bias, relu_of, y, relu=False, add=False) -> None:
    device.launch(
        "sum_splits",
        (slabs, bias, *_pair(relu_of), *_pair(y)),
        grid=grid(-(-y[0].size // 4), len(y)),
        block=THREADS,
        PRECISION=storage(device),
        COUNT=y[0].size,
        CHANNELS=y[0].shape[-1],
        SPLITS=len(slabs),
        RELU=int(relu),
        ADD=int(add),
    )


def _tiles(device, name: str, gemm: tuple[int, int, int, int], **constants) -> tuple[gemm_tiles.Tiles, dict]:
    """Choose the tiles of a gemm (rows, columns, depth, groups); return them, and all constants of its kernel.

    Its products are the tensor cores' where the precision has them, unless the kernel failed its self-test there.
    """
    precision = device.precision
    while True:
        tiles = gemm_tiles.choose(*gemm, precision)
        how = {
            "PRECISION": storage(device) if precision == "fp32" else precision.upper(),
            "TENSOR_CORES": int(precision != "fp32"),
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
