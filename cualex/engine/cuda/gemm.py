"""The products that convolution and dense layers are: which kernels run, on which tiles, with which constants.

Where a product has too few tiles to fill a GPU, its depth is split; the parts are slabs of float32, added up in their
order by one more kernel. A tower's sums are the same whether or not the other tower is in the same launch.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from cualex.engine.cuda import gemm_tiles
from cualex.engine.cuda.launching import THREADS, grid, storage
from cualex.errors import UsageError

LARGEST = 2**31 - 1  # offsets within an array are 32 bits in the kernels


@dataclass(frozen=True)
class Shape:
    """Hold the numbers of a convolution as the kernels name them; `sources` are those that one tower reads."""

    pictures: int
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
        """Read the numbers off the arrays; those of a dense layer have one pixel."""
        pictures, *maps, channels = x[0].shape
        towers, _, *out, filters = y.shape
        if max(prod(x[0].shape), prod(y.shape)) > LARGEST:
            raise UsageError(f"batch size {pictures} overflows the kernels' 32-bit offsets; use a smaller one")
        rows, columns = maps or (1, 1)
        out_rows, out_columns = out or (1, 1)
        sources = len(x) if shared else 1
        return cls(
            pictures, rows, columns, channels, sources, int(shared),
            out_rows, out_columns, filters, towers, groups, size, stride, pad,
        )  # fmt: skip

    @property
    def pixels(self) -> int:
        """Return the pixels of one tower's output."""
        return self.pictures * self.out_rows * self.out_columns

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
        """Return the values that one output value is a sum of."""
        return self.sources * self.filter_size**2 * self.read

    def constants(self, without: str = "") -> dict[str, int]:
        """Return the constants by their names in the kernels."""
        return {name.upper(): value for name, value in vars(self).items() if name != without}


def forward(device, shape: Shape, x, weight, bias, y, relu: bool) -> None:
    """Launch a product of windows and filters, with the bias and, with `relu`, the ReLU."""
    chunk = _chunk(device)
    cut, constants = _tile(
        device,
        "conv_forward",
        (shape.pixels, shape.made, shape.window, shape.groups),
        RELU=int(relu),
        WHOLE_A=int(shape.read % chunk == 0),
        WHOLE_B=int(shape.window % chunk == 0),
        **shape.constants(),
    )
    slabs = _slabs(device, cut.splits, y.shape)
    device.launch(
        "conv_forward",
        (*_pair(x), weight, bias, y, slabs),
        grid=(cut.count(shape.pixels, shape.made), 1, shape.towers * shape.groups * cut.splits),
        block=cut.threads,
        shared=cut.shared(True, True, chunk),
        **constants,
    )
    if cut.splits > 1:
        _sum_splits(device, slabs, bias, None, list(y), relu=relu)


def input_gradient(device, shape: Shape, dy, weight, dx, relu_of=None) -> None:
    """Launch products of output gradients and filters; towers that read the same maps do so one after the other."""
    if not shape.reads_all:
        _input_gradient(device, shape, dy, weight, dx, relu_of)
        return
    for tower in range(shape.towers):
        own = slice(tower, tower + 1)
        last = relu_of if tower == shape.towers - 1 else None
        _input_gradient(device, shape, dy[own], weight[own], dx, last, add=tower > 0)


def _input_gradient(device, shape, dy, weight, dx, relu_of, add=False) -> None:
    chunk, pixels = _chunk(device), shape.pictures * shape.rows * shape.columns
    columns, depth = shape.sources * shape.read, shape.filter_size**2 * shape.made
    cut, constants = _tile(
        device,
        "conv_input_gradient",
        (pixels, columns, depth, shape.groups),
        ADD=int(add),
        WHOLE_A=int(shape.made % chunk == 0),
        WHOLE_B=int(shape.read % chunk == 0),
        **shape.constants(without="towers"),
    )
    slabs = _slabs(device, cut.splits, (len(dx), pixels, shape.channels))
    device.launch(
        "conv_input_gradient",
        (dy, weight, *_pair(relu_of), *_pair(dx), slabs),
        grid=(cut.count(pixels, columns), 1, len(dy) * shape.groups * cut.splits),
        block=cut.threads,
        shared=cut.shared(True, False, chunk),
        **constants,
    )
    if cut.splits > 1:
        _sum_splits(device, slabs, None, relu_of, dx, add=add)


def weight_gradient(device, shape: Shape, x, dy, sink, bias_sink, block: int = 1, size: int = 0) -> None:
    """Launch a product of output gradients and windows, whose sums go to the sinks.

    `block` and `size` say which weights are beyond a filter that lies over blocks of pixels (kernels/common/mask.cuh).
    """
    chunk = _chunk(device)
    cut, constants = _tile(
        device,
        "conv_weight_gradient",
        (shape.made, shape.window, shape.pixels, shape.groups),
        WHOLE_A=int(shape.made % chunk == 0),
        WHOLE_B=int(shape.read % chunk == 0),
        SINK=sink.kind,
        DECAY=int(sink.decay),
        BIAS_SINK=bias_sink.kind,
        BIAS_DECAY=int(bias_sink.decay),
        BLOCK=block,
        SIZE=size,
        **shape.constants(),
    )
    slabs, bias_slabs = _slabs(device, cut.splits, sink.target.shape), None
    if cut.splits > 1:
        parts = cut.splits * -(-shape.window // cut.columns)
        bias_slabs = device.scratch("bias slabs", (parts, *bias_sink.target.shape))
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
        grid=(cut.count(shape.made, shape.window), 1, shape.towers * shape.groups * cut.splits),
        block=cut.threads,
        shared=cut.shared(False, False, chunk),
        **constants,
    )
    if cut.splits == 1:
        return
    sink_parts(device, sink, slabs)
    sink_parts(device, bias_sink, bias_slabs)


def sink_parts(device, sink, parts) -> None:
    """Add up the parts of a gradient, float32 (parts, ...), in their order, and hand it to its sink."""
    count = sink.target.size
    device.launch(
        "weight_update",
        (parts, device.control, *sink.written, np.float32(sink.factor)),
        grid=grid(-(-count // 4)),
        block=THREADS,
        PRECISION=storage(device),
        COUNT=count,
        SPLITS=len(parts),
        SINK=sink.kind,
        DECAY=int(sink.decay),
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


def _tile(device, name: str, gemm: tuple[int, int, int, int], **constants) -> tuple[gemm_tiles.Tiles, dict]:
    """Choose the tiles of a gemm (rows, columns, depth, groups); return them, and all constants of its kernel.

    Its products are the tensor cores' where the precision has them, unless the kernel failed its self-test there.
    """
    precision = device.precision
    while True:
        cut = gemm_tiles.choose(*gemm, precision)
        how = {
            "PRECISION": storage(device) if precision == "fp32" else precision.upper(),
            "TENSOR_CORES": int(precision != "fp32"),
        }
        whole = {**how, **cut.constants, **constants}
        if precision == "fp32" or not device.fallbacks.avoids(name, whole):
            return cut, whole
        device.fallbacks.used.add(f"{name} {'x'.join(map(str, gemm[:3]))}")
        precision = "fp32"


def _slabs(device, splits, shape):
    """Return work memory for the parts of a sum, or None where there is one part."""
    return device.scratch("slabs", (splits, *shape)) if splits > 1 else None


def _chunk(device) -> int:
    """Return the values in 16 bytes."""
    return 16 // device.dtype.itemsize


def _pair(arrays):
    """Return two arrays for a kernel, None where there are fewer."""
    return (*(arrays or ()), None, None)[:2]
