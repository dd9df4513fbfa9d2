"""Layers under other names: the last layer of fine-tuned networks, and ONNX graphs wherever they keep their weights."""

import os

import numpy as np
import pytest

from cualex import networks
from cualex.errors import DataError, WeightsError
from cualex.formats import class_list
from cualex.formats import load as loading
from tests.support import foreign_files
from tests.support.foreign_files import attribute, field, onnx_tensor

SMALL = {"classes": 3, "crop": 67, "width": 1 / 32}


@pytest.fixture
def imported(tmp_path):
    """Import a file: the weights, and the lines."""

    def load(data, **options):
        (tmp_path / "file").write_bytes(data)
        return loading.load(tmp_path / "file", **{"crop": 67, **options})

    return load


def made(name, **numbers):
    network = networks.build(name, **(SMALL | numbers))
    rng = np.random.default_rng(len(name))
    shapes = network.parameters()
    return network, {full: rng.standard_normal(shape).astype(np.float32) for full, shape in shapes.items()}


def equal(found, tensors):
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        assert np.array_equal(found[name], values), name


# --- Caffe


def renamed(network, tensors, **names):
    """Write a caffemodel in which layers have other names."""
    layers = {names.get(name, name): layer for name, layer in network.layers.items()}
    parts = {full: full.split(".") for full in tensors}
    own = {f"{names.get(parts[full][0], parts[full][0])}.{parts[full][1]}": each for full, each in tensors.items()}
    return foreign_files.caffemodel(type(network)(**{**vars(network), "layers": layers}), own)


@pytest.mark.parametrize("name", ["alexnet-caffe", "caffenet"])
@pytest.mark.parametrize("last", ["fc8_flickr", "fc8_pascal", "fc9", "my-classes"])
def test_a_fine_tuned_caffe_model_is_imported_with_its_outputs(imported, name, last, tmp_path):
    network, tensors = made(name, classes=5)
    (tmp_path / "names.txt").write_text("rose\ntulip\naster\ndaisy\nlily\n")
    weights, lines = imported(
        renamed(network, foreign_files.caffe_order(tensors), fc8=last), classes=tmp_path / "names.txt"
    )
    equal(weights.tensors, tensors)
    assert (weights.network, weights.classes[0]) == (network, "rose")
    assert ("last layer", f"{last}, with 5 outputs, is fc8 here") in lines


TABLES = {
    "a column": "rose\ntulip\naster\n",
    "a header": "class\nrose\ntulip\naster\n",
    "numbers": "2,aster\n0,rose\n1,tulip\n",
    "numbers from one": "3,aster\n1,rose\n2,tulip\n",
    "all": "id,label,remark\n1,tulip,x\n0,rose,\n2,aster,y\n",
    "a byte order mark, quotes": '\ufeffname,index\r\n"tulip",1\r\n"aster",2\r\n"rose",0\r\n',
}


