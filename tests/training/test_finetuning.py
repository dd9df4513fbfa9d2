"""Training from weights: which layers are kept, what happens to the last one, and `cualex train --from`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import weights
from cualex.cli import main
from cualex.errors import UsageError, WeightsError
from cualex.formats import load
from cualex.training import beginning, finetuning, options
from cualex.training.options import Options
from cualex.training.records import Update
from cualex.training.run import Run
from cualex.weights import Weights, initial
from tests import ROOT
from tests.support import page_networks
from tests.support.tiny_runs import RECIPE, speck, stop, training

pytestmark = pytest.mark.usefixtures("speck")

CLASSES = ["ant", "bee", "cow"]


def found(classes=CLASSES, **arguments):
    """Make weights of a network that another seed has drawn, with a mean picture of its own."""
    network = speck(len(classes), **arguments)
    tensors = initial.draw(network, seed=77)
    tensors["fc3.bias"] += np.arange(len(classes), dtype=np.float32)
    return Weights(network, tensors, list(classes), np.full((16, 16, 3), 99, np.float32))


def begun(classes, recipe=RECIPE):
    return finetuning.start(found(), recipe, classes)


def same(one, other):
    """Name the layers whose tensors are the same to the bit."""
    return {name.partition(".")[0] for name in one if np.array_equal(one[name], other.get(name))}


def test_other_classes_have_a_new_last_layer_from_the_seed():
    start = begun(["cat", "dog", "elk", "fox"])
    assert same(start.weights.tensors, found().tensors) == {"conv1", "fc2"}
    drawn = initial.draw(speck(4), RECIPE.seed)
    assert same(start.weights.tensors, drawn) == {"fc3"} | {"conv1", "fc2"} & same(found().tensors, drawn)
    assert start.weights.network.classes == 4
    assert start.said == (
        "all layers are kept but fc3, which is new, since the classes are others (3 there and 4 here)"
    )
    assert same(begun(["cat", "dog", "elk"]).weights.tensors, found().tensors) == {"conv1", "fc2"}


def test_the_same_classes_keep_the_last_layer_in_their_own_order():
    start, own = begun(["cow", "ant", "bee"]), found().tensors
    assert same(start.weights.tensors, own) == {"conv1", "fc2"}
    np.testing.assert_array_equal(start.weights.tensors["fc3.weight"], own["fc3.weight"][[2, 0, 1]])
    np.testing.assert_array_equal(start.weights.tensors["fc3.bias"], own["fc3.bias"][[2, 0, 1]])
    assert start.said == "all layers are kept, fc3 with its 3 classes too"


def test_another_crop_is_refused():
    with pytest.raises(UsageError) as caught:
        begun(CLASSES, RECIPE.but(crop=13))
    assert str(caught.value) == ("the weights to start from were trained with crop 11, got 13: leave --crop out")


def test_a_recipe_takes_network_and_pictures_from_the_weights():
    own = finetuning.recipe(found(mean_at="centre"), RECIPE.but(crop=13, epochs=4))
    assert (own.network, own.crop, own.mean_at, own.epochs) == ("speck", 11, "centre", 4)


def test_a_training_begins_with_them_and_frozen_layers_keep_their_bits(tmp_path):
    start, run = begun(["colour 0", "colour 1", "colour 2"]), Run.create(tmp_path)
    recipe = RECIPE.but(epochs=2, freeze=("conv1", "fc2"), head_rate=10.0)
    list(training(run, recipe, start=start))
    after = weights.load(run.path / "best.safetensors")
    assert same(after.tensors, found().tensors) == {"conv1", "fc2"}
    assert (after.mean == 99).all()


@pytest.mark.slow
@pytest.mark.parametrize("update", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_it_goes_on_without_the_file(tmp_path, update):
    """Killed before its first update, or stopped: the run has the weights itself."""
    start, recipe = begun(["colour 0", "colour 1", "colour 2"]), RECIPE.but(epochs=2)
    whole, run = Run.create(tmp_path), Run.create(tmp_path)
    list(training(whole, recipe, start=start))
    records = training(run, recipe, start=start)
    if update:
        stop(records, update)
    else:
        records.close()
        run.unlock()
    records = list(training(run, recipe))
    assert len([record for record in records if isinstance(record, Update)]) == 10 - update
    last = [weights.load(each.path / "last.safetensors") for each in (whole, run)]
    assert same(last[0].tensors, last[1].tensors) == {"conv1", "fc2", "fc3"}
    assert (last[1].mean == 99).all()


# --- the command


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a directory with pictures of two classes and weights of three."""
    rng = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "photos" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    weights.save(tmp_path / "begin.safetensors", found())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def train(*arguments):
    return CliRunner().invoke(main, ["train", "photos", "-b", "8", *map(str, arguments)])


