"""Keras's files of the lectures' network, in the layouts of Keras 2 and 3, and what of HDF5 is refused."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest

from cualex import networks
from cualex.errors import WeightsError
from cualex.model import Model

h5py = pytest.importorskip("h5py")
SMALL = {"classes": 5, "width": 1 / 32}
PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "mean", "moving_variance": "variance"}
CLASSES = {"conv": "conv2d", "dense": "dense", "batchnorm": "batch_normalization"}


@pytest.fixture(scope="module")
def network():
    return networks.build("alexnet-batchnorm", **SMALL)


@pytest.fixture(scope="module")
def tensors(network):
    rng = np.random.default_rng(17)
    made = {}
    for name, shape in network.tensors().items():
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        made[name] = (np.abs(values) + 0.5 if name.endswith("variance") else values).astype(np.float32)
    return made


def layers(network, tensors):
    """Return (class, {part: values}) of the layers with weights, in Keras's order of axes."""
    for stage in network.stages():
        name, kind = stage.name, stage.layer.kind
        if kind == "batchnorm":
            yield kind, {part: tensors[f"{name}.{last}"] for part, last in PARTS.items()}
        elif stage.parameters:
            weight = tensors[f"{name}.weight"]
            if kind == "conv":
                weight = weight.transpose(2, 3, 1, 0)
            else:
                weight = (
                    weight.reshape(len(weight), *stage.reading.shape).transpose(2, 3, 1, 0).reshape(-1, len(weight))
                )
            yield kind, {"kernel": weight, "bias": tensors[f"{name}.bias"]}


def keras2(network, tensors, inside="model_weights", first=1, **options):
    """Write a whole model as Keras 2: groups by layer, the order in attributes; numbers go on from other models."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        root = file.create_group(inside) if inside else file
        names, counts = [b"activation_1"], {}
        root.create_group("activation_1").attrs["weight_names"] = []
        for kind, parts in layers(network, tensors):
            number = counts[kind] = counts.get(kind, first - 1) + 1
            name = f"{CLASSES[kind]}_{number}"
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in parts]
            for part, values in parts.items():
                group.create_dataset(f"{name}/{part}:0", data=values, **options)
            names.append(name.encode())
        root.attrs["layer_names"] = names
    return made.getvalue()


def keras3(network, tensors, first=0):
    """Write weights as Keras 3: arrays by number; the seeds of dropout are there too."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        counts = {}
        for kind, parts in layers(network, tensors):
            number = counts.get(kind, first)
            counts[kind] = number + 1
            name = CLASSES[kind] + (f"_{number}" if number else "")
            for index, values in enumerate(parts.values()):
                file[f"layers/{name}/vars/{index}"] = values
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        file.create_group("layers/flatten/vars")
    return made.getvalue()


def zipped(weights, config=None, compression=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(config or {}))
        archive.writestr("model.weights.h5", weights)
    return made.getvalue()


def described(network, **changes):
    """Describe the layers as Keras does in config.json; changes are of the first layer of a class."""
    rows = []
    for name, layer in network.layers.items():
        own = {"name": name}
        if layer.kind == "conv":
            kind, own = "Conv2D", own | {"strides": [layer.stride] * 2, "padding": "valid", "groups": 1}
        elif layer.kind == "dense":
            kind = "Dense"
        elif layer.kind == "maxpool":
            kind, own = "MaxPooling2D", own | {"pool_size": [layer.size] * 2, "strides": [layer.stride] * 2}
        elif layer.kind == "batchnorm":
            kind, own = "BatchNormalization", own | {"epsilon": layer.epsilon}
        else:
            kind, own = ("Dropout" if layer.kind == "dropout" else "Activation"), own | {"activation": layer.kind}
        if kind == "Dropout":
            own.pop("activation")
        rows.append({"class_name": kind, "config": own | changes.pop(kind, {})})
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": rows}}