@pytest.mark.parametrize("kind", TABLES)
def test_class_names_come_from_a_csv(tmp_path, kind):
    (tmp_path / "names.csv").write_text(TABLES[kind], "utf-8")
    assert class_list.read(tmp_path / "names.csv", 3) == ["rose", "tulip", "aster"]
    (tmp_path / "names.tsv").write_text(TABLES[kind].replace(",", "\t"), "utf-8")
    assert class_list.read(tmp_path / "names.tsv", 3) == ["rose", "tulip", "aster"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\nc,d\ne,f\n", "names.csv: 3 rows of 2 columns: which of them has the names of the classes"),
        ("english,latin\na,b\nc,d\ne,f\n", "4 rows of 'english', 'latin': which of them has the names of the classes"),
        ("a,b\nc,d\n", "names.csv: 2 rows of 2 columns, and the network has 3 outputs"),
        ("class\nrose\n", "2 classes, and the network has 3 outputs"),
        ("", "0 rows of 0 columns"),
        ("0\n1\n2\n", "3 rows of 1 columns"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, words):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        class_list.read(tmp_path / "names.csv", 3)


NAMES = ["tench", "great white shark, man-eater", "Käse"]
CLASSES = {
    "lines": ("c.txt", "\n".join(NAMES).encode()),
    "of Windows": ("c.txt", "\r\n".join(NAMES).encode("utf-16")),
    "of the code page": ("c.txt", "\r\n".join(NAMES).encode("cp1252")),
    "a mark before": ("c.txt", b"\xef\xbb\xbf" + "\n".join(NAMES).encode()),
    "a header": ("c.txt", "\n".join(["class", *NAMES]).encode()),
    "a table with numbers": ("c.csv", "id,name\n" + "\n".join(f'{n},"{name}"' for n, name in enumerate(NAMES))),
    "a table of Excel": ("c.csv", "sep=;\r\nlabel\r\n" + "\r\n".join(NAMES)),
    "tabs and numbers": ("c.txt", "".join(f"{n}\t{name}\n" for n, name in enumerate(NAMES))),
    "a column of a table": (
        "c.csv",
        "wnid;class;count\n" + "".join(f"n{n};{name};9\n" for n, name in enumerate(NAMES)),
    ),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_way_of_writing_classes(kind, tmp_path):
    name, data = CLASSES[kind]
    (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    assert class_list.read(tmp_path / name, len(NAMES)) == NAMES


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", r"cannot be read \(it is no text\)"),
        (b"", "0 classes, and the network has 3 outputs"),
    ],
)
def test_what_is_no_text_is_no_list_of_classes(tmp_path, data, words):
    (tmp_path / "c.txt").write_bytes(data)
    with pytest.raises(DataError, match=words):
        class_list.read(tmp_path / "c.txt", 3)


def test_the_old_layout_with_four_lengths_too(imported):
    network, tensors = made("alexnet-caffe")
    data = foreign_files.caffemodel(network, foreign_files.caffe_order(tensors), old=True)
    weights, _ = imported(data.replace(b"\x22\x03fc8", b"\x22\x03fcX"))
    equal(weights.tensors, tensors)


@pytest.mark.parametrize("layer", ["conv1", "conv4", "fc6", "fc7"])
def test_the_layer_at_fault_is_named(imported, layer):
    network, tensors = made("alexnet-caffe")
    with pytest.raises(WeightsError) as caught:
        imported(renamed(network, tensors, **{layer: "other"}))
    assert str(caught.value).endswith(
        f"file: lacks {layer}.0, which belongs to Caffe's AlexNet (bvlc_alexnet) (14 of its 16 tensors are here). "
        "Save all layers of the network, under these names."
    )


def test_a_last_layer_of_other_inputs_is_none(imported):
    network, tensors = made("alexnet-caffe")
    tensors["fc8.weight"] = np.zeros((3, 7), np.float32)
    with pytest.raises(WeightsError, match=r"lacks fc8\.0"):
        imported(renamed(network, tensors, fc8="fc9"))


# --- ONNX

OTHER = {name: f"onnx::{number}" for number, name in enumerate(made("alexnet-caffe")[1])}


def graph(network, tensors, way="initialisers", rows=True):
    """Write the graph of a network whose tensors have other names, and are initialisers, constants or behind nodes."""
    types = {
        "conv": "Conv",
        "lrn": "LRN",
        "maxpool": "MaxPool",
        "relu": "Relu",
        "softmax": "Softmax",
        "dropout": "Dropout",
    }
    nodes, value = [], "data"
    held = {}
    for name, layer in network.layers.items():
        inputs, kind, said = [value], types.get(layer.kind, "Gemm"), foreign_files.numbers(layer)
        for full in (f"{name}.weight", f"{name}.bias"):
            if full in tensors:
                values = foreign_files.caffe_order(tensors)[full] if "torch" not in network.name else tensors[full]
                turned = layer.kind == "dense" and full.endswith("weight") and not rows
                held[OTHER[full]] = np.ascontiguousarray(values.T if turned else values)
                inputs.append(OTHER[full])
        if kind == "Gemm":
            said = attribute("transB", int(rows))
        if way == "matmul" and kind == "Gemm":
            nodes.append(node("MatMul", inputs[:2], f"{name}.product"))
            kind, said, inputs = "Add", b"", [f"{name}.product", inputs[2]]
        if way == "identity" and len(inputs) > 1:
            nodes += [node("Identity", [each], f"{each}.same") for each in inputs[1:]]
            inputs = [inputs[0], *(f"{each}.same" for each in inputs[1:])]
        nodes.append(node(kind, inputs, name, said))
        value = name
    made = b""
    for name, each in held.items():
        if way == "constants":
            value = field(5, field(1, "value") + field(5, onnx_tensor("", each)) + field(20, 4))
            nodes.insert(0, node("Constant", [], name, value))
        else:
            made += field(5, onnx_tensor(name, each))
    made = b"".join(field(1, each) for each in nodes) + made
    return field(1, 8) + field(7, made) + field(8, field(2, 13))


def node(kind, inputs, output, said=b""):
    return b"".join(field(1, each) for each in inputs) + field(2, output) + field(4, kind) + said


@pytest.mark.parametrize("name", ["alexnet-caffe", "caffenet", "alexnet-torchvision"])
@pytest.mark.parametrize(
    ("way", "rows"),
    [("initialisers", True), ("constants", True), ("identity", True), ("matmul", False), ("initialisers", False)],
)
def test_weights_without_names_are_taken_in_the_order_of_the_graph(imported, name, way, rows):
    network, tensors = made(name)
    weights, lines = imported(graph(network, tensors, way, rows))
    assert weights.network == network
    equal(weights.tensors, tensors)
    assert any(topic == "weights" and "in the order of the graph" in sentence for topic, sentence in lines)


def test_another_graph_is_refused(imported):
    network, tensors = made("alexnet-torchvision")
    layers = {name: layer for name, layer in network.layers.items() if name != "conv5"}
    with pytest.raises(WeightsError, match="are those of no AlexNet known here"):
        imported(graph(type(network)(**{**vars(network), "layers": layers}), tensors))


@pytest.mark.parametrize(
    "kind", ["QLinearConv", "DequantizeLinear", "ConvInteger", "DynamicQuantizeLinear", "MatMulNBits"]
)
def test_a_quantised_model_is_refused_as_one(imported, kind):
    data = field(1, 8) + field(7, field(1, node(kind, ["x"], "y"))) + field(8, field(2, 13))
    with pytest.raises(
        WeightsError, match=rf"a quantised ONNX model \({kind}\), whose weights are integers\. Import the"
    ):
        imported(data)


# --- external data


def zoo_outside(network, tensors, location, **told):
    """Write a model whose initialisers name another file."""
    theirs, data, made = foreign_files.caffe_order(tensors), b"", b""
    types = {"conv": "Conv", "dense": "Gemm", "lrn": "LRN", "maxpool": "MaxPool", "relu": "Relu"}
    for name, layer in network.layers.items():
        made += field(1, field(2, name) + field(4, types.get(layer.kind, "Softmax")) + foreign_files.numbers(layer))
    for full, each in theirs.items():
        name = full.replace(".weight", "_w_0").replace(".bias", "_b_0")
        entries = {"location": location, "offset": str(len(data)), "length": str(each.nbytes)} | told
        said = b"".join(
            field(13, field(1, key) + field(2, value)) for key, value in entries.items() if value is not None
        )
        made += field(
            5, field(1, foreign_files.packed(each.shape)) + field(2, 1) + field(8, name) + said + field(14, 1)
        )
        data += np.ascontiguousarray(each).tobytes()
        data += bytes(-len(data) % 64)
    return field(1, 8) + field(7, made) + field(8, field(2, 13)), data


@pytest.mark.parametrize("location", ["file.data", "weights/part 1.bin"])
def test_external_data_is_read_from_the_folder(imported, tmp_path, location):
    network, tensors = made("alexnet-caffe")
    model, data = zoo_outside(network, tensors, location)
    (tmp_path / location).parent.mkdir(exist_ok=True)
    (tmp_path / location).write_bytes(data)
    weights, lines = imported(model)
    equal(weights.tensors, tensors)
    said = dict(lines)["data"]
    assert said.startswith(f"{location}, {len(data):,} bytes, SHA-256 ")


def test_links_within_the_folder_are_followed(imported, tmp_path):
    network, tensors = made("alexnet-caffe")
    model, data = zoo_outside(network, tensors, "file.data")
    (tmp_path / "blob").write_bytes(data)
    (tmp_path / "file.data").symlink_to("blob")
    equal(imported(model)[0].tensors, tensors)


OUTSIDE = {
    "an absolute path": "/etc/passwd",
    "a path above": "../secret",
    "a path above and back": "../folder/secret",
    "a path above within": "weights/../../secret",
    "a link out": "link",
    "a link of a folder": "folder link/secret",
    "nothing but the folder": ".",
    "a zero byte": "a\0b",
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_external_data_out_of_the_folder_is_not_opened(tmp_path, kind):
    network, tensors = made("alexnet-caffe")
    model, data = zoo_outside(network, tensors, OUTSIDE[kind])
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_bytes(data)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder link").symlink_to(tmp_path / "out")
    (folder / "file").write_bytes(model)
    with pytest.raises(
        WeightsError, match=r"names a file outside of its folder \(.+\), which is not opened\. Put that"
    ):
        loading.load(folder / "file", crop=67)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"location": None}, "has external data without a location"),
        ({"location": "none"}, r"none, the file of its numbers: cannot be read \(No such file or directory\)"),
        ({"offset": "-4"}, "has external data with the offset and length"),
        ({"offset": "9" * 18}, "damaged or incomplete ONNX model"),
        ({"length": "4"}, "does not fit into its 4 bytes"),
        ({"length": "999999"}, "bytes in file.data, expected"),
        ({"offset": "0"}, "share memory"),
    ],
)
def test_damaged_external_data_is_refused(imported, tmp_path, told, words):
    network, tensors = made("alexnet-caffe")
    model, data = zoo_outside(network, tensors, **{"location": "file.data", **told})
    (tmp_path / "file.data").write_bytes(data)
    with pytest.raises(WeightsError, match=words):
        imported(model)


def test_a_pipe_is_not_waited_for(imported, tmp_path):
    network, tensors = made("alexnet-caffe")
    model, _ = zoo_outside(network, tensors, "pipe")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="pipe, the file of its numbers: not a file, but a device or pipe"):
        imported(model)
