"""`cualex check`: every kind of fault, planted once, is found once; a sound set is called sound; nothing is written."""

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli
from cualex.data import check, findings, sources
from cualex.data.decoding import finish
from cualex.errors import DataError
from tests.support import data_kinds

SIZE = 40  # the shorter side of the pictures here, so that nothing is resampled
COUNTS = {"train": {"ant": 12, "bee": 13, "cow": 14}, "val": {"ant": 2, "bee": 3, "cow": 4}}
TOTAL = 48


def drawn(number, mode="RGB"):
    """Draw a picture that no other number gives, wider than high."""
    pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE + 7, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def plant(place, name, picture, **options):
    file = place / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, bytes):
        file.write_bytes(picture)
    else:
        picture.save(file, **options)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Make a set of three classes with nothing wrong."""
    place, number = tmp_path_factory.mktemp("sets") / "sound", 0
    for split, classes in COUNTS.items():
        for name, count in classes.items():
            for _ in range(count):
                plant(place, f"{split}/{name}/{number}.png", drawn(number))
                number += 1
    assert number == TOTAL
    return place


@pytest.fixture
def folder(sound, tmp_path):
    """Copy the sound set, to be spoiled."""
    return shutil.copytree(sound, tmp_path / "set")


def looked(place, **options):
    return finish(check.check(place, SIZE, **options))


def run(place, *arguments):
    network = ["--network", "cifar-relu"]
    return CliRunner().invoke(cli.main, ["check", str(place), *network, *arguments])


def found(report):
    return {finding.kind: [(item.names, item.text) for item in finding.items] for finding in report.findings}


def test_a_sound_set_is_called_sound(sound):
    report = looked(sound)
    assert report.findings == ()
    assert report.refusal is None
    assert report.notes == ()
    assert report.unreadable == 0
    assert report.files == {"train": 39, "val": 9}
    assert report.classes == {name: {s: COUNTS[s][name] for s in COUNTS} for name in ("ant", "bee", "cow")}
    assert (report.formats, report.modes, report.grey) == ({"PNG": TOTAL}, {"RGB": TOTAL}, 0)
    assert report.sides == check.Sides(SIZE, SIZE, SIZE, enlarged=0)
    result = run(sound)
    assert result.exit_code == 0
    assert result.stdout.endswith("\n\nNo fault was found.\n")


def leak(place):
    plant(place, "val/bee/new.bmp", drawn(12))


def leak_as_another_class(place):
    plant(place, "val/cow/new.png", drawn(0))


def unreadable(place):
    plant(place, "train/bee/new.jpg", b"nothing of the kind")


def empty_file(place):
    plant(place, "train/bee/new.jpg", b"")


def truncated(place):
    plant(place, "train/bee/new.jpg", drawn(99))
    file = place / "train/bee/new.jpg"
    file.write_bytes(file.read_bytes()[:-500])


def contradiction(place):
    plant(place, "train/bee/new.png", drawn(0))


def twice(place):
    plant(place, "train/ant/a.png", drawn(0))
    plant(place, "train/ant/b.tiff", drawn(0))


def turned(place):
    # A camera that was held on its side: 6 says that the picture is to be turned to the right.
    exif = Image.Exif()
    exif[0x0112] = 6
    plant(place, "train/ant/a.png", drawn(0).transpose(Image.Transpose.ROTATE_90), exif=exif)


def lacking(place):
    shutil.rmtree(place / "val/cow")


def alike(place):
    for split, count in (("train", 10), ("val", 1)):
        for number in range(count):
            plant(place, f"{split}/C OW/{number}.png", drawn(100 + 10 * count + number))


def empty(place):
    (place / "train/dog").mkdir()


def few(place):
    for number in range(6, 12):
        (place / f"train/ant/{number}.png").unlink()


def lopsided(place):
    for number in range(107):
        plant(place, f"train/cow/new{number}.png", drawn(100 + number))


def tiny(place):
    plant(place, "val/ant/new.png", Image.new("RGB", (50, findings.TINY - 1), (9, 99, 199)))


def outside(place):
    plant(place, "train/new.png", drawn(100))


def beside(place):
    plant(place, "more/cow/new.png", drawn(100))


def stray(place):
    plant(place, "train/ant/notes.txt", b"buy milk")


def foreign(place):
    plant(place, "train/ant/1.psd", b"8BPS")


def profile(place):
    path = place / "train/ant/0.png"
    Image.open(path).save(path, icc_profile=b"no profile" * 20)


def hidden(place):
    plant(place, "train/.trash/1.png", drawn(100))
    plant(place, "train/.trash/2.png", drawn(0))


PLANTED = {
    leak: ("leakage", ("train/bee/12.png", "val/bee/new.bmp"), "in train and val"),
    leak_as_another_class: (
        "leakage",
        ("train/ant/0.png", "val/cow/new.png"),
        "in train and val, as ant and cow",
    ),
    unreadable: (
        "unreadable",
        ("train/bee/new.jpg",),
        "not an image, or its header is damaged "
        "(expected JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF, JPEG 2000 or HEIC)",
    ),
    empty_file: ("unreadable", ("train/bee/new.jpg",), "the file is empty"),
    truncated: ("truncated", ("train/bee/new.jpg",), "cut short, the file ends before the picture does"),
    contradiction: ("contradiction", ("train/ant/0.png", "train/bee/new.png"), "as ant and bee"),
    twice: ("duplicate", ("train/ant/0.png", "train/ant/a.png", "train/ant/b.tiff"), ""),
    turned: ("duplicate", ("train/ant/0.png", "train/ant/a.png"), ""),
    lacking: ("lacking", ("cow",), "not in val"),
    alike: ("alike", ("C OW", "cow"), ""),
    empty: ("empty", ("train/dog",), ""),
    few: ("few", ("ant",), "6 pictures"),
    lopsided: ("lopsided", ("ant", "cow"), "12 and 121 pictures"),
    tiny: ("tiny", ("val/ant/new.png",), "31 pixels"),
    outside: ("outside", ("train/new.png",), ""),
    beside: ("outside", ("more/cow/new.png",), ""),
    stray: ("stray", ("train/ant/notes.txt",), ""),
    foreign: ("foreign", ("train/ant/1.psd",), ""),
    profile: ("profile", ("train/ant/0.png",), "damaged colour profile, ignored"),
    hidden: ("hidden", ("train/.trash",), ""),
}


def test_every_kind_is_planted():
    alone = {kind for kind, _, _ in PLANTED.values()}
    assert alone | {"overlap", "colours"} == set(findings.KINDS)  # these two are below
    assert set(findings.NOTES) < alone


@pytest.mark.parametrize("spoil", PLANTED, ids=lambda spoil: spoil.__name__)
def test_a_fault_is_found_once_and_nothing_else(folder, spoil):
    spoil(folder)
    report = looked(folder)
    kind, *item = PLANTED[spoil]
    assert found(report) == {kind: [tuple(item)]}
    assert report.findings[0].text == findings.KINDS[kind]
    assert report.unreadable == (kind in ("unreadable", "truncated"))
    assert report.refusal is None
    result = run(folder)
    assert result.exit_code == (3 if report.unreadable else 0)
    assert ("No fault was found" in result.stdout) is (kind in findings.NOTES)


def test_a_class_that_is_there_twice_is_named(folder):
    """Under another name, and in both splits; as are its pictures, one by one."""
    for split in COUNTS:
        shutil.copytree(folder / split / "ant", folder / split / "formica")
    report = looked(folder)
    assert found(report)["overlap"] == [(("ant", "formica"), "14 of 14 and 14")]
    assert set(found(report)) == {"contradiction", "overlap"}
    assert len(found(report)["contradiction"]) == 14
    result = run(folder)
    assert (
        "\noverlap (1): classes that have 50% of their pictures or more in common, as a class under two names has\n"
        "  ant, formica: 14 of 14 and 14\n"
    ) in result.stdout
    assert [finding["fault"] for finding in json.loads(run(folder, "--json").stdout)["findings"]] == [True, True]


def test_classes_that_have_few_pictures_in_common_are_not_one(folder):
    """Six of ant's twelve to learn from are half; copies of copies count once."""
    for number in range(6):
        plant(folder, f"train/bee/new{number}.png", drawn(number))
    plant(folder, "train/bee/again.png", drawn(0))
    assert "overlap" not in found(looked(folder))  # 6 of 14, with validation
    plant(folder, "train/bee/new6.png", drawn(6))
    assert found(looked(folder))["overlap"] == [(("ant", "bee"), "7 of 14 and 23")]


