"""What is exported computes what our network does, in the other program, and comes back to the bit."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli, networks, weights
from cualex.errors import UsageError
from cualex.formats import load
from cualex.formats.caffe import export as caffe_export
from cualex.formats.caffe import graph
from cualex.formats.onnx import export as onnx_export
from cualex.formats.torch import export as torch_export
from cualex.model import Model
from tests.support.export_cases import CASES, made

NOT_FOR_CAFFE = ("alexnet-2012", "alexnet-batchnorm", "lenet5, GELU")


def pictures(network, count=2):
    """Draw noise, the later pictures darker."""
    rng = np.random.default_rng(7)
    given = rng.integers(0, 256, (count, network.stored, network.stored, 3), np.uint8)
    return given // (1 + 3 * np.arange(count, dtype=np.uint8)).reshape(-1, 1, 1, 1)


def seen(network, given):
    """Cut the middle out: float32 (n, 3, crop, crop), RGB."""
    begin = (network.stored - network.crop) // 2
    cut = given[:, begin : begin + network.crop, begin : begin + network.crop]
    return np.ascontiguousarray(cut.transpose(0, 3, 1, 2), np.float32)


def same(found, held):
    assert found.network == held.network
    assert found.classes == held.classes
    assert np.array_equal(found.mean, held.mean)
    assert found.tensors.keys() == held.tensors.keys()
    for name, values in held.tensors.items():
        assert np.array_equal(found.tensors[name], values), name


@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_computes_what_we_do(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    held = made(name)
    onnx_export.save(tmp_path / "net.onnx", held)
    given = pictures(held.network)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (theirs,) = session.run(None, {"picture": seen(held.network, given)})
    ours = Model(held).probabilities(given)
    assert ours.max(axis=1).min() < 0.999
    assert np.ptp(ours, axis=0).max() > 1e-3  # the pictures matter
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", networks.names())
def test_onnx_is_what_its_own_checker_wants(name, tmp_path):
    onnx = pytest.importorskip("onnx")
    onnx_export.save(tmp_path / "net.onnx", made(name))
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("to", [onnx_export, torch_export])
def test_everything_comes_back_to_the_bit(name, to, tmp_path):
    held = made(name)
    to.save(tmp_path / "net", held)
    same(load.load(tmp_path / "net")[0], held)


@pytest.mark.parametrize("name", ["alexnet-caffe", "caffenet"])
def test_caffes_networks_come_back_from_caffe(name, tmp_path):
    held = made(name)
    files = caffe_export.save(tmp_path / "net.caffemodel", held)
    assert [file.name for file in files] == ["net.caffemodel", "net.prototxt", "net.binaryproto"]
    found, _ = load.load(files[0], crop=99, mean=files[2])
    assert found.network == held.network
    assert np.array_equal(found.mean, held.mean)
    assert all(np.array_equal(found.tensors[name], values) for name, values in held.tensors.items())


def test_other_networks_do_not_come_back_from_caffe_as_what_they_are_not(tmp_path):
    """alexnet's towers are Caffe's groups, but its normalisation ends at the end of a tower."""
    caffe_export.save(tmp_path / "net.caffemodel", made("alexnet"))
    with pytest.raises(Exception, match=r"its LRN and pooling .* match no known AlexNet"):
        load.load(tmp_path / "net.caffemodel", crop=99)


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_FOR_CAFFE])
def test_opencv_computes_caffes_files_as_we_do(name, tmp_path):
    """alexnet-batchnorm's pools are rounded down, which Caffe can since 2019 and OpenCV cannot."""
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 reads no Caffe")
    held = made(name)
    model, text, _ = caffe_export.save(tmp_path / "net.caffemodel", held)
    given = pictures(held.network, 1)
    network = cv2.dnn.readNetFromCaffe(str(text), str(model))
    network.setInput(np.ascontiguousarray(seen(held.network, given - held.mean)[:, ::-1]))
    np.testing.assert_allclose(network.forward().reshape(1, -1), Model(held).probabilities(given), rtol=0, atol=1e-5)


