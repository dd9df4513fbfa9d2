"""Data sets in every form that users bring, and each way in which they are wrong.

Nothing is decoded by sources.find, so the files hold their own names.
"""

import os
import zipfile

import pytest

from cualex.data import sources
from cualex.errors import DataError, PictureError, UsageError
from tests.support.data_sets import FORMS, PLAIN, SPLIT, contents, in_folder, in_tar, in_zip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("above", ["", "flowers/", "data/flowers/"])
def test_splits_in_every_form(tmp_path, form, above):
    source = sources.find(form(tmp_path / "set", [above + name for name in SPLIT]))
    assert source.classes == ("ant", "bee", "cow")
    assert contents(source) == {
        "train": {
            "ant": [above + "train/ant/1.jpg", above + "train/ant/2.jpg"],
            "bee": [above + "train/bee/3.jpg"],
            "cow": [above + "train/cow/4.jpg"],
        },
        "val": {"bee": [above + "val/bee/5.jpg"], "cow": [above + "val/cow/6.jpg"]},
        "test": {
            "ant": [above + "test/ant/deeper/9.jpg"],
            "bee": [above + "test/bee/7.jpg", above + "test/bee/8.jpg"],
        },
    }
    assert source.validation == "val"
    assert source.notes == ()


@pytest.mark.parametrize("form", FORMS)
def test_classes_alone_are_divided(tmp_path, form):
    source = sources.find(form(tmp_path / "set", PLAIN), val_split=0.34)
    # Byte order: capitals first.
    assert source.classes == ("Zebra", "cat", "dog")
    read = contents(source)
    assert {name: len(files) for name, files in read["train"].items()} == {"Zebra": 1, "cat": 2, "dog": 1}
    assert {name: len(files) for name, files in read["val"].items()} == {"Zebra": 1, "cat": 1, "dog": 1}
    everything = [name for groups in read.values() for files in groups.values() for name in files]
    assert sorted(everything) == sorted(PLAIN)
    assert source.notes == ("val is held out from train: 3 of 7 images (--val-split 0.34)",)


def test_no_share_means_no_val(tmp_path):
    source = sources.find(in_folder(tmp_path / "set", PLAIN), val_split=0)
    assert source.splits.keys() == {"train"}
    assert source.validation is None
    assert len(source.splits["train"]) == len(PLAIN)


@pytest.mark.parametrize("share", [-0.1, 1, 20])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    with pytest.raises(UsageError, match=rf"^validation fraction {share}: expected at least 0 and less than 1$"):
        sources.find(in_folder(tmp_path / "set", PLAIN), val_split=share)


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "VAL"])
def test_other_names_of_val(tmp_path, name):
    source = sources.find(in_folder(tmp_path / "set", ["Train/a/1.jpg", "Train/b/2.jpg", f"{name}/a/3.jpg"]))
    assert {split: len(pictures) for split, pictures in source.splits.items()} == {"train": 2, "val": 1}


def test_a_class_may_be_called_train(tmp_path):
    source = sources.find(in_folder(tmp_path / "set", ["boat/1.jpg", "plane/2.jpg", "train/3.jpg"]))
    assert source.classes == ("boat", "plane", "train")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_left_out_is_said(tmp_path, form):
    names = [
        *("train/a/1.jpg", "train/b/2.jpg", "train/b/notes.txt", "train/b/3.HEIC", "train/c/", "train/4.jpg"),
        *("train/.ipynb_checkpoints/5.jpg", "train/b/.6.jpg", "__MACOSX/train/a/._1.jpg", ".git/7.jpg"),
        *("train/d/readme.txt", "extra/8.jpg", "9.jpg", "val/b/10.jpg"),
    ]
    source = sources.find(form(tmp_path / "set", names))
    assert source.classes == ("a", "b")
    assert [p.name for split in source.splits.values() for p in split] == [
        *("train/a/1.jpg", "train/b/2.jpg", "train/b/3.HEIC", "val/b/10.jpg")
    ]
    assert source.notes == (
        "left out, hidden: .6.jpg, .git, .ipynb_checkpoints, __MACOSX",
        "left out, no pictures by their ending: 2 .txt",
        "left out beside the splits: pictures in no folder, extra",
        "left out, in no class folder: train/4.jpg",
        "left out, no pictures inside: train/c, train/d",
    )


def test_the_same_class_in_two_spellings_of_unicode(tmp_path):
    names = ["train/caf\u00e9/1.jpg", "train/tea/2.jpg", "val/cafe\u0301/3.jpg"]
    source = sources.find(in_zip(tmp_path / "set", names))
    assert source.classes == ("caf\u00e9", "tea")
    assert [picture.label for picture in source.splits["val"]] == [0]


