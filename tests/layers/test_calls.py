"""Layers that are called with arrays: formulas and gradients, both engines, DLPack, and what is refused."""

import doctest
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex import engine
from cualex.errors import UsageError
from cualex.layers import (
    LRN,
    Activation,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    MaxPool,
    MeanDropout,
    ReLU,
    Softmax,
    SpatialLRN,
    calls,
)
from cualex.layers.calls import apply
from tests.support import reference

SHAPE = 2, 6, 7, 5
LAYERS = {
    "lrn": (LRN(alpha=0.5), lambda x: reference.lrn(x, alpha=0.5)),
    "spatial lrn": (SpatialLRN(alpha=0.5), lambda x: reference.spatial_lrn(x, alpha=0.5)),
    "relu": (ReLU(), reference.relu),
    "tanh": (Activation("tanh"), lambda x: reference.activation(x, "tanh")),
    "gelu": (Activation("gelu"), lambda x: reference.activation(x, "gelu")),
    "maxpool": (MaxPool(3, 2), reference.maxpool),
    "averagepool": (AveragePool(3, 2, round_up=True), lambda x: reference.averagepool(x, 3, 2, round_up=True)),
    "dropout": (Dropout(0.25), lambda x: reference.dropout_at_test(x, 0.75)),
    "inverted": (MeanDropout(0.25, inverted=True), lambda x: x),
}


def tensor(seed, *shape):
    """Draw a tensor, for variances above 0."""
    return np.abs(np.random.default_rng(seed).normal(size=shape)) + 0.25


W, B, C = tensor(5, 4, 6, 3, 3), tensor(6, 4), [tensor(seed, 6) for seed in range(4)]
GROUPED, FLAT = tensor(7, 4, 3, 3, 3) - 1, tensor(8, 4, 6 * 7 * 5) - 1
WEIGHTED = {
    "conv": (Conv(4, size=3), (W, B), lambda x: reference.conv(x, W, B)),
    "padded conv": (Conv(4, size=3, stride=2, pad=1), (W, B), lambda x: reference.conv(x, W, B, 2, 1)),
    "grouped conv": (
        Conv(4, size=3, groups=2, round_up=True, stride=2),
        (GROUPED, B),
        lambda x: reference.conv(x, GROUPED, B, 2, 0, 2, True),
    ),
    "dense": (Dense(4), (FLAT, B), lambda x: reference.dense(x.reshape(2, -1), FLAT, B)[:, :, None, None]),
    "batchnorm": (BatchNorm(epsilon=0.5), tuple(C), lambda x: reference.batchnorm(x, C[0], C[1], 0.5, C[2], C[3])),
}
NAMES = "weight", "bias", "mean", "variance"


