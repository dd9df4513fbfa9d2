"""Every format is read to the bit as its own program wrote it; where another library can write it, that one as well."""

import collections
import io
import re
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from cualex import networks
from cualex.errors import WeightsError
from cualex.formats import recognise
from cualex.formats.reading.contents import Contents
from tests.support import foreign_files
from tests.support.foreign_files import field

SMALL = {"classes": 3, "crop": 67, "width": 1 / 16}


@pytest.fixture
def network():
    return networks.build("alexnet-one-tower", **SMALL)


@pytest.fixture
def tensors(rng, network):
    """Make numbers that are all different."""
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in network.parameters().items()}


@pytest.fixture
def found(tmp_path):
    """Read a file under a name that says nothing: what was found, and its numbers."""

    def read(data):
        (tmp_path / "file").write_bytes(data)
        with Contents(tmp_path / "file") as contents:
            made = recognise.read(contents, tmp_path / "file")
            return made, {name: tensor.read() for name, tensor in made.tensors.items()}

    return read


def equal(numbers, expected):
    assert numbers.keys() == expected.keys()
    for name, values in expected.items():
        assert numbers[name].dtype == values.dtype, name
        assert np.array_equal(numbers[name], values), name


def blobs(tensors):
    """Name tensors as Caffe numbers them."""
    return {name.replace("weight", "0").replace("bias", "1"): values for name, values in tensors.items()}


@pytest.mark.parametrize("double", [False, True])
def test_caffe_in_its_present_layout(found, network, tensors, double):
    made, numbers = found(foreign_files.caffemodel(network, tensors, double=double))
    equal(numbers, {name: each.astype("<f8") if double else each for name, each in blobs(tensors).items()})
    assert made.format == "caffe"
    assert made.layers[:3] == [("conv1", "Convolution"), ("relu1", "ReLU"), ("norm1", "LRN")]


def test_caffe_in_its_old_layout_with_four_lengths(found, network, tensors):
    made, numbers = found(foreign_files.caffemodel(network, tensors, old=True))
    four = {name: values.reshape((1,) * (4 - values.ndim) + values.shape) for name, values in tensors.items()}
    equal(numbers, blobs(four))
    assert made.layers[:4] == [
        ("conv1", "Convolution"),
        ("relu1", "ReLU"),
        ("norm1", "LRN"),
        ("pool1", "Pooling"),
    ]


@pytest.mark.parametrize("raw", [False, True])
def test_onnx_with_numbers_as_bytes_and_as_a_list(found, network, tensors, raw):
    made, numbers = found(foreign_files.zoo(network, tensors, raw))
    equal(
        numbers,
        {name.replace(".weight", "_w_0").replace(".bias", "_b_0"): each for name, each in tensors.items()},
    )
    assert "OC2_DUMMY_1" not in numbers  # a shape, no weights
    assert made.layers[0] == ("conv1_1", "Conv")


def test_onnx_written_by_its_own_package(found, tensors):
    onnx = pytest.importorskip("onnx")
    initializers = [onnx.numpy_helper.from_array(values, name) for name, values in tensors.items()]
    graph = onnx.helper.make_graph([], "g", [], [], initializers)
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"cualex.classes": "[]"})
    made, numbers = found(model.SerializeToString())
    equal(numbers, tensors)
    assert made.notes == {"cualex.classes": "[]"}


@pytest.mark.parametrize("write", [foreign_files.pth, foreign_files.old_pth])
def test_pytorch(found, tensors, write):
    made, numbers = found(write(tensors))
    equal(numbers, tensors)
    assert made.sums == (write is foreign_files.pth)


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_written_by_itself(found, tensors, zipped):
    """With the state of a state_dict, and once inside what a training script saves, wrapped for data parallelism."""
    torch = pytest.importorskip("torch")
    state = collections.OrderedDict((name, torch.from_numpy(values)) for name, values in tensors.items())
    state["conv2.weight"] = state["conv2.weight"].to(memory_format=torch.channels_last)
    state["fc7.weight"] = state["fc7.weight"].T.contiguous().T
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    wrapped = {"module." + name: value for name, value in state.items()}
    script = {
        "epoch": 3,
        "best": 0.5,
        "state_dict": wrapped,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    }
    for value, path in ((state, ""), (script, "state_dict.")):
        file = io.BytesIO()
        torch.save(value, file, _use_new_zipfile_serialization=zipped)
        equal(found(file.getvalue())[1], {path + name: each for name, each in tensors.items()})