def test_names_that_are_no_utf8(tmp_path):
    folder = in_folder(tmp_path / "set", ["a/1.jpg", "b/2.jpg"])
    with open(os.fsencode(folder) + b"/a/\xff.jpg", "wb") as file:
        file.write(b"x")
    pictures = sources.find(folder, val_split=0).splits["train"]
    assert [os.fsencode(p.name) for p in pictures] == [b"a/1.jpg", b"a/\xff.jpg", b"b/2.jpg"]
    assert pictures[1].read() == b"x"


# A model's classes, in its own order.
def test_labels_are_places_in_a_models_classes(tmp_path):
    known = ["cow", "eel", "bee", "ant"]
    source = sources.find(in_folder(tmp_path / "set", SPLIT), classes=known)
    assert source.classes == tuple(known)
    by_class = {picture.name.split("/")[1]: picture.label for p in source.splits.values() for picture in p}
    assert by_class == {"ant": 3, "bee": 2, "cow": 0}
    assert source.notes == ("no images of the model's class eel",)


def test_a_folder_that_the_model_does_not_know(tmp_path):
    folder = in_folder(tmp_path / "set", SPLIT)
    with pytest.raises(DataError) as caught:
        sources.find(folder, classes=["ant", "Bee", "gnu"])
    assert str(caught.value) == (
        f"{folder}: the model has no class bee, cow; its 3 classes are ant, Bee, gnu: rename or remove these folders"
    )


def test_val_alone_is_enough_for_a_model_but_not_for_training(tmp_path):
    folder = in_folder(tmp_path / "set", ["val/a/1.jpg", "val/b/2.jpg"])
    assert contents(sources.find(folder, classes=["b", "a"])) == {"val": {"a": ["val/a/1.jpg"], "b": ["val/b/2.jpg"]}}
    with pytest.raises(DataError) as caught:
        sources.find(folder)
    assert str(caught.value) == (f"{folder}: val/ but no train/; put the training images in {folder}/train/CLASS/")


# Flat splits with a list of names, as ImageNet's val.
FLAT = ["train/ant/1.jpg", "train/polar bear/2.jpg", "val/x.jpg", "val/y.jpg", "val/z z.jpg"]


@pytest.mark.parametrize("form", FORMS)
def test_a_flat_split_with_a_list(tmp_path, form):
    names = tmp_path / "val.txt"
    names.write_text("x.jpg ant\n\ny.jpg   polar bear\r\nval/z z.jpg\tant\nelsewhere.jpg ant\n")
    source = sources.find(form(tmp_path / "set", FLAT), names=names)
    assert contents(source)["val"] == {"ant": ["val/x.jpg", "val/z z.jpg"], "polar bear": ["val/y.jpg"]}


def test_a_flat_folder_with_a_list_is_divided(tmp_path):
    names = tmp_path / "list.txt"
    names.write_text("1.jpg a\n2.jpg a\n3.jpg b\n4.jpg b\n")
    source = sources.find(in_folder(tmp_path / "set", ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]), names=names)
    assert source.classes == ("a", "b")
    assert {split: len(pictures) for split, pictures in source.splits.items()} == {"train": 2, "val": 2}


def test_splits_that_are_all_flat_with_a_list(tmp_path):
    names = tmp_path / "list.txt"
    names.write_text("1.jpg a\n2.jpg b\n3.jpg b\n")
    folder = in_folder(tmp_path / "set", ["train/1.jpg", "train/2.jpg", "val/3.jpg", "extra/4.jpg"])
    source = sources.find(folder, names=names)
    assert contents(source) == {
        "train": {"a": ["train/1.jpg"], "b": ["train/2.jpg"]},
        "val": {"b": ["val/3.jpg"]},
    }
    names.write_text("1.jpg a\n2.jpg b\n3.jpg a\n")
    assert sources.find(folder, names=names).identity != source.identity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x.jpg ant\ny.jpg\n", "{names}, line 2: expected `image class`, got 'y.jpg'"),
        ("x.jpg ant\nx.jpg bee\n", "{names}, line 2: x.jpg is bee here and ant before; remove a line"),
        (
            "x.jpg ant\n",
            "{folder}/val: the list of labels lacks y.jpg, z z.jpg; add a line `image class` for each",
        ),
        (b"\xff\xd8\xff", "{names}: not a text file; expected lines `image class` in UTF-8"),
        (None, "{names}: the list of labels cannot be read (No such file or directory)"),
        (
            "x.jpg ant\ny.jpg bee\nz z.jpg\tant\n",
            "{folder}: val has classes that train lacks: bee; add images of them to train, or remove them from val",
        ),
    ],
)
def test_lists_that_are_wrong(tmp_path, text, message):
    folder, names = in_folder(tmp_path / "set", FLAT), tmp_path / "val.txt"
    if text is not None:
        names.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        sources.find(folder, names=names)
    assert str(caught.value) == message.format(folder=folder, names=names)


