"""Small pieces of work for the kernels over maps, and the bits that they give.

A piece of work puts drawn maps of a shape on a bench, runs the functions of an engine on them, and returns what they
wrote.
"""

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from tests.support import reference
from tests.support.benches import Bench

SCHEDULES = ["descending", 1, 2, 3, 4, 5]
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])

LOUD = {"n": 5, "k": 2.0, "alpha": 1.0, "beta": 0.75}
WINDOW = {"size": 3, "stride": 2}
BEYOND = {"size": 4, "stride": 3}  # the last windows of the shapes below reach beyond the end
SHAPES = [(2, 2, 9, 11, 16), (1, 2, 8, 9, 17)]  # of maps: channels that go together, and that do not


def bits(runtime, precision, work):
    """Return the bytes of all that some work gives, in all shapes."""
    bench = Bench(CudaDevice("cuda:0", runtime, 0, precision))
    bench.begin(rate=0.3, seed=7)
    rng, found = np.random.default_rng(2012), []
    for shape in SHAPES:
        arrays = work(bench, rng, shape)
        runtime.synchronize()
        found += [array.tobytes() for array in arrays]
    return found


def crop(bench, rng, shape):
    pictures = bench.put_input(rng.integers(0, 256, (3, 9, 11, 3)), np.uint8)
    views = bench.put_input([[0, 0, 0], [4, 1, 1], [2, 6, 1]], np.int32)
    colours = bench.put_input(rng.normal(0, 9, (3, 3)), np.float32)
    mean, y = bench.put(rng.uniform(0, 255, (9, 11, 3)), np.float32), bench.empty((3, 3, 3, 12))
    bench.engine.crop.forward(bench.device, pictures, views, colours, mean, y, crop=5)
    return [y]


def relu(bench, rng, shape):
    x, y, dx = bench.put(rng.normal(size=shape)), bench.empty(shape), bench.empty(shape)
    bench.engine.relu.forward(bench.device, x, y)
    bench.engine.relu.backward(bench.device, y, x, dx)
    bench.engine.exchange.add(bench.device, y, dx)
    return [y, dx]


def normalisation(bench, rng, shape):
    x, dy, y, dx = *(bench.put(each) for each in rng.normal(size=(2, *shape))), *two(bench, shape)
    bench.engine.lrn.forward(bench.device, x, y, None, **LOUD)
    bench.engine.lrn.backward(bench.device, x, None, dy, dx, **LOUD)
    return [y, dx]


def pooling(bench, rng, shape):
    x, dx = bench.put(rng.integers(-3, 4, shape)), bench.empty(shape)
    dy, y, choice = pooled(bench, rng, shape)
    bench.engine.maxpool.forward(bench.device, x, y, choice, **WINDOW)
    bench.engine.maxpool.backward(bench.device, x, choice, y, dy, dx, **WINDOW, relu=True)
    return [y, choice, dx]


def both(bench, rng, shape):
    x, dx = bench.put(rng.integers(-3, 4, shape)), bench.empty(shape)
    dy, y, choice = pooled(bench, rng, shape)
    bench.engine.lrn.forward_pooled(bench.device, x, y, choice, **LOUD, **WINDOW)
    bench.engine.lrn.backward_pooled(bench.device, x, choice, y, dy, dx, **LOUD, **WINDOW, relu=True)
    return [y, choice, dx]


def dropout(bench, rng, shape):
    x, y = bench.put(rng.normal(size=shape)), bench.empty(shape)
    place = {"keep": 0.5, "factor": 2.0, "layer": 5, "towers": 2, "first_tower": 0, "control": None}
    bench.engine.dropout.forward(bench.device, x, y, **place)
    bench.engine.dropout.infer(bench.device, y, x, factor=0.5)
    return [x, y]


def softmax(bench, rng, shape, class_weights=None):
    scores, labels = rng.normal(size=(1, 5, 300)), bench.put_input([3, -1, 299, 0, 8], np.int32)
    x, y, dx = bench.put(scores), *two(bench, scores.shape)
    sums = bench.empty(4, np.float64)
    bench.engine.softmax.forward(bench.device, x, labels, y, dx, sums, control=None, class_weights=class_weights)
    return [y, dx, sums]