COLOURFUL = ["textures", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("demo", "photographs", "tiny"))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COLOURFUL)
def test_splits_with_red_and_blue_changed_about_are_named(tmp_path, kind):
    """And those that are only other draws of the same are not; nor is a split of grey pictures."""
    share = 0.2
    data_kinds.on_disk(tmp_path, data_kinds.draw(kind, share=share))
    data_kinds.on_disk(tmp_path, data_kinds.draw(kind, seed=1, share=share), "val")
    assert not [finding for finding in looked(tmp_path).findings if finding.fault]
    data_kinds.on_disk(tmp_path, data_kinds.swapped(data_kinds.draw(kind, seed=1, share=share)), "val")
    (finding,) = [finding for finding in looked(tmp_path).findings if finding.fault]
    ((names, text),) = found(looked(tmp_path))["colours"]
    assert (finding.kind, names) == ("colours", ("val",))
    times = re.fullmatch(r"red less blue is (-\d\.\d\d) times what it is in the same class of train", text)
    assert -1.4 < float(times[1]) < -0.6
    grey = {
        name: [image.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8) for image in own]
        for name, own in data_kinds.draw(kind, seed=1, share=share).items()
    }
    data_kinds.on_disk(tmp_path, grey, "val")
    assert not [finding for finding in looked(tmp_path).findings if finding.fault]