def test_a_prototxt_word_for_word():
    held = made("alexnet")
    entries = graph.Layers(held.network, held.tensors).entries
    text = caffe_export.prototxt("alexnet", 99, entries)
    assert text.startswith(
        "# data: BGR from 0 to 255, less the mean picture at the crop.\n"
        'name: "alexnet"\n'
        'layer {\n  name: "data"\n  type: "Input"\n  top: "data"\n'
        "  input_param { shape: { dim: 1 dim: 3 dim: 99 dim: 99 } }\n}\n"
        'layer {\n  name: "conv1"\n  type: "Convolution"\n  bottom: "data"\n  top: "conv1"\n'
        "  convolution_param {\n    num_output: 6\n    kernel_size: 11\n    stride: 4\n    pad: 0\n    group: 1\n"
        "  }\n}\n"
    )
    # The paper's k is 2 and its sum is not divided: 1e-4 * 5 / 2, k 1, and the weights take the rest.
    assert (
        'layer {\n  name: "norm1_0"\n  type: "LRN"\n  bottom: "norm1_in_0"\n  top: "norm1_0"\n'
        "  lrn_param {\n    local_size: 5\n    alpha: 0.0002500000118743628\n    beta: 0.75\n    k: 1.0\n  }\n}\n"
    ) in text
    assert text.count("group: 2") == 3


def test_what_caffe_cannot_do_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"^Caffe has no layer for gelu\. Use --to onnx\.$"):
        caffe_export.save(tmp_path / "gelu.caffemodel", made("lenet5, GELU"))
    with pytest.raises(UsageError) as caught:
        caffe_export.save(tmp_path / "net.caffemodel", made("alexnet-2012"))
    assert str(caught.value) == (
        "Caffe has no convolution with padding on one side, as conv1 of alexnet-2012 does. Use --to onnx."
    )
    assert list(tmp_path.iterdir()) == []


def test_alphas_and_towers_in_onnx(tmp_path):
    """alpha is multiplied with the window, and normalisation is done for each tower by itself."""
    onnx = pytest.importorskip("onnx")
    onnx_export.save(tmp_path / "net.onnx", made("alexnet"))
    model = onnx.load(tmp_path / "net.onnx")
    assert (model.ir_version, model.opset_import[0].version) == (7, 13)
    nodes = [node for node in model.graph.node if node.op_type == "LRN"]
    assert len(nodes) == 4
    numbers = {each.name: onnx.helper.get_attribute_value(each) for each in nodes[0].attribute}
    assert numbers == pytest.approx({"alpha": 5e-4, "beta": 0.75, "bias": 2, "size": 5})
    assert not any(node.op_type == "Dropout" for node in model.graph.node)
    notes = {each.key: each.value for each in model.metadata_props}
    assert json.loads(notes["cualex.classes"]) == ["a", "b", "ç", "d e", "f"]


def test_pytorchs_names_and_classic_dropout(tmp_path):
    """torchvision's module takes the tensors; classic dropout, which multiplies at test, is in the weights above."""
    from safetensors.numpy import load_file

    held = made("alexnet-torchvision")
    torch_export.save(tmp_path / "net", held)
    found = load_file(tmp_path / "net")
    assert found["features.10.weight"].tobytes() == held.tensors["conv5.weight"].tobytes()
    layers = [f"features.{number}" for number in (0, 3, 6, 8, 10)] + [f"classifier.{number}" for number in (1, 4, 6)]
    assert set(found) == {f"{layer}.{last}" for layer in layers for last in ("weight", "bias")}
    classic = made("alexnet")
    torch_export.save(tmp_path / "classic", classic)
    found = load_file(tmp_path / "classic")
    assert np.array_equal(found["fc6.weight"], classic.tensors["fc6.weight"])
    assert np.array_equal(found["fc7.weight"], classic.tensors["fc7.weight"] / 2)
    assert np.array_equal(found["fc7.bias"], classic.tensors["fc7.bias"])


def test_own_maps_first_become_the_order_of_the_towers(tmp_path):
    """In 2012 the second tower's fc7 had its own units first."""
    from safetensors.numpy import load_file

    held = made("alexnet-2012")
    torch_export.save(tmp_path / "net", held)
    found, own = load_file(tmp_path / "net")["fc7.weight"] * 2, held.tensors["fc7.weight"]
    half = len(own) // 2
    assert np.array_equal(found[:half], own[:half])
    assert np.array_equal(found[half:, :half], own[half:, half:])
    assert np.array_equal(found[half:, half:], own[half:, :half])


@pytest.mark.parametrize("to", ["onnx", "torch", "caffe"])
def test_the_command(to, tmp_path):
    held = made("alexnet-caffe")
    weights.save(tmp_path / "w", held)
    words = ["export", "-w", tmp_path / "w", "--to", to, "-o", tmp_path / "out"]
    done = CliRunner().invoke(cli.main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    files = done.stdout.splitlines()
    assert files[0] == f"{tmp_path}/out"
    found, _ = load.load(files[0], **({"crop": 99} if to == "caffe" else {}))
    assert all(np.array_equal(found.tensors[name], values) for name, values in held.tensors.items())