def weighted(bench, rng, shape):
    return softmax(bench, rng, shape, bench.put(rng.uniform(0.1, 9, 300), np.float32))


def update(bench, rng, shape):
    gradient, weight, velocity = (bench.put(each, np.float32) for each in rng.normal(size=(3, 300)))
    copy, module = bench.empty(300), bench.engine.update
    module.apply(bench.device, gradient, module.Momentum(weight, velocity, None, True, copy))
    return [weight, velocity, copy]


def activation(bench, rng, shape):
    x, found = bench.put(rng.normal(0, 3, shape)), []
    for function in ("tanh", "sigmoid", "softplus", "linear", "leaky-relu", "elu", "gelu"):
        y, dx = bench.empty(shape), bench.empty(shape)
        bench.engine.activation.forward(bench.device, x, y, function=function)
        bench.engine.activation.backward(bench.device, y, x, dx, function=function)
        found += [y, dx]
    return found


def grey(bench, rng, shape):
    y = bench.empty((*shape[:4], 1))
    bench.engine.grey.forward(bench.device, bench.put(rng.normal(size=(*shape[1:4], 3))), y)
    dy, dx = bench.put(rng.normal(size=(*shape[:4], 1))), bench.empty((*shape[1:4], 3))
    bench.engine.grey.backward(bench.device, dy, dx)
    return [y, dx]


def layout(bench, rng, shape):
    _, images, rows, columns, channels = shape
    plain, maps = (images, channels, rows, columns), (1, images, rows, columns, channels)
    x, y = bench.put(rng.normal(size=plain), np.float32), bench.empty(maps)
    back = bench.put(np.full(plain, np.nan), np.float32)
    bench.engine.layout.from_plain(bench.device, x, y)
    bench.engine.layout.to_plain(bench.device, y, back)
    return [y, back]


def average(bench, rng, shape):
    x, dy = bench.put(rng.normal(size=shape)), bench.put(rng.normal(size=out(shape)))
    y, dx = bench.empty(dy.shape), bench.empty(shape)
    bench.engine.averagepool.forward(bench.device, x, y, **BEYOND)
    bench.engine.averagepool.backward(bench.device, dy, dx, **BEYOND)
    return [y, dx]


def beyond(bench, rng, shape):
    """Pool, alone and with the normalisation."""
    x, dy = bench.put(rng.integers(-3, 4, shape)), bench.put(rng.normal(size=out(shape)))
    found = [bench.empty(dy.shape), bench.empty(dy.shape, np.uint8), bench.empty(shape)]
    y, choice, dx = found
    also = [bench.empty(dy.shape), bench.empty(dy.shape, np.uint8), bench.empty(shape)]
    bench.engine.maxpool.forward(bench.device, x, y, choice, **BEYOND)
    bench.engine.maxpool.backward(bench.device, x, choice, y, dy, dx, **BEYOND, relu=True)
    y, choice, dx = also
    bench.engine.lrn.forward_pooled(bench.device, x, y, choice, **LOUD, **BEYOND)
    bench.engine.lrn.backward_pooled(bench.device, x, choice, y, dy, dx, **LOUD, **BEYOND, relu=True)
    return found + also


def within(bench, rng, shape):
    x, dy, y, dx = (
        *(bench.put(each) for each in rng.normal(size=(2, *shape))),
        bench.empty(shape),
        bench.empty(shape),
    )
    bench.engine.spatial_lrn.forward(bench.device, x, y, None, **LOUD)
    bench.engine.spatial_lrn.backward(bench.device, x, None, dy, dx, **LOUD, relu=True)
    return [y, dx]


def two(bench, shape):
    return bench.empty(shape), bench.empty(shape)


def out(shape):
    return (
        *shape[:2],
        *(reference.places(length, **BEYOND, round_up=True) for length in shape[2:4]),
        shape[4],
    )


def pooled(bench, rng, shape):
    out = (*shape[:2], (shape[2] - 3) // 2 + 1, (shape[3] - 3) // 2 + 1, shape[4])
    return bench.put(rng.normal(size=out)), bench.empty(out), bench.empty(out, np.uint8)


FIRST = [crop, relu, normalisation, pooling, both, dropout, softmax, update]  # of the paper's network
FURTHER = [activation, grey, layout, average, beyond, within, weighted]  # of other networks and recipes