def test_classes_of_one_picture_are_in_one_split_only(tmp_path):
    """Where val is taken from train, they stay in train: that is no fault."""
    for number in range(6):
        plant(tmp_path / "set", f"{'abcdef'[number]}/{number}.png", drawn(number))
    for number in range(6, 18):
        plant(tmp_path / "set", f"g/{number}.png", drawn(number))
    assert set(found(looked(tmp_path / "set"))) == {"few"}
    result = run(tmp_path / "set")
    assert result.exit_code == 0
    assert result.stdout.endswith("\n\nNo fault was found. What is listed are remarks.\n")


def test_a_fault_at_the_limit_is_none(folder):
    for number in range(2, 12):  # ant keeps 10, and cow gets ten times as many
        plant(folder, f"train/ant/{number}.png", drawn(number))
    for name in ("10", "11"):
        (folder / f"train/ant/{name}.png").unlink()
    for number in range(86):
        plant(folder, f"train/cow/new{number}.png", drawn(100 + number))
    plant(folder, "val/ant/new.png", Image.new("RGB", (50, findings.TINY), (9, 99, 199)))
    # One level of one pixel makes another picture.
    almost = drawn(0)
    almost.putpixel((20, 20), tuple(value ^ 1 for value in almost.getpixel((20, 20))))
    plant(folder, "val/ant/almost.png", almost)
    report = looked(folder)
    assert found(report) == {}
    assert report.classes["cow"]["train"] == 100


def test_what_matters_most_is_said_first(folder):
    for spoil in (hidden, stray, tiny, contradiction, truncated, leak):
        spoil(folder)
    report = looked(folder)
    assert [finding.kind for finding in report.findings] == [
        *("leakage", "truncated", "contradiction", "tiny", "stray", "hidden")
    ]


