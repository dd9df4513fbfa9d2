"""Imported weights compute what their own programs compute, with every trap of their layouts."""

import dataclasses
import hashlib
import json
import tempfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli, networks, weights
from cualex.errors import DataError, WeightsError
from cualex.formats import load as loading
from cualex.model import Model
from tests.support import foreign_files

SMALL = {"classes": 3, "crop": 99, "width": 1 / 16}  # the last maps of Caffe's have a side of 2
WAYS = {
    "caffe": lambda network, tensors: foreign_files.caffemodel(network, foreign_files.caffe_order(tensors)),
    "caffe of 2014": lambda network, tensors: foreign_files.caffemodel(
        network, foreign_files.caffe_order(tensors), old=True
    ),
    "onnx zoo": lambda network, tensors: foreign_files.zoo(network, foreign_files.caffe_order(tensors)),
    "numpy": lambda network, tensors: foreign_files.npy(foreign_files.layers(network, tensors)),
    "numpy, bytes": lambda network, tensors: foreign_files.npy(foreign_files.layers(network, tensors), bytes),
    "numpy of Python 2": lambda network, tensors: foreign_files.python2_npy(foreign_files.layers(network, tensors)),
}


def made(name, rng, **numbers):
    """Make a small network with numbers that are all different, of a size at which signals stay as they are."""
    network = networks.build(name, **(SMALL | numbers))
    tensors = {}
    for full, shape in network.parameters().items():
        scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        tensors[full] = (rng.standard_normal(shape) * scale).astype(np.float32)
    if network.scale == 1:
        tensors["conv1.weight"] /= 60
    return network, tensors


def equal(found, tensors):
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], values), name


# --- where numbers land


@pytest.mark.parametrize("way", WAYS)
def test_every_number_lands_where_it_belongs(imported, rng, way):
    network, tensors = made("alexnet-caffe", rng)
    held, _ = imported(WAYS[way](network, tensors), crop=99)
    assert held.network == network
    equal(held.tensors, tensors)


@pytest.mark.parametrize("write", [foreign_files.pth, foreign_files.old_pth])
def test_torchvisions_numbers_land_where_they_belong(imported, rng, write):
    network, tensors = made("alexnet-torchvision", rng, crop=127)
    held, _ = imported(write(foreign_files.torchvision(tensors)), crop=127)
    assert held.network == network
    equal(held.tensors, tensors)


@pytest.mark.parametrize("way", ["caffe", "onnx zoo"])
def test_the_reference_network_is_known_by_the_order_of_its_layers(imported, rng, way):
    network, tensors = made("caffenet", rng)
    held, lines = imported(WAYS[way](network, tensors), crop=99)
    assert held.network == network
    equal(held.tensors, tensors)
    assert "caffenet" in lines["source"]


def test_one_number_in_each_layout():
    """By hand, without the helpers: conv1 reads blue first, fc6's rows run over row, column, channel."""
    network = networks.build("alexnet-caffe", **SMALL)
    layers = {}
    for name, shape in network.parameters().items():
        layer, last = name.split(".")
        layers.setdefault(layer, [None, None])[last == "bias"] = np.zeros(shape, np.float32)
    hwio = {name: [w.transpose(2, 3, 1, 0).copy() if w.ndim == 4 else w.T.copy(), b] for name, (w, b) in layers.items()}
    hwio["conv1"][0][2, 7, 0, 1] = 5  # row 2, column 7, blue, filter 1
    hwio["fc6"][0][(1 * 2 + 0) * 16 + 9, 4] = 7  # row 1, column 0, channel 9 of 16, output 4
    hwio["conv2"][0][4, 1, 2, 11] = 9  # channel 2 of its group: filter 11 of 16 is of the second group
    held = _through(foreign_files.npy(hwio))
    assert held["conv1.weight"][1, 2, 2, 7] == 5
    assert held["fc6.weight"][4, 9 * 4 + 2] == 7
    assert held["conv2.weight"][11, 2, 4, 1] == 9
    assert sum(np.count_nonzero(values) for values in held.values()) == 3


