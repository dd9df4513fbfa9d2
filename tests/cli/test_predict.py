"""Pictures get names: from Python, and through `cualex predict` from files, folders, globs and standard input."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex.cli import _inputs
from cualex.errors import PictureError, UsageError
from cualex.weights import save
from tests.support import colour_network
from tests.support.colour_network import broken, picture, run


@pytest.fixture
def weights(tmp_path):
    return colour_network.saved(tmp_path / "weights.safetensors")


@pytest.fixture
def model(weights):
    return cualex.load(weights)


@pytest.fixture
def asked(weights):
    """Run `cualex predict --json`, and return the result with what it wrote."""

    def call(*arguments, code=0, **more):
        result = run("predict", "-w", weights, "--json", *arguments, **more)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)["results"]

    return call


def firsts(results):
    """Return the first class of each result, or its error."""
    return [found["predictions"][0]["class"] if "predictions" in found else found["error"] for found in results]


# --- from Python


@pytest.mark.parametrize("colour", colour_network.CLASSES)
def test_a_picture_has_its_name_first(model, tmp_path, colour):
    (first, likely), *others = model.predict(str(picture(tmp_path / "p.png", colour)))
    assert first == colour
    assert likely > 0.5
    assert sorted([first, *(name for name, _ in others)]) == sorted(colour_network.CLASSES)
    assert likely + sum(probability for _, probability in others) == pytest.approx(1, abs=1e-6)


def test_pillow_images_and_arrays_have_the_answers_of_their_files(model, tmp_path):
    path = picture(tmp_path / "g.png", "green", size=(41, 33))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
        expected = model.predict(path)
        assert model.predict(image) == expected
        assert model.predict([pixels, image.convert("RGBA"), pixels[:, ::-1].copy()]) == [expected] * 3
    assert [name for name, _ in model.predict(np.full((30, 20), 9, np.uint8), top=1)]  # grey


@pytest.mark.parametrize("shape", [(30, 20, 2), (2, 30, 20, 3), (5,)])
def test_an_array_that_is_no_image_is_refused(model, shape):
    with pytest.raises(UsageError, match=r"must be uint8 \(rows, columns\).* got uint8 .*; for several give a list$"):
        model.predict(np.zeros(shape, np.uint8))


def test_floats_are_refused(model):
    with pytest.raises(UsageError, match="got float32"):
        model.predict(np.zeros((30, 20, 3), np.float32))


def test_a_turned_pillow_image_is_turned_as_its_file_is(model, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (33, 47, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "t.png", exif=exif)
    with Image.open(tmp_path / "t.png") as image:
        assert model.predict(image) == model.predict(tmp_path / "t.png")


def test_a_run_directory_stands_for_its_best_weights(model, weights, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "best.safetensors").write_bytes(weights.read_bytes())
    red = picture(tmp_path / "r.png", "red")
    assert cualex.load(run).predict(red) == model.predict(red)
    with pytest.raises(cualex.CualexError, match=r"a directory without best\.safetensors, so not a run"):
        cualex.load(tmp_path)


def test_a_list_of_paths_and_bytes_has_a_list_of_answers(model, tmp_path):
    red, blue = picture(tmp_path / "r.png", "red"), picture(tmp_path / "b.png", "blue")
    answers = model.predict([red, blue.read_bytes(), str(red)], top=1)
    assert [[name for name, _ in named] for named in answers] == [["red"], ["blue"], ["red"]]
    assert model.predict(blue.read_bytes()) == model.predict(blue)
    assert model.predict([]) == []


def test_a_picture_that_is_read_has_the_probabilities_of_its_file(model, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    for source in (path, path.read_bytes()):
        (found,) = model.probabilities(model.read(source)[None])
        assert model.best(found) == model.predict(path)
    read = model.read(path)[None]
    with pytest.raises(UsageError, match=r"got float64 .*; model.read\(path\) makes such a picture of a file"):
        model.features(read.astype(float))


def test_equals_come_in_the_order_of_the_classes(model):
    assert [name for name, _ in model.best(np.array([0.4, 0.2, 0.4], np.float32))] == ["green", "blue", "red"]
    assert model.best(np.array([0.4, 0.2, 0.4], np.float32), 1) == [("green", pytest.approx(0.4))]


def test_what_is_no_picture_is_named_and_not_answered(model, tmp_path):
    with pytest.raises(PictureError, match=re.escape(f"{tmp_path}/x.png: not an image")):
        model.predict([picture(tmp_path / "r.png", "red"), broken(tmp_path / "x.png")])
    with pytest.raises(PictureError, match=r"^picture: the file is empty$"):
        model.predict(b"")


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 70])
def test_any_number_of_pictures_is_answered_one_by_one(model, count):
    shades = np.arange(count) * 3 + 40
    pictures = np.zeros((count, 32, 32, 3), np.uint8)
    pictures[np.arange(count), :, :, np.arange(count) % 3] = shades[:, None, None]
    found = model.probabilities(pictures)
    alone = np.concatenate([model.probabilities(pictures[i : i + 1]) for i in range(count)])
    assert found.shape == (count, 3)
    # Logits up to 3 in float32, summed in another order: 3 x 6e-8 x sqrt(576) at the most, and its exponential.
    np.testing.assert_allclose(found, alone, rtol=1e-5)
    assert len({row.max() for row in np.round(alone, 5)}) == count
    assert (found.argmax(axis=1) == np.array([1, 0, 2])[np.arange(count) % 3]).all()


def test_no_pictures_have_no_probabilities(model):
    with pytest.raises(UsageError, match="no pictures were given"):
        model.probabilities(np.zeros((0, 32, 32, 3), np.uint8))


# --- what the user names


def test_every_input_has_its_own_answer_in_its_place(asked, model, tmp_path):
    """Broken pictures lie at both sides of the edges between batches of 32."""
    given, expected = [], []
    for number in range(70):
        path = tmp_path / f"{(number * 37) % 70}.png"
        if number in (0, 30, 31, 32, 50, 64):
            given.append(broken(path))
            expected.append(None)
        else:
            colour, level = colour_network.CLASSES[number % 3], 60 + 2 * number
            given.append(picture(path, colour, level))
            expected.append((colour, dict(model.predict(path))[colour]))
    results = asked(*given, code=3)
    assert [found["picture"] for found in results] == [str(path) for path in given]
    for found, answer in zip(results, expected, strict=True):
        if answer is None:
            assert found["error"].startswith("not an image")
            assert "predictions" not in found
        else:
            first = found["predictions"][0]
            assert (first["class"], first["probability"]) == (answer[0], pytest.approx(answer[1], rel=1e-5))


def test_a_folder_gives_its_own_pictures_in_the_order_of_their_names(asked, tmp_path):
    place = tmp_path / "holiday"
    for name, colour in (("b.png", "blue"), ("B.PNG", "red"), ("a.png", "green")):
        picture(place / name, colour)
    picture(place / "deep" / "d.png", "red")
    picture(place / ".hidden.png", "red")
    broken(place / "notes.txt")
    (place / "folder.png").mkdir()
    found = asked(place)
    assert [one["picture"] for one in found] == [f"{place}/B.PNG", f"{place}/a.png", f"{place}/b.png"]
    assert firsts(found) == ["red", "green", "blue"]
    deep = asked(place, "--recursive")
    assert [one["picture"] for one in deep] == [
        *(f"{place}/B.PNG", f"{place}/a.png"),
        *(f"{place}/b.png", f"{place}/deep/d.png"),
    ]


def test_a_quoted_glob_finds_what_the_shell_would(asked, tmp_path):
    for name in ("2.png", "10.png", "1.png"):
        picture(tmp_path / name, "red")
    picture(tmp_path / "in" / "3.png", "blue")
    assert [os.path.basename(found["picture"]) for found in asked(f"{tmp_path}/*.png")] == [
        *("1.png", "10.png", "2.png"),
    ]
    assert firsts(asked(f"{tmp_path}/**/3.png")) == ["blue"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(asked, tmp_path):
    picture(tmp_path / "a1.png", "red")
    literal = picture(tmp_path / "a[1].png", "blue")
    assert firsts(asked(literal)) == ["blue"]


def test_arguments_that_mean_nothing_have_their_rows(asked, tmp_path):
    red = picture(tmp_path / "red.png", "red")
    for name in ("empty", "deep/er", "tars"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tars" / "val.tar").touch()
    folders = [tmp_path / name for name in ("empty", "deep", "tars")]
    found = asked(tmp_path / "gone.png", *folders, f"{tmp_path}/*.gif", red, red, code=3)
    assert firsts(found) == [
        "no such file or folder",
        "no images inside",
        "no images inside; add --recursive to search its subfolders",
        "no images inside; unpack val.tar first",
        "matches no file",
        *("red", "red"),
    ]


def test_standard_input_is_a_picture(asked, tmp_path):
    blue, red = picture(tmp_path / "b.png", "blue"), picture(tmp_path / "r.png", "red")
    found = asked(red, "-", input=blue.read_bytes())
    assert [(one["picture"], one["predictions"][0]["class"]) for one in found] == [(str(red), "red"), ("-", "blue")]
    assert asked("-", code=1, input=b"") == [{"picture": "-", "error": "the file is empty"}]


def test_standard_input_is_a_list_of_names(asked, tmp_path):
    blue, red = picture(tmp_path / "a b.png", "blue"), picture(tmp_path / "r.png", "red")
    lines = f"{red}\n\n{blue}\r\n-\n{tmp_path}/*.png".encode()
    found = asked("--from-list", code=3, input=lines)
    assert firsts(found) == ["red", "blue", "no such file or folder", "blue", "red"]
    assert firsts(asked(blue, "-", "--from-list", input=f"{red}\n".encode())) == ["blue", "red"]


def test_standard_input_is_read_once(weights):
    result = run("predict", "-w", weights, "-", "-")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: - is given twice, and standard input can be read only once: leave one of them out.\n",
    )


@pytest.mark.parametrize("stream", [None, "keyboard"])
def test_nobody_types_a_picture(monkeypatch, stream):
    class Keyboard:
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", stream and Keyboard())
    with pytest.raises(UsageError, match="standard input, which is a terminal: add `< FILE`"):
        _inputs.expand(("-",), False, False)


def test_too_much_on_standard_input_is_refused(asked, monkeypatch):
    monkeypatch.setattr("cualex.data.images.BYTES", 2_000_000)
    (found,) = asked("-", code=1, input=bytes(2_000_001))
    assert found["error"] == "larger than 2 MB, too large for an image"


def test_a_name_that_is_no_text_is_marked(asked, tmp_path):
    place = os.fsencode(tmp_path) + b"/caf\xe9.png"
    picture(tmp_path / "p.png", "red").rename(os.fsdecode(place))
    (found,) = asked(tmp_path)
    assert found["picture"] == f"{tmp_path}/caf�.png"
    assert firsts(asked("--from-list", input=place)) == ["red"]


# --- what the user reads


def test_the_table_has_a_row_a_class(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "1.png", "red")
    broken(tmp_path / "2.png", b"")
    picture(tmp_path / "3.png", "blue", 120)
    result = run("predict", "-w", "weights.safetensors", "1.png", "2.png", "3.png", "--top", 2)
    assert result.exit_code == 3
    (_, red), (_, green) = cualex.load("weights.safetensors").predict("1.png", 2)
    assert [line.rstrip() for line in result.stdout.splitlines() if "─" not in line] == [
        "image  probability  class",
        f"1.png  {red:>11.1%}  red",
        f"       {green:>11.1%}  green",
        "2.png               not read: the file is empty",
        *result.stdout.splitlines()[-2:],
    ]
    assert re.fullmatch(r"3\.png        ..\..%  blue", result.stdout.splitlines()[-2])
    assert result.stderr == "Error: 1 of 3 images could not be read; the others are classified.\n"


def test_no_image_of_a_folder_is_passed_over_in_silence(asked, tmp_path):
    """What cannot be read has its line, whatever its suffix; what systems leave behind is no image of the folder."""
    for name in ("a.png", "@eaDir/a.png", "deep/d.png"):
        picture(tmp_path / "set" / name, "red")
    for name, data in (
        ("b.psd", b"8BPS"),
        ("c.NEF", b"II*\0"),
        ("e.svg", b"<svg>"),
        ("f.qoi", b"qoif"),
        ("n.txt", b"x"),
    ):
        broken(tmp_path / "set" / name, data)
    found = asked(tmp_path / "set", "--recursive", code=3)
    reasons = {os.path.basename(one["picture"]): one.get("error", "") for one in found}
    assert reasons == {
        "a.png": "",
        "b.psd": "a Photoshop file: save it as PNG or JPEG",
        "c.NEF": "a camera's raw file: export it as JPEG",
        "d.png": "",
        "e.svg": "a drawing (SVG): save it as PNG or JPEG",
        "f.qoi": ".qoi images are not read: save it as PNG or JPEG",
    }


def test_imagenets_folders_have_english_names(tmp_path, monkeypatch):
    """In a table for people; in JSON beside the class, which keeps the name of its folder."""
    monkeypatch.chdir(tmp_path)
    numbered = replace(colour_network.made(), classes=["n01440764", "goldfish", "n01484850"])
    save(tmp_path / "numbered.safetensors", numbered)
    picture(tmp_path / "1.png", "red")
    result = run("predict", "-w", "numbered.safetensors", "1.png")
    named = {line.split("%  ")[1] for line in result.stdout.splitlines()[2:]}
    assert named == {"tench", "goldfish", "great white shark"}
    asked = run("predict", "-w", "numbered.safetensors", "1.png", "--json")
    predictions = json.loads(asked.stdout)["results"][0]["predictions"]
    assert {one["class"]: one.get("name") for one in predictions} == {
        "n01440764": "tench",
        "goldfish": None,
        "n01484850": "great white shark",
    }


def test_top_says_how_many_classes(asked, tmp_path):
    red = picture(tmp_path / "r.png", "red")
    for top, expected in ((1, 1), (3, 3), (5, 3)):
        (found,) = asked(red, "--top", top)
        assert len(found["predictions"]) == expected
        shares = [one["probability"] for one in found["predictions"]]
        assert shares == sorted(shares, reverse=True)


def test_nothing_readable_is_an_error(weights, tmp_path):
    one, two = broken(tmp_path / "1.png", b""), broken(tmp_path / "2.png")
    result = run("predict", "-w", weights, one)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {one}: the file is empty\n"
    result = run("predict", "-w", weights, one, two)
    assert result.exit_code == 1
    assert f"{two}" in result.stdout
    assert result.stderr == (f"Error: none of the 2 images could be read; the first: {one}: the file is empty\n")


def test_without_weights_the_newest_finished_run_is_taken_and_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    red = picture(tmp_path / "red.png", "red")
    for age, name in ((30, "train"), (10, "train-2"), (20, "train-3")):
        colour_network.finished(tmp_path / "runs", name)
        os.utime(tmp_path / "runs" / name / "finished.json", (1e9 - age, 1e9 - age))
    colour_network.saved(tmp_path / "runs" / "unfinished" / "best.safetensors")
    result = run("predict", red, "--json")
    assert (result.exit_code, json.loads(result.stdout)["weights"]) == (0, "runs/train-2/best.safetensors")
    assert result.stderr == "Weights: runs/train-2/best.safetensors (newest finished run).\n"


def test_without_any_run_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("predict", picture(tmp_path / "red.png", "red"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: no finished run in runs: train one with `cualex train FOLDER`, "
        "or give a weights file with --weights; or use --weights cifar10, the bundled network of ten "
        "classes (airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck), which is right on fewer "
        "than half of real photographs\n"
    )


def test_without_pictures_it_says_what_to_give(weights):
    result = run("predict", "-w", weights)
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: no images were given: give files, folders, quoted globs, or - for standard input.\n",
    )


def test_progress_is_shown_where_one_waits(weights, tmp_path):
    few = [picture(tmp_path / f"{number}.png", "red") for number in range(3)]
    assert run("predict", "-w", weights, *few).stderr == ""
    assert "Predicting: 33" in run("predict", "-w", weights, *few * 11).stderr
