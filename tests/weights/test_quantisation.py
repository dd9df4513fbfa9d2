"""Weights in 8 bits, one scale a filter, and the files that hold them."""

from dataclasses import replace

import numpy as np
import pytest

from cualex import weights
from cualex.errors import WeightsError
from cualex.weights import initial, quantisation
from tests.support import small_alexnet


def loud(shape, seed=0):
    """Return a tensor whose filters differ a thousandfold in size."""
    generator = np.random.default_rng(seed)
    sizes = 10.0 ** generator.uniform(-2, 1, shape[0])
    return (generator.standard_normal(shape) * sizes.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 3, 2, 7), (4, 9), (1, 1)])
def test_each_filter_is_off_by_half_a_step_of_its_own_at_the_most(shape):
    tensor = loud(shape)
    q, scale = quantisation.quantise(tensor)
    assert (q.dtype, q.shape, scale.dtype, scale.shape) == (np.int8, shape, np.float32, shape[:1])
    exact = np.abs(tensor.astype(np.float64)).reshape(shape[0], -1).max(axis=1) / 127
    np.testing.assert_allclose(scale, exact, rtol=2**-23)
    off = np.abs(quantisation.dequantise(q, scale).astype(np.float64) - tensor).reshape(shape[0], -1).max(axis=1)
    # Half a step, and the roundings of the division, the scale and the product, each of 127 steps.
    assert (off <= exact * (0.5 + 3 * 127 * 2.0**-24)).all()
    assert np.abs(q).reshape(shape[0], -1).max(axis=1).tolist() == [127] * shape[0]


def test_a_filter_of_zeros_stays_zero():
    tensor = loud((3, 4))
    tensor[1] = 0
    q, scale = quantisation.quantise(tensor)
    assert scale[1] == 0
    assert (quantisation.dequantise(q, scale)[1] == 0).all()


def test_what_is_quantised_again_is_the_same():
    tensor = quantisation.dequantise(*quantisation.quantise(loud((6, 5, 3, 3))))
    np.testing.assert_array_equal(quantisation.dequantise(*quantisation.quantise(tensor)), tensor)


def test_biases_and_names_stay():
    tensors = {"conv1.weight": loud((4, 3, 2, 2)), "conv1.bias": loud((4,))}
    made = quantisation.quantised(tensors)
    assert list(made) == ["conv1.weight", "conv1.weight.scale", "conv1.bias"]
    restored = quantisation.restored(made)
    assert list(restored) == list(tensors)
    np.testing.assert_array_equal(restored["conv1.bias"], tensors["conv1.bias"])
    np.testing.assert_array_equal(
        restored["conv1.weight"], quantisation.dequantise(*quantisation.quantise(tensors["conv1.weight"]))
    )


# --- files


def held(seed=3):
    network = small_alexnet.network(width=1 / 32)
    tensors = initial.draw(network, seed)
    mean = np.random.default_rng(1).uniform(0, 255, (network.stored, network.stored, 3)).astype(np.float32)
    return weights.Weights(network, tensors, [f"class {n}" for n in range(network.classes)], mean)


def test_a_file_in_eight_bits_holds_the_quantised_weights_and_all_else_as_it_was(tmp_path):
    whole = held()
    weights.save(tmp_path / "whole.safetensors", whole)
    weights.save(tmp_path / "eight.safetensors", whole, eight_bits=True)
    read = weights.load(tmp_path / "eight.safetensors")
    assert (read.classes, read.network) == (whole.classes, whole.network)
    np.testing.assert_array_equal(read.mean, whole.mean)
    expected = quantisation.restored(quantisation.quantised(whole.tensors))
    assert list(read.tensors) == sorted(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(read.tensors[name], tensor)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "eight")]
    counted = sum(tensor.size for tensor in whole.tensors.values() if tensor.ndim > 1)
    filters = sum(len(tensor) for tensor in whole.tensors.values() if tensor.ndim > 1)
    assert abs((sizes[0] - sizes[1]) - (3 * counted - 4 * filters)) < 1500  # but for the header


def test_the_same_weights_give_the_same_file(tmp_path):
    for name in ("a", "b"):
        weights.save(tmp_path / name, held(), eight_bits=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("change", ["a scale is gone", "a weight is float32", "a byte is another"])
def test_a_file_that_was_changed_is_refused(tmp_path, change):
    import safetensors.numpy

    path = tmp_path / "eight.safetensors"
    weights.save(path, held(), eight_bits=True)
    if change == "a byte is another":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if change == "a scale is gone":
            del tensors["conv1.weight.scale"]
        else:
            tensors["conv1.weight"] = tensors["conv1.weight"].astype(np.float32)
        safetensors.numpy.save_file(tensors, path, metadata)
    expected = {
        "a scale is gone": "lacks conv1.weight.scale",
        "a weight is float32": "conv1.weight is F32 .*, expected I8",
        "a byte is another": "checksum mismatch",
    }
    with pytest.raises(WeightsError, match=expected[change]):
        weights.load(path)


def test_a_usual_file_has_no_eight_bits(tmp_path):
    path = tmp_path / "usual.safetensors"
    whole = held()
    weights.save(path, replace(whole, notes={"a": "b"}))
    read = weights.load(path)
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(read.tensors[name], tensor)