ENDINGS = "expected .jpg, .png, .webp, .bmp, .gif, .tif or .ppm files in a folder for each class"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], f"no images inside (found: no files); {ENDINGS}, as {{0}}/cats/1.jpg and {{0}}/dogs/2.jpg"),
        (
            ["a/", "b/"],
            f"no images inside (found: no files); {ENDINGS}, as {{0}}/cats/1.jpg and {{0}}/dogs/2.jpg",
        ),
        (
            ["a/1.doc", "b/2.doc"],
            f"no images inside (found: 2 .doc); {ENDINGS}, as {{0}}/cats/1.jpg and {{0}}/dogs/2.jpg",
        ),
        (["a/1.jpg", "a/2.jpg"], "only one class, a; at least two are needed, each in its own folder"),
        (
            [*SPLIT, "val/dog/1.jpg", "val/eel/1.jpg"],
            "val has classes that train lacks: dog, eel; add images of them to train, or remove them from val",
        ),
    ],
)
def test_folders_that_are_wrong(tmp_path, names, message):
    folder = tmp_path / "set"
    folder.mkdir()
    in_folder(folder, names)
    with pytest.raises(DataError) as caught:
        sources.find(folder)
    assert str(caught.value) == f"{folder}: {message.format(folder)}"


@pytest.mark.parametrize(("names", "where"), [(["1.jpg", "2.jpg"], ""), (["train/1.jpg", "train/2.jpg"], "/train")])
def test_pictures_without_classes(tmp_path, names, where):
    folder = in_folder(tmp_path / "set", names)
    with pytest.raises(DataError) as caught:
        sources.find(folder)
    assert str(caught.value) == (
        f"{folder}{where}: 2 images without labels; put each class in its own folder, as "
        f"{folder}{where}/cats/1.jpg and {folder}{where}/dogs/2.jpg, or give --names a file of lines `image class`"
    )


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError) as caught:
        sources.find(tmp_path / "flowers")
    missing = tmp_path / "flowers"
    assert str(caught.value) == f"{missing}: no such folder, .zip or .tar; `demo` is the built-in data set"


def test_links_are_followed_but_not_in_circles(tmp_path):
    folder = in_folder(tmp_path / "set", ["a/1.jpg"])
    in_folder(tmp_path / "elsewhere", ["2.jpg"])
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "round").symlink_to(folder)
    (folder / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = sources.find(folder, val_split=0)
    assert [p.name for p in source.splits["train"]] == ["a/1.jpg", "a/gone.jpg", "b/2.jpg"]
    assert "a/round links to a folder above itself and is left out" in source.notes
    with pytest.raises(PictureError, match=r"^a/gone\.jpg: cannot be read \(No such file or directory\)$"):
        source.splits["train"][1].read()


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    # The tests may run as root, who may read all.
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    folder = in_folder(tmp_path / "set", PLAIN)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError) as caught:
        sources.find(folder)
    assert str(caught.value) == f"{folder}: cannot be read (Permission denied)"


@pytest.mark.parametrize("form", FORMS)
def test_the_identity_changes_with_the_set_and_the_labels(tmp_path, form):
    first = form(tmp_path / "set", SPLIT)
    more = form(tmp_path / "more", [*SPLIT, "val/ant/new.jpg"])
    identity = sources.find(first).identity
    assert sources.find(first).identity == identity
    assert sources.find(first, classes=["ant", "bee", "cow"]).identity == identity
    assert sources.find(first, classes=["cow", "bee", "ant"]).identity != identity
    assert sources.find(first, classes=["ant", "bee", "cow", "gnu"]).identity != identity
    assert sources.find(more).identity != identity


def test_the_identity_of_a_zip_follows_its_bytes_and_of_a_tar_its_date(tmp_path):
    archive = in_zip(tmp_path / "set", SPLIT)
    first = sources.find(archive).identity
    os.utime(archive, ns=(0, 5))
    assert sources.find(archive).identity == first
    with zipfile.ZipFile(archive, "w") as changed:
        for name in SPLIT:
            changed.writestr(name, name.upper())
    assert sources.find(archive).identity != first
    # The members of this tar all have size and date alike, whatever they hold.
    archive = in_tar(tmp_path / "set", SPLIT)
    first = sources.find(archive).identity
    os.utime(archive, ns=(0, 5))
    assert sources.find(archive).identity != first


def test_the_identity_changes_with_a_file(tmp_path):
    folder = in_folder(tmp_path / "set", SPLIT)
    first = sources.find(folder).identity
    assert sources.find(folder).identity == first
    assert sources.find(f"{folder}/../set/").identity == first
    file = folder / "val/bee/5.jpg"
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = sources.find(folder).identity
    assert touched != first
    file.write_bytes(b"another")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sources.find(folder).identity not in (first, touched)


def test_the_demo_is_found_by_its_name():
    source = sources.find("demo")
    assert (source.name, len(source.classes)) == ("demo", 10)
    assert source.splits["train"][0].read()
