"""What a layer makes of pictures, written to files that other programs read."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex import features, networks
from cualex.data import images as picture_files
from cualex.errors import DataError, ImageError, UsageError
from cualex.model import Model
from cualex.weights import Weights, initial
from tests.support import colour_network
from tests.support.colour_network import broken, picture, run


@pytest.fixture
def file(tmp_path):
    return colour_network.saved(tmp_path / "weights.safetensors")


@pytest.fixture
def place(tmp_path):
    """Write a folder of 35 pictures in three colours, the last of them broken."""
    for number in range(35):
        picture(tmp_path / "set" / f"{number:02}.png", colour_network.CLASSES[number % 3], 50 + 5 * number)
    broken(tmp_path / "set" / "34.png")
    return tmp_path / "set"


@pytest.fixture
def small():
    """Make a two-tower network with weights that tell all channels apart."""
    network = networks.build("alexnet", classes=3, crop=67, width=1 / 16)
    rng = np.random.default_rng(5)
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in network.parameters().items()}
    mean = rng.uniform(90, 130, (network.stored, network.stored, 3)).astype(np.float32)
    return Model(Weights(network, tensors, list("abc"), mean))


@pytest.mark.slow
def test_the_file_holds_a_row_a_picture_and_the_names_beside(file, place, tmp_path):
    out = tmp_path / "out.npy"
    result = run("features", place, "-o", out, "-w", file)
    assert result.exit_code == 3
    array, model = np.load(out), cualex.load(file)
    names = (tmp_path / "out.names.txt").read_text().splitlines()
    assert names == [f"{place}/{number:02}.png" for number in range(34)]
    assert (array.shape, array.dtype) == ((34, 64, 3, 3), np.dtype("<f4"))
    # Alone, the picture goes through another plan; a constant picture passes as sums of one term.
    for row, name in zip(array, names, strict=True):
        alone = model.features(picture_files.load(name, 32)[None])[0]
        np.testing.assert_allclose(row, alone, rtol=1e-5)
    assert len({row.tobytes() for row in array}) == 34
    assert result.stdout == (f"{out}: pool3 of 34 images, 64x3x3 each; the names are in {tmp_path}/out.names.txt\n")
    assert result.stderr.splitlines()[-2].startswith(f"Skipped: {place}/34.png: not an image")
    assert result.stderr.splitlines()[-1] == f"Error: 1 of 35 images could not be read; {out} has the others."


@pytest.mark.slow
def test_a_table_holds_the_same_numbers(file, place, tmp_path):
    """Nine digits give every float32 back."""
    for name in ("out.npy", "out.csv"):
        assert run("features", f"{place}/0*.png", "-o", tmp_path / name, "-w", file).exit_code == 0
    header, *rows = csv.reader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert header[:4] == ["picture", "pool3.0.0.0", "pool3.0.0.1", "pool3.0.0.2"]
    assert header[-1] == "pool3.63.2.2"
    assert [row[0] for row in rows] == [f"{place}/0{number}.png" for number in range(10)]
    read = np.array([row[1:] for row in rows], np.float32).reshape(10, 64, 3, 3)
    assert (read == np.load(tmp_path / "out.npy")).all()
    assert not (tmp_path / "out.csv.names.txt").exists()


def test_features_of_a_dense_layer_are_columns(file, place, tmp_path):
    out = tmp_path / "out.csv"
    assert run("features", place / "00.png", "-o", out, "-w", file, "--layer", "fc4").exit_code == 0
    header, row = csv.reader(io.StringIO(out.read_text()))
    assert header == ["picture", "fc4.0", "fc4.1", "fc4.2"]
    assert np.argmax([float(number) for number in row[1:]]) == 0


def test_the_report_can_be_read_by_a_program(file, place, tmp_path):
    out = tmp_path / "out.npy"
    result = run("features", place, "-o", out, "-w", file, "--json", "--layer", "softmax")
    found = json.loads(result.stdout)
    assert (found["shape"], found["layer"], found["names"]) == ([34, 3], "softmax", f"{tmp_path}/out.names.txt")
    assert [entry["picture"] for entry in found["skipped"]] == [f"{place}/34.png"]


@pytest.mark.slow
def test_every_layer_can_be_asked_for(small, rng):
    pictures = rng.integers(0, 256, (3, 76, 76, 3), np.uint8)
    for stage in small.network.stages():
        found = small.features(pictures, stage.name)
        channels, *sides = stage.output
        if stage.layer.kind not in ("exchange", "join"):  # these give every tower the maps of both
            channels *= stage.towers
        assert found.shape == (3, channels, *(sides if sides != [1, 1] else [])), stage.name
        assert found.dtype == np.float32


def test_the_default_is_the_last_hidden_layer(small, rng):
    """The output layer applied to the features, halved for the dropout between, gives the scores."""
    pictures = rng.integers(0, 256, (3, 76, 76, 3), np.uint8)
    assert small.hidden == "relu7"
    hidden, scores = small.features(pictures), small.features(pictures, "fc8")
    tensors = small.parameters.unload()
    expected = 0.5 * hidden @ tensors["fc8.weight"].T + tensors["fc8.bias"]
    bound = 4 * 6e-8 * np.sqrt(256) * (hidden @ np.abs(tensors["fc8.weight"]).T + 1)
    assert (np.abs(scores - expected) < bound).all()
    assert (np.abs(expected) > 1000 * bound).any()


def test_towers_lie_side_by_side_in_the_order_of_the_filters(small, rng):
    """conv1 by hand at one place of one filter of either tower: (channel, row, column) is what the file says."""
    pictures = rng.integers(0, 256, (2, 76, 76, 3), np.uint8)
    found = small.features(pictures, "conv1")
    tensors = small.parameters.unload()
    seen = (small.network.scale * (pictures - small.mean.astype(float)))[:, 4:71, 4:71].transpose(0, 3, 1, 2)
    for channel in (1, 4):  # of 3 + 3
        part = seen[:, :, 8:19, 20:31]
        expected = (part * tensors["conv1.weight"][channel]).sum(axis=(1, 2, 3)) + tensors["conv1.bias"][channel]
        bound = 4 * 6e-8 * np.sqrt(363) * np.abs(part * tensors["conv1.weight"][channel]).sum(axis=(1, 2, 3))
        assert (np.abs(found[:, channel, 2, 5] - expected) < bound).all()


def test_a_layer_that_is_not_there_is_said_with_those_that_are(file, place, tmp_path):
    result = run("features", place, "-o", tmp_path / "out.npy", "-w", file, "--layer", "fc7")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: cifar-relu has no layer 'fc7'; its layers are conv1, relu1, norm1, pool1, conv2, relu2, norm2, "
        "pool2, conv3, relu3, pool3, fc4, softmax\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "weights.safetensors"]


@pytest.mark.parametrize("name", ["out", "out.npz", "csv"])
def test_an_ending_that_is_not_known_is_said_before_any_work(file, place, tmp_path, name):
    result = run("features", place, "-o", tmp_path / name, "-w", tmp_path / "none")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {tmp_path}/{name}: expected a name that ends in .npy or .csv\n",
    )


def test_without_a_readable_picture_nothing_is_written(file, tmp_path):
    one, two = broken(tmp_path / "1.png", b""), broken(tmp_path / "2.png")
    for out in (tmp_path / "out.npy", tmp_path / "out.csv"):
        result = run("features", one, "-o", out, "-w", file)
        assert (result.exit_code, result.stderr) == (1, f"Error: {one}: the file is empty\n")
        result = run("features", one, two, "-o", out, "-w", file)
        assert result.exit_code == 1
        assert result.stderr == (f"Error: none of the 2 images could be read; the first: {one}: the file is empty\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "2.png", "weights.safetensors"]


def test_what_stops_halfway_leaves_the_old_files(tmp_path):
    def rows():
        yield "a", np.ones(3, np.float32)
        raise DataError("and no further")

    for out in (tmp_path / "out.npy", tmp_path / "out.csv"):
        features.write(out, [("old", np.zeros(2, np.float32))], "fc7")
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(DataError, match="and no further"):
            features.write(out, rows(), "fc7")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_of_any_kind_keep_their_place(tmp_path):
    names = ["two\nlines.png", "caf\udce9.png", 'say "a", b.png', "plain.png"]
    rows = [(name, np.full(2, number, np.float32)) for number, name in enumerate(names)]
    assert features.write(tmp_path / "out.npy", rows, "fc7") == (4, 2)
    lines = (tmp_path / "out.names.txt").read_bytes().split(b"\n")
    assert lines == [b"two\\nlines.png", b"caf\xe9.png", b'say "a", b.png', b"plain.png", b""]
    features.write(tmp_path / "out.csv", rows, "fc7")
    with open(tmp_path / "out.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [row[0] for row in csv.reader(file)] == ["picture", *names]


@pytest.mark.parametrize("count", [1, 9, 10, 1234])
def test_the_header_has_room_for_any_number_of_pictures(tmp_path, count):
    out = tmp_path / "out.npy"
    rows = ((str(number), np.array([number, -number], np.float32)) for number in range(count))
    assert features.write(out, rows, "fc7") == (count, 2)
    array = np.load(out)
    assert array.shape == (count, 2)
    assert (array[:, 0] == np.arange(count)).all()


def test_the_ending_may_be_in_capitals(tmp_path):
    features.write(tmp_path / "OUT.NPY", [("a", np.ones(2, np.float32))], "fc7")
    assert np.load(tmp_path / "OUT.NPY").shape == (1, 2)
    with pytest.raises(UsageError, match=r"out\.txt: expected a name that ends in \.npy or \.csv"):
        features.write(tmp_path / "out.txt", [], "fc7")


def test_untrained_weights_do_as_well(tmp_path, rng):
    network = networks.build("alexnet-one-tower", classes=2, crop=67, width=1 / 16)
    mean = np.zeros((network.stored, network.stored, 3), np.float32)
    model = Model(Weights(network, initial.draw(network, 1), ["a", "b"], mean))
    assert model.features(rng.integers(0, 256, (1, 76, 76, 3), np.uint8)).shape == (1, 256)


# --- from Python


def test_paths_pillow_images_arrays_and_lists_of_them_are_one_image_each(small, tmp_path, rng):
    pixels = rng.integers(0, 256, (90, 80, 3), np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    expected = small.features(np.stack([small.read(path)]), "fc6")
    assert expected.shape == (1, 2 * 128)
    for image in (path, str(path), path.read_bytes(), pixels, Image.open(path)):
        np.testing.assert_array_equal(small.features(image, "fc6"), expected[0])
        np.testing.assert_array_equal(small.features([image], "fc6"), expected)
    grey = small.features(pixels[:, :, 0], "fc6")
    assert grey.shape == expected[0].shape
    assert (grey != expected[0]).any()


def test_many_images_are_in_order(small, rng):
    pictures = rng.integers(0, 256, (35, 76, 76, 3), np.uint8)
    np.testing.assert_array_equal(small.features(list(pictures), "fc6"), small.features(pictures, "fc6"))


def test_maps_are_of_one_image_channels_rows_columns(small, rng):
    pixels = rng.integers(0, 256, (76, 76, 3), np.uint8)
    for layer, shape in (("conv1", (6, 15, 15)), ("pool5", (16, 1, 1)), ("fc6", (256, 1, 1)), ("softmax", (3, 1, 1))):
        found = small.maps(pixels, layer)
        assert (found.shape, found.dtype) == (shape, np.float32), layer
        np.testing.assert_array_equal(found.squeeze(), small.features(pixels, layer).squeeze())
    tower = small.parameters.unload()["conv1.bias"].size // 2
    assert (small.maps(pixels, "conv1")[:tower] != small.maps(pixels, "conv1")[tower:]).any()


def test_what_cannot_be_read_or_asked_for_is_one_line(small, tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: "):
        small.features([tmp_path / "gone.png"])
    with pytest.raises(ImageError, match=r"gone\.png: "):
        small.maps(tmp_path / "gone.png", "conv1")
    with pytest.raises(UsageError, match=r"^no pictures were given$"):
        small.features([])
    with pytest.raises(UsageError, match=r"^alexnet has no layer 'conv9'; its layers are conv1, "):
        small.maps(np.zeros((9, 9, 3), np.uint8), "conv9")
    with pytest.raises(UsageError, match=r"^load\(\) has no keyword 'devise'; .* Did you mean device\?$"):
        cualex.load(tmp_path, devise="cpu")


@pytest.mark.slow
def test_the_side_of_the_activation_is_said(file, place, small, rng, tmp_path):
    network = networks.build("alexnet")
    assert network.side("fc7") == "before ReLU, which is relu7"
    assert network.side("relu7") == "after ReLU, of fc7"
    assert [network.side(name) for name in ("norm1", "pool5", "drop7", "fc8", "softmax")] == [""] * 5
    assert networks.build("cifar-tanh").side("conv1") == "before tanh, which is tanh1"
    out = tmp_path / "out.npy"
    for layer, said in (("conv3", "before ReLU, which is relu3"), ("relu3", "after ReLU, of conv3")):
        result = run("features", place, "-o", out, "-w", file, "--layer", layer)
        assert result.stdout.startswith(f"{out}: {layer} ({said}) of 34 images")
    pictures = rng.integers(0, 256, (3, 76, 76, 3), np.uint8)
    before, after = (small.features(pictures, layer) for layer in ("fc7", "relu7"))
    assert before.min() < 0
    assert np.array_equal(np.maximum(before, 0), after)