def fault(*arguments):
    """Return the exit code and the one line."""
    result = train(*arguments)
    return result.exit_code, result.stderr.splitlines()[-1]


def test_the_command(here):
    given = ("--from", "begin.safetensors", "--freeze", "conv1", "--head-lr", 10, "--epochs", 1, "--keep")
    result = train(*given)
    assert result.exit_code == 0, result.output
    said = "all layers are kept but fc3, which is new, since the classes are others (3 there and 2 here)"
    assert f"Weights of begin.safetensors: {said}." in result.stderr
    assert "frozen layers" in result.stderr
    arguments = json.loads((here / "runs/train/args.json").read_text())
    assert arguments["start"] == str(here / "begin.safetensors")
    assert (arguments["recipe"]["network"], arguments["recipe"]["freeze"]) == ("speck", ["conv1"])
    kept = weights.load(here / "runs/train/best.safetensors")
    assert same(kept.tensors, found().tensors) == {"conv1"}
    result = CliRunner().invoke(main, ["train", "--resume", "runs/train", "--epochs", "2", "--freeze", "none"])
    assert result.exit_code == 0, result.output
    assert 'Continues with epochs 2 (was 1), freeze [] (was ["conv1"]).' in result.stderr
    assert json.loads((here / "runs/train/args.json").read_text())["start"] == arguments["start"]


def test_what_does_not_go_together_is_said(here):
    start = ("--from", "begin.safetensors")
    assert fault(*start, "--network", "cifar-relu") == (
        2,
        "Error: --network cifar-relu: --from begin.safetensors is a weights file of speck; leave --network out",
    )
    assert fault(*start, "--freeze", "conv1,conv2") == (
        2,
        "Error: speck has no trainable layer 'conv2'; its trainable layers are conv1, fc2, fc3",
    )
    assert fault(*start, "--freeze", "conv1,fc2,fc3") == (
        2,
        "Error: every layer of speck is frozen, so there is nothing to train",
    )
    assert fault(*start, "--accumulate", "3") == (
        2,
        "Error: batch size 8 is not divisible by --accumulate 3: use --accumulate 2, or another --batch-size",
    )
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--drop-epochs", "3", "--schedule", "cosine"),
            "--drop-epochs belongs to --schedule steps, got --schedule cosine: leave one of them out",
        ),
        (
            ("--schedule", "steps"),
            "--schedule steps needs epochs after which to divide the rate: add them, as --drop-epochs 6,8",
        ),
        (
            ("--schedule", "2012", "--plain-epochs", "3"),
            "--plain-epochs: --schedule 2012 sets them itself; leave one of them out",
        ),
        (
            ("--optimizer", "adam", "--momentum", "0.5"),
            "--momentum: --optimizer adam has betas 0.9 and 0.999 instead; leave --momentum out",
        ),
        (
            ("--resume", "runs/train", "--from", "begin.safetensors"),
            "--from is for new runs, and --resume continues one: leave one of them out",
        ),
    ],
)
def test_options_that_contradict_each_other(here, options, said):
    assert fault("--network", "speck", "--crop", "11", *options) == (2, f"Error: {said}")


