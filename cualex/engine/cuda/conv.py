"""Convolution, and its gradients.

    y[n, p, q, f] = bias[f] + SUM over r, s, c of x[n, p*stride + r - pad, q*stride + s - pad, c] * weight[f, r, s, c]

`x` is a list of maps (images, rows, columns, channels), without a border. Where it is shared, every tower reads all
of them; else tower t reads `x[t]`. `y` is (towers, images, rows, columns, filters), the biases (towers, filters),
the weights as `filters.py` has them; in bf16 and tf32 the argument `weight` is their copy, rounded. In tf32 `x` and
`dy` are rounded too, when they are stored (cualex/plan/operands.py).
"""

from cualex.engine.cuda import gemm
from cualex.engine.cuda.filters import pack, pack_picture, picture, unpack, unpack_picture
from cualex.engine.cuda.gemm_shape import Shape

__all__ = [
    "forward",
    "input_gradient",
    "pack",
    "pack_picture",
    "picture",
    "unpack",
    "unpack_picture",
    "weight_gradient",
]


def forward(device, x, weight, bias, y, *, size, stride=1, pad=0, groups=1, shared=False, relu=False) -> None:
    """Convolve, add the bias and, with `relu`, apply the ReLU."""
    shape = Shape.of(x, y, shared, groups, **_over_blocks(weight, size, stride, pad))
    gemm.forward(device, shape, x, weight, bias, y, relu)


def input_gradient(device, dy, weight, dx, *, size, stride=1, pad=0, groups=1, shared=False, relu_of=None) -> None:
    """Write the gradient of the input, summed where windows overlap.

    `dx` is a list as `x` is. Maps that several towers read get the sum over the towers. With `relu_of`, the input
    itself, the gradient is that of the input of the ReLU that made it.
    """
    shape = Shape.of(dx, dy, shared, groups, **_over_blocks(weight, size, stride, pad))
    gemm.input_gradient(device, shape, dy, weight, dx, relu_of)


def weight_gradient(device, x, dy, sink, bias_sink, *, size, stride=1, pad=0, groups=1, shared=False) -> None:
    """Pass the gradient of the weights to `sink`, that of the biases to `bias_sink`."""
    geometry = _over_blocks(sink.target, size, stride, pad)
    shape = Shape.of(x, dy, shared, groups, **geometry)
    mask = (1, 0) if geometry["size"] == size else (stride, size)
    gemm.weight_gradient(device, shape, x, dy, sink, bias_sink, *mask)


def _over_blocks(weight, size: int, stride: int, pad: int) -> dict[str, int]:
    """Return size, stride and padding for the kernels: space-to-depth filters have stride 1."""
    window = weight.shape[3]
    if window == size:
        return {"size": size, "stride": stride, "pad": pad}
    return {"size": window, "stride": 1, "pad": 0}