@pytest.mark.parametrize("names", [str, bytes])
@pytest.mark.parametrize("pairs", [True, False])
def test_numpy_dictionary(found, network, tensors, names, pairs):
    """NumPy's own, with a list for each layer, and the converter's with a dictionary for each."""
    layers = foreign_files.layers(network, tensors)
    expected = {f"{name}.{index}": values for name, parts in layers.items() for index, values in enumerate(parts)}
    if not pairs:
        layers = {name: dict(zip(("weights", "biases"), parts, strict=True)) for name, parts in layers.items()}
    equal(found(foreign_files.npy(layers, names))[1], expected)


def test_numpy_dictionary_of_python_2(found, network, tensors):
    layers = foreign_files.layers(network, tensors)
    expected = {f"{name}.{index}": values for name, parts in layers.items() for index, values in enumerate(parts)}
    file = foreign_files.python2_npy(layers)
    held = np.load(io.BytesIO(file), allow_pickle=True, encoding="latin1").item()
    assert np.array_equal(held["fc6"][0], layers["fc6"][0])  # so it is what NumPy itself would read
    equal(found(file)[1], expected)


def test_numpy_dictionary_in_fortran_order(found, rng):
    values = rng.standard_normal((5, 7)).astype(np.float32)
    assert np.array_equal(found(foreign_files.npy({"fc": [np.asfortranarray(values)]}))[1]["fc.0"], values)


def test_safetensors(found, tensors):
    from safetensors.numpy import save

    made, numbers = found(save(tensors, {"note": "text"}))
    equal(numbers, tensors)
    assert made.notes == {"note": "text"}


def test_a_mean_picture_of_caffe_and_of_numpy(rng, tmp_path):
    mean = rng.uniform(0, 255, (5, 5, 3)).astype(np.float32)
    (tmp_path / "mean").write_bytes(foreign_files.binaryproto(mean))
    with Contents(tmp_path / "mean") as contents:
        tensor = recognise.read_mean(contents)
        assert np.array_equal(tensor.read(), mean[None, ..., ::-1].transpose(0, 3, 1, 2))
    np.save(tmp_path / "mean.npy", mean.astype("<f8"))
    with Contents(tmp_path / "mean.npy") as contents:
        assert np.array_equal(recognise.read_mean(contents).read(), mean)


