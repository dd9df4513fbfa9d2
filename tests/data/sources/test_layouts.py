"""Layouts that public sets have: each is recognised, or refused with the way out, and nothing is left out in silence.

Nothing is decoded by sources.find, so the files hold their own names.
"""

import os

import pytest

from cualex.data import image_kinds, sources
from cualex.data.sources import split_names
from cualex.errors import DataError
from tests.support.data_sets import contents, in_folder, in_zip


def some(folder, count=4, ending="jpg", stem="im"):
    return [f"{folder}/{stem}{number}.{ending}" for number in range(count)]


def classes(folder, names=("cat", "dog"), count=4):
    return [file.removeprefix("./") for name in names for file in some(f"{folder}/{name}", count)]


def counts(source):
    return {split: {name: len(files) for name, files in groups.items()} for split, groups in contents(source).items()}


TWO = {"cat": 4, "dog": 4}
UNLABELLED = "left out, {}: 3 images without labels"
NAMED = "classes of train are from the names of its files, as cat.0.jpg: cat (4), dog (4)"
HIDDEN = "left out, of a system or a program: {}"

# Layout: the files, the splits and classes with their counts, and the notes.
READ = {
    "Kaggle's dogs and cats": (
        [*(f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(4)), *some("test1", 3, stem="")],
        {"train": TWO},
        [
            UNLABELLED.format("test1"),
            "classes of train are from the names of its files, as cat.0.jpg: cat (4), dog (4)",
        ],
    ),
    "Kaggle's, one folder around": (
        [*(f"dogs-vs-cats/train/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(4))],
        {"train": TWO},
        [NAMED],
    ),
    "class and number, in one folder": (
        [f"images/{name}_{n}.jpg" for name in ("Abyssinian", "great_pyrenees") for n in range(1, 5)],
        {"train": {"Abyssinian": 4, "great_pyrenees": 4}},
        [
            "classes of train are from the names of its files, as Abyssinian_1.jpg: Abyssinian (4), great_pyrenees (4)",
        ],
    ),
    "class and number, and one that has none": (
        [*(f"{name} ({n}).jpg" for name in ("rose", "tulip") for n in range(1, 11)), "cover.jpg"],
        {"train": {"rose": 10, "tulip": 10}},
        [
            "left out, no class in the name: cover.jpg",
            "classes of train are from the names of its files, as rose (1).jpg: rose (10), tulip (10)",
        ],
    ),
    "splits that are wrapped twice": (
        [*classes("seg_train/seg_train"), *classes("seg_test/seg_test"), *some("seg_pred/seg_pred", 3)],
        {"train": TWO, "test": TWO},
        [UNLABELLED.format("seg_pred/seg_pred")],
    ),
    "Training and Test": ([*classes("Training"), *classes("Test")], {"train": TWO, "test": TWO}, []),
    "TRAIN and VALIDATION": ([*classes("TRAIN"), *classes("VALIDATION")], {"train": TWO, "val": TWO}, []),
    "training_set and test_set": (
        [*classes("training_set/training_set"), *classes("test_set/test_set")],
        {"train": TWO, "test": TWO},
        [],
    ),
    "trainingSet and testSet": ([*classes("trainingSet"), *classes("testSet")], {"train": TWO, "test": TWO}, []),
    "a common word before": (
        [*classes("asl_alphabet_train/asl_alphabet_train"), *some("asl_alphabet_test/asl_alphabet_test", 3)],
        {"train": TWO},
        [UNLABELLED.format("asl_alphabet_test/asl_alphabet_test")],
    ),
    "train2017 and val2017": ([*classes("train2017"), *classes("val2017")], {"train": TWO, "val": TWO}, []),
    "dev for validation": ([*classes("train"), *classes("dev")], {"train": TWO, "val": TWO}, []),
    "test without labels": ([*classes("train"), *some("test", 3)], {"train": TWO}, [UNLABELLED.format("test")]),
    "a set inside of its copy": (
        [
            *classes("chest/train"),
            *classes("chest/test"),
            *classes("chest/chest", ("train", "test")),
            *classes("chest/__MACOSX"),
        ],
        {"train": TWO, "test": TWO},
        ["left out, hidden: __MACOSX", "left out, the set once more: chest/chest"],
    ),
    "classes inside of their copy": (
        [*classes("cells"), *classes("cells/cells")],
        {"train": TWO},
        ["left out, the set once more: cells/cells"],
    ),
    "folders of numbers and letters": (
        [*some("c0"), *some("c1"), *some("10")],
        {"train": {"10": 4, "c0": 4, "c1": 4}},
        [],
    ),
    "the class first": (
        [*classes("cat", ("train", "test")), *classes("dog", ("train", "test")), "dog/cover.jpg"],
        {"train": TWO, "test": TWO},
        ["left out, in no split: dog/cover.jpg"],
    ),
    "CUB's images in class folders": (
        [*classes("CUB/images"), "CUB/images.txt", "CUB/classes.txt", "CUB/parts/parts.txt"],
        {"train": TWO},
        ["left out, no pictures by their ending: 3 .txt"],
    ),
    "classes of trains": (
        [*some("train station"), *some("test tube"), *some("boat")],
        {"train": {"boat": 4, "test tube": 4, "train station": 4}},
        [],
    ),
    "classes with and without masks": (
        classes(".", ("with_mask", "without_mask")),
        {"train": {"with_mask": 4, "without_mask": 4}},
        [],
    ),
    "classes mask and no_mask": (classes(".", ("mask", "no_mask")), {"train": {"mask": 4, "no_mask": 4}}, []),
    "what systems leave behind": (
        [
            *classes("."),
            *some("$RECYCLE.BIN"),
            *some("System Volume Information"),
            *some("@eaDir/cat"),
            *some("lost+found"),
            *some("cat/@eaDir/im0.jpg"),
            *some("#recycle"),
        ],
        {"train": TWO},
        [HIDDEN.format("#recycle, $RECYCLE.BIN, @eaDir, System Volume Information, lost+found")],
    ),
    "what programs leave behind": (
        [
            *classes("."),
            *some("runs/train/samples"),
            *(f"runs/train/{name}" for name in ("args.json", "env.json", "log.jsonl", "curves.png")),
            *some("__pycache__"),
            *some("wandb/media"),
            *some(".ipynb_checkpoints"),
        ],
        {"train": TWO},
        ["left out, hidden: .ipynb_checkpoints", HIDDEN.format("__pycache__, runs/train, wandb")],
    ),
    "runs that are a class": ([*classes("."), *some("runs")], {"train": {"cat": 4, "dog": 4, "runs": 4}}, []),
    "images of kinds that are not read": (
        [*classes("."), "cat/1.psd", "dog/2.CR2", "dog/3.svg", "dog/4.cr2"],
        {"train": TWO},
        [
            "left out, images of a kind that is not read (save it as PNG or JPEG): 2 .cr2, 1 .psd, 1 .svg, "
            "as cat/1.psd, dog/2.CR2, dog/3.svg"
        ],
    ),
    "archives beside classes": (
        [*classes("."), "cat.zip", "more/x.tar.gz"],
        {"train": TWO},
        [
            "left out, archives beside the images (extract them): cat.zip, more/x.tar.gz",
            "left out, no pictures inside: more",
        ],
    ),
    "a class of test that train lacks": (
        [*classes("train"), *classes("test", ("cat", "eel"), 2)],
        {"train": TWO, "test": {"cat": 2}},
        ["left out of test, classes that train lacks: eel"],
    ),
}


@pytest.mark.parametrize("form", [in_folder, in_zip])
@pytest.mark.parametrize("kind", READ)
def test_what_is_read(tmp_path, kind, form):
    names, expected, notes = READ[kind]
    source = sources.find(form(tmp_path / "set", names), val_split=0)
    assert counts(source) == expected
    assert list(source.notes) == notes


WAY_OUT = "and cualex trains on one class an image; put the images of each class into a folder, as {0}/cats/1.jpg and "
DETECTION = "{0}: {1} beside {2} is a set for detection: its labels are boxes, " + WAY_OUT
SEGMENTATION = "{0}: {1} beside {2} is a set for segmentation: its labels are masks, " + WAY_OUT

REFUSED = {
    "YOLO": (
        [*some("train/images"), *some("train/labels", 4, "txt"), *some("val/images"), "data.yaml"],
        DETECTION,
        ("train/images", "train/labels"),
    ),
    "YOLO, the other way round": (
        [*some("images/train"), *some("images/val"), *some("labels/train", 4, "txt")],
        DETECTION,
        ("images", "labels"),
    ),
    "Pascal VOC": (
        [*some("VOC2007/JPEGImages"), *some("VOC2007/Annotations", 4, "xml"), "VOC2007/ImageSets/Main/train.txt"],
        DETECTION,
        ("VOC2007/JPEGImages", "VOC2007/Annotations"),
    ),
    "COCO": (
        [*some("train2017"), *some("val2017"), "annotations/instances_train2017.json"],
        DETECTION,
        ("train2017", "annotations"),
    ),
    "Roboflow's COCO": (
        [*some("train"), "train/_annotations.coco.json", *some("valid"), "valid/_annotations.coco.json"],
        DETECTION,
        ("train", "train/_annotations.coco.json"),
    ),
    "labelImg": ([*some("faces"), *some("faces", 4, "xml")], DETECTION, ("faces", "faces/im0.xml")),
    "masks": ([*some("images"), *some("masks", 4, "png")], SEGMENTATION, ("images", "masks")),
    "Image and Mask": ([*some("data/Image"), *some("data/Mask", 4, "png")], SEGMENTATION, ("data/Image", "data/Mask")),
    "Carvana": ([*some("train"), *some("train_masks", 4, "gif")], SEGMENTATION, ("train", "train_masks")),
    "masks called as their images": ([*some("scans"), *some("gt", 4, "png")], SEGMENTATION, ("scans", "gt")),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_sets_for_other_tasks_are_refused_by_what_they_are(tmp_path, kind):
    names, message, parts = REFUSED[kind]
    place = in_folder(tmp_path / "set", names)
    with pytest.raises(DataError) as caught:
        sources.find(place)
    assert str(caught.value).startswith(message.format(place, *parts)), str(caught.value)
    assert str(caught.value).endswith("or give --names a list of lines `image class`")


def test_images_of_such_a_set_can_be_given_classes(tmp_path):
    place = in_folder(tmp_path / "set", [*some("images"), *some("masks", 4, "png")])
    (tmp_path / "list.txt").write_text("".join(f"im{n}.jpg {'ab'[n % 2]}\n" for n in range(4)))
    source = sources.find(place, val_split=0, names=tmp_path / "list.txt")
    assert counts(source) == {"train": {"a": 2, "b": 2}}
    assert source.notes == ("left out: masks/",)


# Sets that hold no images, and the way out.
ELSEWHERE = {
    "digits.mat": "MATLAB arrays: save the images as PNG, in a folder for each class",
    "mnist.npz": "NumPy arrays: save the images as PNG, in a folder for each class",
    "train-00000-of-00001.arrow": "a table of Hugging Face: save it with its to_parquet, which is read",
    "train.tfrecord-00000-of-00010": "TensorFlow records: save the images as PNG, in a folder for each class",
    "data.mdb": "a database of Caffe: give the images that it was made from",
    "set.h5": "HDF5 arrays: save the images as PNG, in a folder for each class",
    "film.mp4": "videos: save their frames as PNG or JPEG",
    "set.7z": "an archive that is not read: extract it",
    "train.csv": "tables: where they hold pixels, save each row as a PNG, in a folder for each class",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_sets_without_images_are_told_the_way_out(tmp_path, name):
    place = in_folder(tmp_path / "set", [name])
    with pytest.raises(DataError, match=rf"^{place}: no images inside \(found: 1 \.[^)]*\), but ") as caught:
        sources.find(place)
    assert str(caught.value).endswith(ELSEWHERE[name])


def test_only_images_of_kinds_that_are_not_read(tmp_path):
    place = in_folder(tmp_path / "set", ["a/1.psd", "b/2.cr2"])
    with pytest.raises(DataError) as caught:
        sources.find(place)
    assert str(caught.value) == (
        f"{place}: no images of a kind that is read (found: 1 .psd, 1 .cr2); save it as PNG or JPEG"
    )


def test_several_sets_side_by_side_are_no_classes(tmp_path):
    place = in_folder(tmp_path / "set", [*classes("pets/train"), *classes("pets/val"), *classes("birds")])
    with pytest.raises(DataError) as caught:
        sources.find(place)
    assert str(caught.value) == (
        f"{place}: pets is a data set of its own, with splits inside; give one set: {place}/pets"
    )


@pytest.mark.parametrize(
    "names",
    [
        [f"{stem}_{n:04}.jpg" for stem in ("IMG", "DSC") for n in range(5)],
        [f"{stem}{n}.jpg" for stem in ("frame ", "scan ") for n in range(5)],
        [f"{n}.jpg" for n in range(9)],
        [f"ILSVRC2012_{split}_{n:08}.JPEG" for split in ("val", "test") for n in range(5)],
        [f"{name}_1.jpg" for name in ("ant", "bee", "cow")],
        ["cat.0.jpg", "cat.1.jpg"],
        [f"images_part_{part}/{n}.jpg" for part in (1, 2) for n in range(4)],
    ],
)
def test_names_that_say_no_class_are_not_taken_for_classes(tmp_path, names):
    with pytest.raises(DataError, match=r" images without labels; put each class in its own folder"):
        sources.find(in_folder(tmp_path / "set", names))


def test_validation_images_without_labels_are_refused(tmp_path):
    place = in_folder(tmp_path / "set", [*classes("train"), *some("val", 3), "val_labels.csv"])
    with pytest.raises(DataError, match=r"/val: 3 images without labels; .* there is val_labels\.csv$"):
        sources.find(place)


def test_a_run_of_the_first_version_keeps_its_layout(tmp_path):
    """It took `images` and `masks` for classes, and goes on to do so; what is new is not asked."""
    names = [*some("images"), *some("masks", 4, "png"), *some("@eaDir"), "images/1.avif"]
    source = sources.find(in_folder(tmp_path / "set", names), val_split=0, decoding=image_kinds.FIRST_DECODING)
    assert counts(source) == {"train": {"@eaDir": 4, "images": 4, "masks": 4}}
    assert source.notes == ("left out, no pictures by their ending: 1 .avif",)


def test_what_cannot_be_read_does_not_veto_a_set(tmp_path, monkeypatch):
    """A folder without permission, and a pipe, which would block its reader for ever."""
    place = in_folder(tmp_path / "set", [*classes("."), *some("locked")])
    os.mkfifo(place / "cat/pipe.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    source = sources.find(place, val_split=0)
    assert counts(source) == {"train": TWO}
    assert sorted(source.notes) == [
        "cat/pipe.jpg is a pipe, socket or device and is left out",
        "locked cannot be read (Permission denied) and is left out",
    ]


def test_the_table_has_every_split_word():
    for word, split in split_names.WORDS.items():
        assert (
            split_names.found(["train", word.capitalize()] if split != "train" else [word, "test"])[
                word.capitalize() if split != "train" else word
            ]
            == split
        ), word
    assert not split_names.found(["cat", "dog", "trained", "contest", "invalid", "evaluate"])
    assert not split_names.found(["train station", "test tube", "train set of toys"])