@pytest.mark.slow
def test_every_option_reaches_the_recipe(here):
    options = ("--optimizer", "adam", "--schedule", "cosine", "--bias-lr", 0.002, "--stop-after", 5)
    result = train("--network", "speck", "--crop", 11, "--accumulate", 2, "--epochs", 1, *options)
    assert result.exit_code == 0, result.output
    recipe = json.loads((here / "runs/train/args.json").read_text())["recipe"]
    wanted = {"optimizer": "adam", "schedule": "cosine", "bias_rate": 0.002, "stop_after": 5, "accumulate": 2}
    assert {name: recipe[name] for name in wanted} == wanted
    assert (recipe["rate"], recipe["decay"]) == (0.001, 0.0)
    for words in ("Adam, as in Keras", "early stopping, patience", "micro-batches per update"):
        assert words in result.stderr


@pytest.mark.parametrize(("to", "file"), [("onnx", "net.onnx"), ("torch", "net.pth")])
def test_weights_of_another_program_are_imported_to_start_from(tmp_path, to, file):
    """They are those of `cualex import`; the number of classes may be another."""
    own = page_networks.weights("lenet5")
    weights.save(tmp_path / "own.safetensors", own)
    words = ["export", "--to", to, "-w", str(tmp_path / "own.safetensors"), "-o", str(tmp_path / file)]
    made = CliRunner().invoke(main, words)
    assert made.exit_code == 0, made.output
    found = beginning.chosen(Options(weights=tmp_path / file))
    for tensor, values in own.tensors.items():
        np.testing.assert_allclose(found.tensors[tensor], values, rtol=1e-6, atol=1e-7)
    (said,) = beginning.imported(found)
    assert said.startswith("the weights are imported, as lenet5 with images of ")
    assert f"`cualex import {tmp_path / file}` prints all that is assumed" in said
    assert beginning.imported(own) == ()
    start = finetuning.start(found, finetuning.recipe(found, RECIPE), ["cat", "dog"])
    assert start.weights.network.classes == 2


def test_the_input_size_of_a_caffemodel_is_that_of_crop():
    """A caffemodel of 67 pixels: its size is not in the file."""
    model = ROOT / "tests/golden/v0.1/exported/network.caffemodel"
    said = (
        f"{model}: fc6.0 is 128x8 here, alexnet-caffe has 128x288. Give its architecture with --network, or its input "
        "size with --crop."
    )
    for wrong in ({}, {"crop": 227}, {"seed": 1}):
        with pytest.raises(WeightsError) as caught:
            beginning.chosen(options.of(weights=model, **wrong))
        assert str(caught.value) == said
    for right in ({"crop": 67}, {"crop": 67, "network": "alexnet-caffe"}):
        found = beginning.chosen(options.of(weights=model, **right))
        assert (found.network.name, found.network.crop) == ("alexnet-caffe", 67)
        assert found.tensors["fc6.weight"].shape == (128, 8)


def test_what_import_alone_can_be_told_is_told_to_import(monkeypatch):
    model = ROOT / "tests/golden/v0.1/exported/network.caffemodel"

    def refused(path, **told):
        raise WeightsError(f"{path}: it has no mean image. Give one with --mean.")

    monkeypatch.setattr(load, "load", refused)
    with pytest.raises(WeightsError) as caught:
        beginning.chosen(Options(weights=model))
    assert str(caught.value) == (
        f"{model}: it has no mean image. Give one with --mean. That is for `cualex import {model}`, whose weights file "
        "--from takes."
    )


def test_what_is_no_weights_of_anything_is_refused_by_what_it_is(tmp_path):
    for name, data, said in (
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS"),
        ("b.bin", bytes(range(7, 200)) * 9, "not a weights file of cualex, which are safetensors. Copy it again"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=said) as caught:
            beginning.chosen(Options(weights=tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert str(caught.value).count(name) == 1
