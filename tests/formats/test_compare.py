"""--check: one picture through both programs; a difference is an error, and a program that is not there is named."""

import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli, weights
from cualex.errors import WeightsError
from cualex.formats import compare
from cualex.formats.caffe import export as caffe_export
from cualex.formats.onnx import export as onnx_export
from cualex.formats.torch import export as torch_export
from tests.support import foreign_files
from tests.support.export_cases import made


@pytest.fixture
def cat(rng, tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(rng.integers(0, 256, (120, 130, 3), np.uint8)).save(path)
    return path


def largest(line):
    return float(line.rpartition("largest difference ")[2])


@pytest.mark.parametrize("name", ["alexnet", "alexnet-torchvision"])
def test_onnx_by_its_own_runtime(name, cat, tmp_path):
    pytest.importorskip("onnxruntime")
    held = made(name)
    files = onnx_export.save(tmp_path / "net.onnx", held)
    assert largest(compare.exported(files, "onnx", held, cat)) < 1e-5
    assert largest(compare.imported(files[0], held, cat)) < 1e-5


def test_a_torch_export_by_its_own_runtime(cat, tmp_path):
    """A file that PyTorch could have exported: torchvision's names, pictures less the mean and scaled, scores."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    held = made("alexnet-torchvision")
    model = onnx.load(onnx_export.save(tmp_path / "own", held)[0])
    renamed = foreign_files.torchvision({name: name for name in held.tensors})
    names = {ours: theirs for theirs, ours in renamed.items()}
    graph = model.graph
    first = next(number for number, node in enumerate(graph.node) if node.op_type == "Conv")
    graph.node[first].input[0] = "picture"
    del graph.node[:first]
    graph.node[-1].input[0] = graph.node[-2].input[0]  # past the softmax
    del graph.node[-2]
    for each in (*graph.initializer, *graph.node):
        if hasattr(each, "input"):
            each.input[:] = [names.get(name, name) for name in each.input]
        else:
            each.name = names.get(each.name, each.name)
    kept = [each for each in graph.initializer if not each.name.startswith("preprocessing")]
    del graph.initializer[:], model.metadata_props[:]
    graph.initializer.extend(kept)
    onnx.save(model, tmp_path / "theirs")
    weights.save(tmp_path / "w", held)
    words = [
        "import",
        tmp_path / "theirs",
        "--crop",
        held.network.crop,
        "--check",
        cat,
        "-o",
        tmp_path / "again",
    ]
    done = CliRunner().invoke(cli.main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert largest(done.stdout.splitlines()[-1]) < 1e-5
    again = weights.load(tmp_path / "again")
    assert all(np.array_equal(again.tensors[name], values) for name, values in held.tensors.items())


@pytest.mark.parametrize("name", ["caffenet", "alexnet", "alexnet-tanh", "cifar-relu", "lenet5, a line"])
def test_caffe_by_opencv(name, cat, tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 reads no Caffe")
    held = made(name)
    files = caffe_export.save(tmp_path / "net.caffemodel", held)
    assert largest(compare.exported(files, "caffe", held, cat)) < 1e-5


def test_what_holds_no_program_is_read_again_or_named_alone(cat, tmp_path):
    held = made("alexnet")
    files = torch_export.save(tmp_path / "net", held)
    again, by_torch = compare.exported(files, "torch", held, cat).splitlines()
    assert largest(again) == 0
    assert "by torch " in by_torch or by_torch.startswith(f"{cat}: not compared, for this needs torch ")
    line = compare.imported(files[0], held, cat)
    assert line.endswith("; the file holds weights and no program, so that there is nothing to compare with")


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "alexnet-torchvision", "alexnet-tanh", "lenet5, a line"])
def test_a_state_dict_by_pytorch(name, cat, tmp_path):
    pytest.importorskip("torch")
    held = made(name)
    files = torch_export.save(tmp_path / "net", held)
    line = compare.exported(files, "torch", held, cat).splitlines()[1]
    assert " by torch " in line
    assert largest(line) < 1e-5


@pytest.mark.parametrize(
    ("name", "words"),
    [("alexnet-batchnorm", "has no batchnorm"), ("alexnet, no exchange", "has no dense layer within a tower")],
)
def test_a_network_that_pytorchs_side_lacks_is_said(name, words, cat, tmp_path):
    pytest.importorskip("torch")
    held = made(name)
    files = torch_export.save(tmp_path / "net", held)
    line = compare.exported(files, "torch", held, cat).splitlines()[1]
    assert line.startswith(f"{cat}: not compared with torch: PyTorch's side of the benchmark {words}")


def test_a_difference_is_an_error(cat, tmp_path):
    held = made("alexnet")
    other = made("alexnet")
    other.tensors["fc8.bias"][2] += 1
    files = torch_export.save(tmp_path / "net", other)
    with pytest.raises(WeightsError, match=r"largest difference .*, expected at most 0\.0001\. Do not use the file\."):
        compare.exported(files, "torch", held, cat)


@pytest.mark.parametrize(("to", "module"), [("onnx", "onnxruntime"), ("caffe", "cv2"), ("torch", "torch")])
def test_a_program_that_is_not_there_is_named(to, module, cat, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    weights.save(tmp_path / "w", made("caffenet"))
    words = ["export", "-w", tmp_path / "w", "--to", to, "-o", tmp_path / "net", "--check", cat]
    done = CliRunner().invoke(cli.main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert f"{cat}: not compared, for this needs {module} " in done.stdout.splitlines()[-1]