def test_a_set_that_is_divided_here_leaks_as_training_would_divide_it(tmp_path):
    for number in range(24):
        plant(tmp_path / "set", f"{'ab'[number % 2]}/{number}.png", drawn(number))
    source = sources.find(tmp_path / "set", val_split=0.5)
    learned = next(p.name for p in source.splits["train"] if p.name.startswith("a/"))
    judged = next(p.name for p in source.splits["val"] if p.name.startswith("a/"))
    shutil.copy(tmp_path / "set" / learned, tmp_path / "set" / judged)
    report = looked(tmp_path / "set", val_split=0.5)
    assert found(report)["leakage"] == [((learned, judged), "in train and val")]
    assert report.notes == ("val is held out from train: 12 of 24 images (--val-split 0.5)",)
    undivided = looked(tmp_path / "set", val_split=0)
    assert found(undivided) == {"duplicate": [(tuple(sorted((learned, judged))), "")]}


def test_formats_modes_and_greys_are_counted(folder):
    for mode, name in (("CMYK", "1.jpg"), ("CMYK", "2.tiff"), ("L", "3.jpg"), ("1", "4.png"), ("P", "5.gif")):
        plant(folder, f"val/ant/new{name}", drawn(len(name) + ord(name[0]), mode))
    # Grey to the eye, in three channels.
    plant(folder, "val/ant/new6.png", drawn(200, "L").convert("RGB"))
    report = looked(folder)
    assert report.findings == ()
    assert report.formats == {"PNG": TOTAL + 2, "JPEG": 2, "TIFF": 1, "GIF": 1}
    assert report.modes == {"RGB": TOTAL + 1, "CMYK": 2, "L": 1, "1": 1, "P": 1}
    assert report.grey == 3


def test_sides_are_those_of_the_files(folder):
    plant(folder, "val/ant/new.jpg", drawn(50).resize((900, 700)))
    plant(folder, "val/ant/small.jpg", drawn(51).resize((33, 39)))
    assert looked(folder).sides == check.Sides(33, SIZE, 700, enlarged=1)


# What training would refuse.
def test_a_set_that_training_refuses_is_looked_at_all_the_same(folder):
    unreadable(folder)
    plant(folder, "val/dog/1.png", drawn(100))
    result = run(folder, "--json")
    assert result.exit_code == 1
    refusal = f"{folder}: val has classes that train lacks: dog; add images of them to train, or remove them from val"
    assert result.stderr.splitlines()[-1] == f"Error: {refusal}"
    report = json.loads(result.stdout)
    assert report["refusal"] == refusal
    assert [finding["kind"] for finding in report["findings"]] == ["unreadable", "lacking"]
    assert report["findings"][1]["items"] == [{"names": ["dog"], "text": "not in train"}]
    assert report["classes"]["dog"] == {"train": 0, "val": 1}
    with pytest.raises(DataError) as caught:
        sources.find(folder)
    assert str(caught.value) == refusal


def test_a_class_of_which_nothing_can_be_read(folder):
    for file in (folder / "train/ant").iterdir():
        file.write_bytes(b"")
    result = run(folder)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"Error: {folder}: no training image of class ant can be read; the first: train/ant/0.png: the file is "
        "empty; repair them, or remove the class"
    )
    assert "\nunreadable (12): " in result.stdout
    assert "  ... and 2 more (--json lists all)\n" in result.stdout


def test_nothing_of_a_set_can_be_read(tmp_path):
    plant(tmp_path / "set", "a/1.png", b"")
    plant(tmp_path / "set", "b/1.png", b"")
    result = run(tmp_path / "set", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["shorter_side"] == {"smallest": 0, "median": 0, "largest": 0, "enlarged": 0}
    assert report["unreadable"] == 2