@pytest.mark.parametrize("name", WEIGHTED)
def test_layers_with_weights_are_the_formulas(name):
    layer, tensors, function = WEIGHTED[name]
    x, dy = problem(function)
    y = layer(x, *tensors)
    assert type(y.array) is np.ndarray
    assert_allclose(y.array, function(x), rtol=1e-10, atol=1e-10)
    for _ in range(2):  # nothing is used up
        assert_allclose(y.backward(dy), reference.gradient(function, x, dy), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", WEIGHTED)
def test_layers_with_weights_on_gpus_give_the_hosts(emulated, name):
    from cualex.devices.cuda import CudaDevice

    layer, tensors, function = WEIGHTED[name]
    x, dy = problem(function, np.float32)
    device = CudaDevice("cuda:0", emulated(), 0, "fp32")
    put = partial(held, device)
    expected, found = layer(x, *tensors), apply(layer, put(x), device, tensors=dict(zip(NAMES, tensors, strict=False)))
    assert_allclose(device.download(found.array), expected.array, rtol=1e-4, atol=1e-4)
    assert_allclose(device.download(found.backward(put(dy))), expected.backward(dy), rtol=1e-4, atol=1e-4)


def test_a_strided_convolution_of_an_image_on_a_gpu_is_the_hosts(emulated):
    """The first layer of a plan reads blocks of pixels there; one that is called reads the image as it is."""
    from cualex.devices.cuda import CudaDevice

    layer, x = Conv(4, size=5, stride=2, pad=1), np.random.default_rng(0).normal(size=(2, 3, 11, 9)).astype(np.float32)
    device = CudaDevice("cuda:0", emulated(), 0, "fp32")
    assert_allclose(
        device.download(apply(layer, held(device, x), device, seed=1).array), layer(x, seed=1).array, atol=1e-5
    )


def test_weights_on_a_gpu_and_the_layer_stay_there(cupy):
    layer, tensors, function = WEIGHTED["padded conv"]
    x, dy = problem(function, np.float32)
    found = layer(cupy.asarray(x), *(cupy.asarray(each, np.float32) for each in tensors))
    assert isinstance(found.array, cupy.ndarray)
    assert_allclose(found.array.get(), function(x), rtol=1e-4, atol=1e-4)
    assert_allclose(found.backward(cupy.asarray(dy)).get(), layer(x, *tensors).backward(dy), rtol=1e-4, atol=1e-4)


def held(device, values):
    """Return an array of a device with values."""
    array = device.allocate(values.shape, np.float32)
    device.upload(array, values)
    return array


def problem(function, dtype=np.float64):
    rng = np.random.default_rng(3)
    x = rng.normal(size=SHAPE)
    return x.astype(dtype), rng.normal(size=function(x).shape).astype(dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_output_and_gradient_are_the_formulas(name):
    layer, function = LAYERS[name]
    x, dy = problem(function)
    before = x.copy(), dy.copy()
    y = layer(x)
    assert type(y.array) is np.ndarray
    assert_allclose(y.array, function(x), rtol=1e-12)
    for _ in range(2):  # nothing is used up
        assert_allclose(y.backward(dy), reference.gradient(function, x, dy), rtol=1e-6, atol=1e-8)
    assert_array_equal(x, before[0])
    assert_array_equal(dy, before[1])


@pytest.mark.parametrize("name", LAYERS)
def test_gpus_give_the_hosts(emulated, name):
    from cualex.devices.cuda import CudaDevice

    layer, function = LAYERS[name]
    x, dy = problem(function, np.float32)
    device = CudaDevice("cuda:0", emulated(), 0, "fp32")
    put = partial(held, device)
    expected, found = layer(x), apply(layer, put(x), device)
    assert_allclose(device.download(found.array), expected.array, rtol=1e-5, atol=1e-6)
    assert_allclose(device.download(found.backward(put(dy))), expected.backward(dy), rtol=1e-4, atol=1e-5)


def test_arrays_of_cupy_stay_on_their_gpu(cupy):
    layer, function = LAYERS["lrn"]
    x, dy = problem(function, np.float32)
    expected, found = layer(x), layer(cupy.asarray(x))
    assert isinstance(found.array, cupy.ndarray)
    assert_allclose(found.array.get(), expected.array, rtol=1e-5)
    dx = found.backward(cupy.asarray(dy))
    assert isinstance(dx, cupy.ndarray)
    assert_allclose(dx.get(), expected.backward(dy), rtol=1e-4, atol=1e-5)
    assert found.__dlpack_device__() == found.array.__dlpack_device__()
    with pytest.raises(UsageError, match=r"^dy must be float32 on cuda:0, as x is; got float32 on cpu$"):
        found.backward(dy)
    with pytest.raises(UsageError, match=r"^x must be contiguous on a GPU: give cupy.ascontiguousarray\(x\)$"):
        layer(cupy.asarray(x)[:, ::2])


def test_arrays_of_pytorch_go_in_and_out_by_dlpack():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no other library with DLPack")
    x, dy = problem(reference.relu, np.float32)
    y = ReLU()(torch.from_numpy(x))
    assert_array_equal(torch.from_dlpack(y).numpy(), np.maximum(x, 0))
    assert_array_equal(y.backward(torch.from_numpy(dy)), np.where(x > 0, dy, 0))
    assert_array_equal(np.asarray(y), y.array)
    assert np.asarray(y, np.float64).dtype == np.float64


def test_a_layer_holds_no_array_and_results_do_not_touch_each_other():
    layer, rng = LRN(alpha=0.5), np.random.default_rng(1)
    one, other = (rng.normal(size=SHAPE) for _ in range(2))
    first = layer(one)
    before = first.array.copy(), first.backward(one).copy()
    layer(other).backward(other)
    assert_array_equal(first.array, before[0])
    assert_array_equal(first.backward(one), before[1])
    assert vars(layer) == vars(LRN(alpha=0.5))
    assert layer == LRN(alpha=0.5)


def test_calls_from_several_threads_do_not_touch_each_other():
    """They share a device, and its work memory. Without a turn each, a few of these differ."""
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(4, 16, 13, 13)).astype(np.float32) for _ in range(4)]
    alone = [LRN(alpha=0.5)(x) for x in given]
    expected = [(y.array, y.backward(x)) for x, y in zip(given, alone, strict=True)]

    def again(which):
        for _ in range(15):
            y = LRN(alpha=0.5)(given[which])
            assert_array_equal(y.array, expected[which][0])
            assert_array_equal(y.backward(given[which]), expected[which][1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(again, range(4)))


def test_what_cannot_be_called_is_said():
    x = np.ones(SHAPE, np.float32)
    with pytest.raises(UsageError, match=r"^x must be float32, got int64$"):
        ReLU()(np.ones(SHAPE, np.int64))
    with pytest.raises(UsageError, match=r"^x must be \(images, channels, rows, columns\), got \(3, 4\)$"):
        ReLU()(x[0, :3, :4, 0])
    with pytest.raises(UsageError, match=r"^dy must have the shape of the output, \(2, 6, 3, 2\), got \(2, 6, 7, 5\)$"):
        MaxPool(3, 2)(x).backward(x)
    with pytest.raises(UsageError, match=r"^dy must be float32 on cpu, as x is; got float64 on cpu$"):
        ReLU()(x).backward(x.astype(np.float64))
    with pytest.raises(UsageError, match=r"^expected an array of NumPy or CuPy, or one with __dlpack__; got list$"):
        ReLU()([1.0])
    with pytest.raises(UsageError, match=r"^conv: 6 channels do not divide into 4 groups; x is \(2, 6, 7, 5\)$"):
        Conv(4, size=3, groups=4)(x)
    shape = r"^weight must be float32 or float64 of the shape \(4, 6, 3, 3\), got float32 \(4, 3, 3, 6\)$"
    with pytest.raises(UsageError, match=shape):
        Conv(4, size=3)(x, np.ones((4, 3, 3, 6), np.float32))
    with pytest.raises(UsageError, match=r"^bias must be float32 or float64 of the shape \(3,\), got int64 \(3,\)$"):
        Dense(3)(x, bias=np.zeros(3, int))
    with pytest.raises(UsageError, match=r"^x must be float32, got int64$"):
        BatchNorm()(np.ones(SHAPE, np.int64))
    with pytest.raises(TypeError, match="not callable"):
        Softmax()(x)


def test_weights_that_are_not_given_are_those_of_a_training():
    layer, x = Conv(4, size=3, std=None, bias=1.0), np.random.default_rng(0).normal(size=SHAPE)
    weight = layer.parameters(SHAPE[1:])["weight"].draw((4, 6, 3, 3), [7, zlib.crc32(b"weight")])
    drawn = layer(x, seed=7)
    assert_allclose(drawn.array, reference.conv(x, weight, np.ones(4)), rtol=1e-6, atol=1e-6)
    assert_array_equal(drawn.array, layer(x, seed=7).array)
    assert np.abs(drawn.array - layer(x, seed=8).array).max() > 0.01
    assert_array_equal(BatchNorm(epsilon=3.0)(x).array, x / 2)


@pytest.mark.parametrize("documented", [Conv, Dense, BatchNorm, calls.MapLayer.__call__])
def test_the_example_of_a_docstring_gives_its_output(documented):
    names = {"np": np, "LRN": LRN, "Conv": Conv, "Dense": Dense, "BatchNorm": BatchNorm}
    test, told = doctest.DocTestParser().get_doctest(documented.__doc__, names, "example", None, 0), []
    doctest.DocTestRunner().run(test, out=told.append)
    assert test.examples
    assert not told, "".join(told)


def test_a_forgotten_layout_is_noticed(monkeypatch):
    """Planted: channels are taken for columns."""
    layout = engine.find("host").layout
    monkeypatch.setattr(layout, "from_plain", lambda device, x, y: np.copyto(y, x.reshape(y.shape)))
    layer, function = LAYERS["lrn"]
    x, _ = problem(function)
    assert np.abs(layer(x).array - function(x)).max() > 0.01