def _through(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return loading.load(file.name, crop=99)[0].tensors


# --- what they compute


def pictures(rng, network, count=2):
    return rng.integers(0, 256, (count, network.stored, network.stored, 3), np.uint8)


def seen(pictures, network):
    """Cut the middle out: float32 (n, 3, crop, crop), RGB."""
    begin = (network.stored - network.crop) // 2
    cut = pictures[:, begin : begin + network.crop, begin : begin + network.crop]
    return cut.transpose(0, 3, 1, 2).astype(np.float32)


def caffe_twin(torch, x, blobs, pooled_first):
    """Compute Caffe's network on BGR less the mean from the blobs as the file has them; LRN by its formula."""
    functional = torch.nn.functional

    def lrn(x, alpha=1e-4, n=5):
        padded = functional.pad(x**2, (0, 0, 0, 0, 2, 2))
        total = sum(padded[:, i : i + x.shape[1]] for i in range(n))
        return x / (1 + alpha / n * total) ** 0.75

    def pool(x):
        return functional.max_pool2d(x, 3, 2, ceil_mode=True)

    for number in range(1, 6):
        weight, bias = (
            torch.from_numpy(np.ascontiguousarray(blobs[f"conv{number}.{last}"])) for last in ("weight", "bias")
        )
        stride, pad = ((4, 0), (1, 2), (1, 1), (1, 1), (1, 1))[number - 1]
        x = functional.conv2d(x, weight, bias, stride, pad, groups=x.shape[1] // weight.shape[1]).relu()
        if number < 3:
            x = lrn(pool(x)) if pooled_first else pool(lrn(x))
    x = pool(x).flatten(1)
    for number in (6, 7, 8):
        weight, bias = (torch.from_numpy(blobs[f"fc{number}.{last}"]) for last in ("weight", "bias"))
        x = functional.linear(x, weight, bias)
        x = x.relu() if number < 8 else x
    return x.softmax(1).numpy()


@pytest.mark.parametrize(("name", "pooled_first"), [("alexnet-caffe", False), ("caffenet", True)])
def test_caffes_networks_compute_what_a_twin_in_pytorch_does(imported, rng, name, pooled_first):
    torch = pytest.importorskip("torch")
    network, tensors = made(name, rng)
    blobs = foreign_files.caffe_order(tensors)
    held, _ = imported(foreign_files.caffemodel(network, blobs, old=True), crop=99)
    given = pictures(rng, network)
    mean = np.float32([104.00699, 116.66877, 122.67891]).reshape(1, 3, 1, 1)
    x = torch.from_numpy(np.ascontiguousarray(seen(given, network)[:, ::-1] - mean))
    theirs = caffe_twin(torch, x, blobs, pooled_first)
    assert theirs.max() < 0.99  # so that a difference would show
    np.testing.assert_allclose(Model(held).probabilities(given), theirs, rtol=0, atol=1e-5)


def test_torchvisions_layout_computes_what_pytorch_does(imported, rng, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(5)
    model = nn.Module()
    pool = {"kernel_size": 3, "stride": 2}
    model.features = nn.Sequential(
        *(
            nn.Conv2d(3, 4, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(**pool),
            nn.Conv2d(4, 12, 5, padding=2),
            nn.ReLU(),
        ),
        *(nn.MaxPool2d(**pool), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1)),
        *(nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(**pool)),
    )
    model.classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(16 * 36, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 256), nn.ReLU()),
        nn.Linear(256, 3),
    )
    with torch.no_grad():
        model.classifier[6].weight *= 30
    model.eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    held, _ = loading.load(tmp_path / "w.pth")
    given = pictures(rng, held.network)
    shift, scale = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = (seen(given, held.network) / 255 - shift.reshape(3, 1, 1)) / scale.reshape(3, 1, 1)
    with torch.no_grad():
        theirs = model.classifier(model.features(torch.from_numpy(x)).flatten(1)).softmax(1).numpy()
    assert np.ptp(theirs) > 0.05
    np.testing.assert_allclose(Model(held).probabilities(given), theirs, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_towers_compute_the_same_but_beside_the_border(imported, rng):
    """With the maps beside the border of the towers silent, factors alone turn Caffe's weights into the paper's."""
    network, tensors = made("alexnet-caffe", rng, width=1 / 4, crop=67)
    for layer in ("conv1", "conv2"):
        filters = len(tensors[f"{layer}.bias"])
        for values in (tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]):
            values[filters // 2 - 2 : filters // 2 + 2] = 0
    tensors["conv1.weight"] *= 20  # loud, so that normalisation matters
    tensors["fc8.weight"] /= 20
    data = foreign_files.caffemodel(network, foreign_files.caffe_order(tensors))
    one, _ = imported(data, crop=67)
    two, lines = imported(data, crop=67, towers=2)
    assert (two.network.name, two.network.towers) == ("alexnet", 2)
    given = pictures(rng, network)
    expected = Model(one).probabilities(given)
    np.testing.assert_allclose(Model(two).probabilities(given), expected, rtol=0, atol=2e-6)
    assert lines["instead"] == "the weights are alexnet-caffe's and run as alexnet"
    assert "its windows cross" in lines["differs"]
    tensors["conv1.weight"][11] = 0.5  # now a map beside the border speaks
    tensors["conv1.weight"][12] = tensors["conv1.weight"][2]
    loud, _ = imported(foreign_files.caffemodel(network, foreign_files.caffe_order(tensors)), crop=67, towers=2)
    again, _ = imported(foreign_files.caffemodel(network, foreign_files.caffe_order(tensors)), crop=67)
    apart = np.abs(Model(loud).probabilities(given) - Model(again).probabilities(given)).max()
    assert apart > 1e-3


# --- means, classes


def test_a_mean_picture_is_turned_to_rgb(imported, rng, tmp_path):
    network, tensors = made("alexnet-caffe", rng)
    mean = rng.uniform(0, 255, (network.stored, network.stored, 3)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(foreign_files.binaryproto(mean))
    np.save(tmp_path / "mean.npy", mean[..., ::-1].transpose(2, 0, 1).astype("<f8"))
    data = foreign_files.caffemodel(network, foreign_files.caffe_order(tensors))
    for name in ("mean.binaryproto", "mean.npy"):
        held, lines = imported(data, crop=99, mean=tmp_path / name)
        assert np.array_equal(held.mean, mean)
        assert lines["mean"] == f"of {tmp_path / name}, its colours taken for BGR"


def test_a_mean_of_another_size_is_refused(imported, rng, tmp_path):
    network, tensors = made("alexnet-caffe", rng)
    np.save(tmp_path / "mean.npy", np.zeros((3, 5, 5)))
    with pytest.raises(DataError) as caught:
        imported(foreign_files.caffemodel(network, tensors), crop=99, mean=tmp_path / "mean.npy")
    side = network.stored
    assert str(caught.value) == (
        f"{tmp_path}/mean.npy: a mean of 3x5x5, expected 3 numbers or 3x{side}x{side}. Give another with --mean."
    )


def test_classes_come_from_a_list_or_are_numbered(imported, rng, tmp_path):
    network, tensors = made("alexnet-caffe", rng)
    data = foreign_files.caffemodel(network, tensors)
    assert imported(data, crop=99)[0].classes == ["class 0", "class 1", "class 2"]
    (tmp_path / "names").write_text("rose\n\ntulip, red\naster\n")
    assert imported(data, crop=99, classes=tmp_path / "names")[0].classes == ["rose", "tulip, red", "aster"]
    (tmp_path / "names").write_text("rose\n")
    with pytest.raises(
        DataError, match=r"names: 1 classes, and the network has 3 outputs\. Give a file with one class per line\."
    ):
        imported(data, crop=99, classes=tmp_path / "names")


def test_imagenets_names_come_with_the_tool(imported, rng):
    network, tensors = made("alexnet-caffe", rng, classes=1000)
    held, lines = imported(foreign_files.caffemodel(network, tensors), crop=99)
    assert held.classes[:2] == ["tench", "goldfish"]
    assert held.classes[281] == "tabby"
    assert held.classes[999] == "toilet tissue"
    assert (held.classes[134], held.classes[517]) == ("crane (n02012849)", "crane (n03126707)")
    assert (len(held.classes), len(set(held.classes))) == (1000, 1000)
    assert "n01440764 first" in lines["classes"]
    numbered, _ = imported(foreign_files.caffemodel(network, tensors), crop=99, classes="wordnet")
    assert (numbered.classes[0], numbered.classes[999]) == ("n01440764", "n15075141")
    assert numbered.classes == sorted(numbered.classes)


# --- what is refused


def refused(imported, data, **options):
    with pytest.raises(WeightsError) as caught:
        imported(data, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line.split(": ", 1)[1]


def test_another_shape_is_named(imported, rng):
    network, tensors = made("alexnet-caffe", rng)
    tensors["conv3.weight"] = np.zeros((24, 8, 3, 3), np.float32)
    assert refused(imported, foreign_files.caffemodel(network, tensors), crop=99) == (
        "conv3.0 is 24x8x3x3 here, alexnet-caffe has 24x16x3x3. Give its architecture with --network, "
        "or its input size with --crop."
    )


def test_another_crop_is_asked_for(imported, rng):
    network, tensors = made("alexnet-caffe", rng)
    line = refused(imported, foreign_files.caffemodel(network, tensors))
    assert line.startswith("fc6.0 is 256x64 here, alexnet-caffe has 256x576.")


def test_other_normalisation_is_refused(imported, rng):
    network, tensors = made("alexnet-caffe", rng)
    other = dataclasses.replace(network.layers["norm2"], alpha=1e-4)
    changed = dataclasses.replace(network, layers={**network.layers, "norm2": other})
    line = refused(imported, foreign_files.caffemodel(changed, tensors), crop=99)
    assert line.startswith("norm2 has alpha ")
    assert line.endswith("alexnet-caffe's norm2 2e-05. It is a different network, which is not supported.")


def test_a_tensor_more_or_less_is_refused(imported, rng):
    _, tensors = made("alexnet-torchvision", rng, crop=127)
    named = foreign_files.torchvision(tensors)
    more = foreign_files.pth({**named, "head.weight": np.zeros(3, np.float32)})
    assert refused(imported, more, crop=127) == (
        "has head.weight, which alexnet-torchvision does not have. Give its architecture with --network."
    )
    del named["features.6.bias"]
    assert refused(imported, foreign_files.pth(named), crop=127) == (
        "lacks features.6.bias, which belongs to torchvision's AlexNet (15 of its 16 tensors are here). "
        "Save all layers of the network, under these names."
    )


def test_numbers_that_are_none_are_refused(imported, rng):
    network, tensors = made("alexnet-caffe", rng)
    tensors["fc7.weight"][3, 4] = np.inf
    assert refused(imported, foreign_files.caffemodel(network, tensors), crop=99) == (
        "fc7.weight contains NaN or Inf, as after a training that diverged. Use an earlier file."
    )


def test_networks_that_differ_in_more_than_factors_are_refused(imported, rng):
    network, tensors = made("caffenet", rng)
    data = foreign_files.caffemodel(network, tensors)
    line = refused(imported, data, crop=99, network="alexnet")
    assert line.startswith("caffenet's weights cannot run as alexnet: ")
    assert refused(imported, data, crop=99, towers=2) == "caffenet has no variant with 2 towers. Leave out --towers."


# --- the command


def test_the_command_writes_what_predict_reads(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network, tensors = made("alexnet-caffe", rng)
    data = foreign_files.caffemodel(network, foreign_files.caffe_order(tensors))
    (tmp_path / "net.caffemodel").write_bytes(data)
    Image.fromarray(rng.integers(0, 256, (120, 130, 3), np.uint8)).save("cat.png")
    done = CliRunner().invoke(cli.main, ["import", "net.caffemodel", "--crop", "99"])
    assert done.exit_code == 0, done.output
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert lines["SHA-256"].strip() == hashlib.sha256(data).hexdigest()
    assert "cannot tell a changed value" in lines["checksum"]
    assert lines["written"].strip() == "net.cualex.safetensors"
    equal(weights.load("net.cualex.safetensors").tensors, tensors)
    named = CliRunner().invoke(cli.main, ["predict", "cat.png", "-w", "net.cualex.safetensors", "--json"])
    assert named.exit_code == 0, named.output
    assert "class " in named.stdout
    again = CliRunner().invoke(cli.main, ["import", "net.caffemodel", "--crop", "99", "--json"])
    assert json.loads(again.stdout)["network"] == "alexnet-caffe"


def test_the_command_refuses_in_one_line(tmp_path):
    (tmp_path / "x").write_bytes(b"GGUF")
    done = CliRunner().invoke(cli.main, ["import", str(tmp_path / "x")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {tmp_path}/x: a GGUF file. Convert it to ONNX, or save its tensors under PyTorch's names as "
        "safetensors, and import that.\n"
    )
    done = CliRunner().invoke(cli.main, ["import", str(tmp_path / "x"), "--network", "alexnt"])
    assert done.exit_code in (1, 2)


def test_the_file_that_is_read_is_never_replaced(tmp_path):
    source = tmp_path / "weights.caffemodel"
    source.write_bytes(b"anything")
    result = CliRunner().invoke(cli.main, ["import", str(source), "-o", str(tmp_path / "." / "weights.caffemodel")])
    assert result.exit_code == 2
    assert "is the file that is read, and would be replaced: choose another --output." in result.stderr
    assert source.read_bytes() == b"anything"