def plain_zip(members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file. Copy or download it again"),
        (b"\x1f\x8b" + bytes(100), "compressed"),
        (b"<html>not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer, and not the file"),
        (b"\x80\x04}.", "a pickle, but none of PyTorch's"),
        (b'name: "AlexNet"\nlayers {', "a prototxt, Caffe's description of a network, and no weights"),
        (b"hello", "a text, and no weights"),
        (b"\n\n <!DOCTYPE html><html>", "a web page"),
        (b"\xff\xfe\xfd", r"unknown format.+give them to -w or --from"),
        (b"BZh9" + bytes(20), r"compressed \(bzip2\)\. Unpack it"),
        (b"MATLAB 5.0 MAT-file, Platform: x".ljust(200), "a MATLAB file"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "a MATLAB file"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite model"),
        (bytes(100) + bytes.fromhex("57fb808b247547db"), "a TensorFlow checkpoint"),
        (field(1, field(1, "x") + field(2, "Const")), "a graph of TensorFlow"),
        (field(1, 1) + field(2, field(1, b"")), "a saved model of TensorFlow"),
        (field(1, 1) + field(2, b"") + field(500, b""), "a Core ML model"),
        (field(1, 100) + field(2, "net.caffemodel") + field(3, field(5, bytes(8))), "the state of Caffe's solver"),
        (foreign_files.binaryproto(np.ones((2, 3, 3), np.float32)), r"one array of Caffe.+give this to --mean"),
        (field(7, field(1, bytes([3]))) + field(8, bytes(24)), "one array of Caffe"),
        (bytes(257) + b"ustar" + bytes(300), r"a tar archive\. Unpack it"),
        (b"\x89PNG\r\n\x1a\n" + bytes(9), "an image"),
        (plain_zip({"conv1.npy": b""}), r"an archive of NumPy arrays \(\.npz\)"),
        (plain_zip({"a/net.caffemodel": b""}), "a zip with 'net.caffemodel' inside"),
        (
            b"PK\3\4" + bytes(100),
            r"damaged or incomplete PyTorch file \(zip: File is not a zip file\)\. Copy or download it again",
        ),
        (foreign_files.zipped({"weights.npy": b""}), "a zip that PyTorch did not write"),
        (b"\x93NUMPY\1\0" + bytes(100), "its header is not as NumPy writes it"),
    ],
)
def test_other_files_are_named(found, data, words):
    with pytest.raises(WeightsError, match=words):
        found(data)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "model.ckpt-1000.data-00000-of-00001",
            r"the numbers of a TensorFlow checkpoint, whose names are in its \.index",
        ),
        ("alexnet.weights", "weights of Darknet"),
        ("alexnet.onnx.data", r"the numbers of an ONNX model, whose names are in its \.onnx"),
        ("model.onnx_data", "the numbers of an ONNX model"),
    ],
)
def test_numbers_alone_are_named_by_the_file(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"\xff\xfe\xfd" * 9)
    with Contents(tmp_path / name) as contents, pytest.raises(WeightsError, match=words):
        recognise.read(contents, tmp_path / name)


def test_a_file_of_cualex_is_sent_where_it_is_wanted(found, tensors):
    with pytest.raises(WeightsError) as caught:
        found(safetensors.numpy.save(tensors, {"cualex": "1"}))
    assert str(caught.value) == (
        "a weights file of cualex already. Use it as it is: `cualex predict -w FILE`, `cualex train DATA --from FILE`; "
        "`cualex export` converts it for other programs."
    )


FORMATS = {
    "caffemodel": lambda network, tensors: foreign_files.caffemodel(network, blobs(tensors)),
    "ONNX model": foreign_files.zoo,
    "PyTorch file": lambda network, tensors: foreign_files.pth(tensors),
    "NumPy file": lambda network, tensors: foreign_files.npy(foreign_files.layers(network, tensors)),
    "safetensors file": lambda network, tensors: safetensors.numpy.save(tensors),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("left", [0.6, 0.99])
def test_half_a_download_is_named_with_its_format_and_the_way_out(found, network, tensors, kind, left):
    whole = FORMATS[kind](network, tensors)
    with pytest.raises(WeightsError) as caught:
        found(whole[: int(left * len(whole))])
    words = rf"damaged or incomplete {kind} \(.+\)\. Copy or download it again\."
    assert re.fullmatch(words, str(caught.value)), caught.value


def test_a_saved_module_is_told_to_be_saved_as_its_weights(found):
    pickled = b"\x80\x02" + foreign_files.named("torchvision.models.alexnet", "AlexNet") + b")\x81."
    with pytest.raises(WeightsError) as caught:
        found(foreign_files.zipped({"data.pkl": pickled}))
    assert str(caught.value) == (
        "its pickle holds more than a dictionary of tensors, and is never executed (it names "
        "torchvision.models.alexnet.AlexNet, which is not on the list of allowed constructors). Save only the weights, "
        "as torch.save(model.state_dict(), FILE) or as safetensors, and import that."
    )


def test_a_place_without_a_file_is_said(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        Contents(tmp_path / "none")
    for place, what in ((tmp_path, "a directory"), ("/dev/null", "not a file, but a device or pipe")):
        with pytest.raises(WeightsError, match=f"^{what}. Give a file of weights.$"):
            Contents(place)
