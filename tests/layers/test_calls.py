"""Layers that are called with arrays: formulas and gradients, both engines, DLPack, and what is refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex.errors import UsageError
from cualex.layers import LRN, Activation, AveragePool, Conv, Dropout, MaxPool, MeanDropout, ReLU, SpatialLRN, calls
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

    def put(values):
        array = device.allocate(values.shape, np.float32)
        device.upload(array, values)
        return array

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
    with pytest.raises(TypeError, match="not callable"):
        Conv(4, size=3)(x)


def test_a_forgotten_layout_is_noticed(monkeypatch):
    """Planted: channels are taken for columns."""
    layout = calls.engine.find("host").layout
    monkeypatch.setattr(layout, "from_plain", lambda device, x, y: np.copyto(y, x.reshape(y.shape)))
    layer, function = LAYERS["lrn"]
    x, _ = problem(function)
    assert np.abs(layer(x).array - function(x)).max() > 0.01
