"""Lists of labels and of classes, as people, Windows, Excel and Kaggle write them."""

import numpy as np
import pytest

from cualex.data import sources
from cualex.data.sources import label_files, lists
from cualex.errors import DataError
from tests.support import matlab_files
from tests.support.data_sets import contents, in_folder

FOUR = {"ant": ["a.jpg", "b b.jpg"], "bee": ["c.jpg", "d.jpg"]}
PAIRS = [(name, group) for group, names in FOUR.items() for name in names]
LINES = "".join(f"{name} {group}\n" for name, group in PAIRS)
COMMAS = "".join(f"{name},{group}\n" for name, group in PAIRS)


def quoted(cell):
    return f'"{cell}"'


WRITTEN = {
    "lines": LINES.encode(),
    "lines of Windows": LINES.replace("\n", "\r\n").encode(),
    "a mark before": b"\xef\xbb\xbf" + LINES.encode(),
    "UTF-16, Windows": LINES.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, the other order": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "tabs": LINES.replace(".jpg ", ".jpg\t").encode(),
    "commas": COMMAS.encode(),
    "commas and quotes": "".join(f"{quoted(name)},{quoted(group)}\n" for name, group in PAIRS).encode(),
    "semicolons": COMMAS.replace(",", ";").encode(),
    "Excel's, with its separator": b"sep=;\r\nimage;class\r\n" + COMMAS.replace(",", ";").encode(),
    "a header": b"file_name,Class\n" + COMMAS.encode(),
    "a header in other words": b"what,kind\n" + COMMAS.encode(),
    "a header of lines": b"image class\n" + LINES.encode(),
    "pandas' numbers before": b",filename,label\n"
    + "".join(f"{n},{a},{b}\n" for n, (a, b) in enumerate(PAIRS)).encode(),
    "columns in another order": b"label,width,path\n" + "".join(f"{b},640,{a}\n" for a, b in PAIRS).encode(),
    "names before numbers": b"image,class_id,class_name\n" + "".join(f"{a},7,{b}\n" for a, b in PAIRS).encode(),
    "./ before": "".join(f"./{name} {group}\n" for name, group in PAIRS).encode(),
    "paths of Windows": "".join(f"C:\\Users\\me\\set\\{name},{group}\r\n" for name, group in PAIRS).encode(),
    "absolute paths": "".join(f"/home/me/set/{name} {group}\n" for name, group in PAIRS).encode(),
    "without suffix": b"id,breed\n" + COMMAS.replace(".jpg", "").encode(),
    "blank lines": LINES.replace("\n", "\n\n \n").encode(),
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_every_way_of_writing_a_list(tmp_path, kind, ending):
    names = tmp_path / f"list.{ending}"
    names.write_bytes(WRITTEN[kind])
    place = in_folder(tmp_path / "set", [name for names in FOUR.values() for name in names])
    source = sources.find(place, names=names, val_split=0)
    assert contents(source) == {"train": FOUR}


def test_letters_of_windows_code_page():
    rows = lists.parse("x.csv", "image;class\r\na.jpg;Käse\r\nb.jpg;crème brûlée\r\n".encode("cp1252")).rows
    assert [group for group, _ in rows.values()] == ["Käse", "crème brûlée"]


def test_a_class_of_several_words_with_commas_stays_whole():
    assert lists.parse("x.txt", b"a.jpg great white shark, man-eater\n").rows == {
        "a.jpg": ("great white shark, man-eater", None)
    }


def test_a_column_divides_the_images(tmp_path):
    (tmp_path / "set.csv").write_text(
        "image,label,split\na.jpg,ant,Train\nb b.jpg,ant,valid\nc.jpg,bee,training\nd.jpg,bee,TEST\n"
    )
    place = in_folder(tmp_path / "set", ["jpg/a.jpg", "jpg/b b.jpg", "jpg/c.jpg", "jpg/d.jpg", "jpg/e.jpg"])
    source = sources.find(place, names=tmp_path / "set.csv")
    assert contents(source) == {
        "train": {"ant": ["jpg/a.jpg"], "bee": ["jpg/c.jpg"]},
        "val": {"ant": ["jpg/b b.jpg"]},
        "test": {"bee": ["jpg/d.jpg"]},
    }
    assert source.notes == ("left out, not listed: jpg/e.jpg",)


SPLITS = {"train": ["1", "2", "3"], "val": ["4", "5"], "test": ["6"]}


def flowers(place):
    """Make the layout of Caffe's Oxford flowers: jpg/, and a list for each split."""
    in_folder(place, [f"jpg/image_{n}.jpg" for n in range(1, 7)])
    for split, numbers in SPLITS.items():
        lines = "".join(f"jpg/image_{n}.jpg {int(n) % 2 if split != 'test' else 1}\n" for n in numbers)
        (place / f"{split.replace('val', 'valid')}.txt").write_text(lines)
    return place


EXPECTED = {
    "train": {"0": ["jpg/image_2.jpg"], "1": ["jpg/image_1.jpg", "jpg/image_3.jpg"]},
    "val": {"0": ["jpg/image_4.jpg"], "1": ["jpg/image_5.jpg"]},
    "test": {"1": ["jpg/image_6.jpg"]},
}


def test_lists_of_the_splits_in_the_set(tmp_path):
    place = flowers(tmp_path / "set")
    source = sources.find(place)
    assert contents(source) == EXPECTED
    lists_named = f"{place}/test.txt, {place}/train.txt, {place}/valid.txt"
    assert source.notes == (
        "left out, no pictures by their ending: 3 .txt",
        f"labels are those of {lists_named}",
    )


def test_a_folder_of_lists(tmp_path):
    place = flowers(tmp_path / "set")
    (tmp_path / "lists").mkdir()
    for path in place.glob("*.txt"):
        path.rename(tmp_path / "lists" / path.name)
    assert contents(sources.find(place, names=tmp_path / "lists")) == EXPECTED


@pytest.mark.parametrize("divided", [True, False])
def test_oxfords_own_files(tmp_path, divided):
    place = in_folder(tmp_path / "set", [f"jpg/image_{n:05}.jpg" for n in range(1, 7)])
    labels = np.array([[77, 5, 77, 5, 77, 5]], np.uint8)
    (place / "imagelabels.mat").write_bytes(matlab_files.written({"labels": labels}, compressed=True))
    if divided:
        sets = {"trnid": np.uint16([[1, 2, 3]]), "valid": np.uint16([[4]]), "tstid": np.uint16([[5, 6]])}
        (place / "setid.mat").write_bytes(matlab_files.written(sets))
    source = sources.find(place, val_split=0)
    found = {split: {name: len(files) for name, files in groups.items()} for split, groups in contents(source).items()}
    if divided:
        assert found == {"train": {"5": 1, "77": 2}, "val": {"5": 1}, "test": {"5": 1, "77": 1}}
    else:
        assert found == {"train": {"5": 3, "77": 3}}
    assert contents(sources.find(place, val_split=0, names=place / "imagelabels.mat")) == contents(source)


@pytest.mark.parametrize(
    ("files", "name", "text"),
    [
        (
            ["train/000bec.jpg", "train/00148a.jpg", "test/00a1.jpg"],
            "labels.csv",
            "id,breed\n000bec,pug\n00148a,dingo\n",
        ),
        (["train/1.jpg", "train/2.jpg", "test/1.jpg"], "train_labels.csv", "id,label\n1,pug\n2,dingo\n"),
    ],
)
def test_a_list_in_the_set(tmp_path, files, name, text):
    """Kaggle's: a table for train, and test images without labels, which may be called as those of train are."""
    place = in_folder(tmp_path / "set", files)
    (place / name).write_text(text)
    source = sources.find(place, val_split=0)
    assert contents(source) == {"train": {"dingo": [files[1]], "pug": [files[0]]}}
    assert f"labels of train are those of {place}/{name}" in source.notes
    assert "left out, test: 1 images without labels" in source.notes


@pytest.mark.parametrize(
    ("files", "tables", "expected"),
    [
        (  # HAM10000, in two folders
            ["HAM_part_1/a.jpg", "HAM_part_1/b.jpg", "HAM_part_2/c.jpg", "HAM_part_2/d.jpg"],
            {"HAM_metadata.csv": "lesion_id,image_id,dx,age\n1,a,nv,9\n2,b,bkl,9\n3,c,nv,9\n4,d,bkl,9\n"},
            {
                "train": {
                    "bkl": ["HAM_part_1/b.jpg", "HAM_part_2/d.jpg"],
                    "nv": ["HAM_part_1/a.jpg", "HAM_part_2/c.jpg"],
                }
            },
        ),
        (  # Kaggle's CIFAR-10
            ["train/1.png", "train/2.png", "test/1.png"],
            {"trainLabels.csv": "id,label\n1,cat\n2,dog\n", "sampleSubmission.csv": "id,label\n1,cat\n2,cat\n"},
            {"train": {"cat": ["train/1.png"], "dog": ["train/2.png"]}},
        ),
        (  # GTSRB
            ["Train/0/1.png", "Train/1/2.png", "Test/00000.png", "Test/00001.png", "Meta/0.png"],
            {"Test.csv": "Width,Height,ClassId,Path\n9,9,1,Test/00000.png\n9,9,0,Test/00001.png\n"},
            {
                "train": {"0": ["Train/0/1.png"], "1": ["Train/1/2.png"]},
                "test": {"0": ["Test/00001.png"], "1": ["Test/00000.png"]},
            },
        ),
    ],
)
def test_tables_of_public_sets(tmp_path, files, tables, expected):
    place = in_folder(tmp_path / "set", files)
    for name, text in tables.items():
        (place / name).write_text(text)
    assert contents(sources.find(place, val_split=0)) == expected


def test_tiny_imagenet(tmp_path):
    wnids = ("n01443537", "n01629819")
    place = in_folder(
        tmp_path / "tiny-imagenet-200",
        [
            *(f"train/{wnid}/images/{wnid}_{n}.JPEG" for wnid in wnids for n in range(3)),
            *(f"val/images/val_{n}.JPEG" for n in range(4)),
            *(f"test/images/test_{n}.JPEG" for n in range(4)),
        ],
    )
    lines = (f"val_{n}.JPEG\t{wnids[n % 2]}\t0\t32\t44\t62\n" for n in range(4))
    (place / "val/val_annotations.txt").write_text("".join(lines))
    source = sources.find(place)
    found = {split: {name: len(files) for name, files in groups.items()} for split, groups in contents(source).items()}
    assert found == {"train": dict.fromkeys(wnids, 3), "val": dict.fromkeys(wnids, 2)}
    assert "left out, test/images: 4 images without labels" in source.notes


def test_a_few_images_that_the_list_lacks_are_left_out(tmp_path):
    place = in_folder(tmp_path / "set", ["a.jpg", "b b.jpg", "c.jpg", "d.jpg", "odd.jpg"])
    (tmp_path / "list.txt").write_text(LINES)
    source = sources.find(place, names=tmp_path / "list.txt", val_split=0)
    assert contents(source) == {"train": FOUR}
    assert source.notes == ("left out, not in the list of labels: odd.jpg",)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("image,width,height\na.jpg,1,2\n", "{0}, line 1: "
         "no column of images and of classes, got 'image, width, height'; "
         "name two columns `image` and `class`"),
        ("image,class\na.jpg,ant\nb.jpg\n", "{0}, line 3: expected `image class`, got 'b.jpg'"),
        ("image,class\na.jpg,ant\na.jpg,bee\n", "{0}, line 3: a.jpg is bee here and ant before; remove a line"),
        ("".join(f"ILSVRC2012_val_{n:08} {n}\n" for n in range(1, 5)), "{0}: "
         "it numbers the images and names no classes; "
         "give --names LOC_val_solution.csv, the devkit's folder, or Caffe's val.txt"),
    ],
)  # fmt: skip
def test_lists_that_are_wrong(tmp_path, written, message):
    path = tmp_path / "list.csv"
    path.write_text(written)
    with pytest.raises(DataError) as caught:
        label_files.given(path)
    assert str(caught.value) == message.format(path)


def test_a_name_that_two_images_have_is_no_label():
    """A list of `a/1.jpg` and `b/1.jpg` says nothing about `1.jpg`."""
    labels = lists.parse("x", b"a/1.jpg ant\nb/1.jpg bee\n")
    assert labels.get("set/a/1.jpg") == ("ant", None)
    assert labels.get("set/b/1.jpg") == ("bee", None)
    assert labels.get("1.jpg") is None
    assert labels.get("c/1.jpg") is None