WAYS = {
    "Keras 2, a model": keras2,
    "Keras 2, weights alone": lambda *given: keras2(*given, inside=""),
    "Keras 2, a second model": lambda *given: keras2(*given, first=9),
    "Keras 3, weights alone": keras3,
    "Keras 3, numbered on": lambda *given: keras3(*given, first=7),  # dense_9, dense_10
    "Keras 3, a model": lambda network, tensors: zipped(keras3(network, tensors), described(network)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_number_lands_where_it_belongs(imported, network, tensors, way):
    held, lines = imported(WAYS[way](network, tensors))
    assert held.network == network
    assert held.tensors.keys() == tensors.keys()
    for name, values in tensors.items():
        assert np.array_equal(held.tensors[name], values), name
    assert not held.mean.any()
    assert "divided by 255" in lines["assumed"]


def test_it_computes_what_the_layers_of_keras_do(imported, network, tensors):
    """By hand from the arrays as Keras has them: ReLU, pooling or dropout, and the norm last."""
    held, _ = imported(keras3(network, tensors))
    images = np.random.default_rng(3).integers(0, 256, (1, 256, 256, 3), np.uint8)
    x = images[:, 16:240, 16:240] / 255
    for name, (kind, parts) in enumerate(layers(network, tensors)):
        if kind == "conv":
            size, stride = parts["kernel"].shape[0], 4 if name == 0 else 1
            windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
            x = np.maximum(np.einsum("npqchw,hwco->npqo", windows, parts["kernel"]) + parts["bias"], 0)
            if parts["kernel"].shape[3] != 384 // 32:
                rows = x.shape[1] // 2 * 2
                x = x[:, :rows, :rows].reshape(1, rows // 2, 2, rows // 2, 2, -1).max((2, 4))
        elif kind == "dense":
            x = x.reshape(1, -1) @ parts["kernel"] + parts["bias"]
            x = x if len(parts["bias"]) == 5 else np.maximum(x, 0)
        else:
            scale = parts["gamma"] / np.sqrt(parts["moving_variance"] + 1e-3)
            x = (x - parts["moving_mean"]) * scale + parts["beta"]
    powers = np.exp(x - x.max())
    expected = powers / powers.sum()
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(Model(held).probabilities(images), expected, rtol=0, atol=1e-5)


def refused(imported, data):
    with pytest.raises(WeightsError) as caught:
        imported(data)
    line = str(caught.value)
    assert "\n" not in line
    return line.split(": ", 1)[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Conv2D": {"strides": [2, 2]}}, "has stride 2, alexnet-batchnorm's conv1 4"),
        ({"Conv2D": {"padding": "same"}}, "has pad None, alexnet-batchnorm's conv1 0"),
        ({"MaxPooling2D": {"pool_size": [3, 3]}}, "has size 3, alexnet-batchnorm's pool1 2"),
        ({"BatchNormalization": {"epsilon": 1e-5}}, "has epsilon 1e-05, alexnet-batchnorm's norm1 0.001"),
        ({"Activation": {"activation": "tanh"}}, "its layers are conv, tanh, maxpool"),
    ],
)
def test_other_hyperparameters_are_refused(imported, network, tensors, changes, words):
    assert words in refused(imported, zipped(keras3(network, tensors), described(network, **changes)))


def broken(change):
    """Write a file of Keras 3 and change it."""

    def write(network, tensors):
        made = io.BytesIO(keras3(network, tensors))
        with h5py.File(made, "r+") as file:
            change(file)
        return made.getvalue()

    return write


def replaced(file, **data):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars"].create_dataset("1", **data)


def linked(link):
    def change(file):
        del file["layers/conv2d/vars/1"]
        file["layers/conv2d/vars/1"] = link

    return change


def virtual(file):
    del file["layers/conv2d/vars/1"]
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file["layers/conv2d/vars"].create_virtual_dataset("1", layout)


HARMFUL = {
    "a link to another file": (linked(h5py.ExternalLink("/etc/passwd", "/x")), "is a link, which is not followed"),
    "a soft link": (linked(h5py.SoftLink("/layers/conv2d/vars/0")), "is a link, which is not followed"),
    "numbers in another file": (
        lambda file: replaced(file, shape=(3,), dtype="f4", external=[("/etc/passwd", 0, 12)]),
        "is compressed, in pieces or elsewhere",
    ),
    "a virtual data set": (virtual, "is compressed, in pieces or elsewhere"),
    "compressed": (
        lambda file: replaced(file, data=np.zeros(3, "f4"), compression="gzip"),
        "is compressed, in pieces or elsewhere",
    ),
    "integers": (lambda file: replaced(file, data=np.zeros(3, "i4")), "has dtype <i4, expected a floating-point dtype"),
    "one array too few": (lambda file: file.__delitem__("layers/conv2d/vars/1"), "has 1 arrays, expected 2"),
    "a layer too few": (lambda file: file.__delitem__("layers/conv2d_4"), "lacks conv.5.kernel"),
    "an array of texts": (lambda file: replaced(file, data=[b"x"]), "has dtype |O"),
}


@pytest.mark.parametrize("kind", HARMFUL)
def test_what_is_no_plain_array_is_refused(imported, network, tensors, kind):
    change, words = HARMFUL[kind]
    assert words in refused(imported, broken(change)(network, tensors))


def test_other_hdf5_is_named(imported):
    def written(**data):
        made = io.BytesIO()
        with h5py.File(made, "w") as file:
            for name, values in data.items():
                file[name.replace("__", "/")] = values
        return made.getvalue()

    assert refused(imported, written(conv_1__conv_1_W=np.zeros(3))).startswith(
        "HDF5 without the layers of a Keras model"
    )
    assert refused(imported, written(data__conv1__0=np.zeros(3))).startswith("Caffe's weights in HDF5")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_half_a_download_is_said(imported, network, tensors, part):
    whole = keras2(network, tensors)
    assert refused(imported, whole[: int(part * len(whole))]).startswith("damaged or incomplete Keras file (")


def test_a_compressed_zip_is_refused(imported, network, tensors):
    line = refused(imported, zipped(keras3(network, tensors), compression=zipfile.ZIP_DEFLATED))
    assert line.startswith("metadata.json is compressed, expected stored.")


def test_without_h5py_the_way_out_is_said(imported, network, tensors, monkeypatch):
    data = keras3(network, tensors)
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = refused(imported, data)
    assert line == 'HDF5, as Keras writes it, and h5py is not installed. Install it: pip install "cualex[keras]"'
