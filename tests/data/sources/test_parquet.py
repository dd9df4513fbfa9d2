"""Parquet files of images: Hugging Face's structs, plain bytes, names in the metadata, splits; what is refused."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cualex.data import sources
from cualex.data.sources import parquet
from cualex.errors import DataError, ImageError
from tests.support.data_sets import counts

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")

NAMED = {
    b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["owl", "fox"], "_type": "ClassLabel"}}}})
}


def picture(number):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 250, 90, 40)).save(stream, "PNG")
    return stream.getvalue()


def table(path, labels, first=0, plain=False, metadata=None, images=None, column="label", rows=2):
    """Write a Parquet file in groups of some rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if images is None:
        images = [picture(first + n) for n in range(len(labels))]
    if not plain:
        images = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(images)]
    made = pyarrow.table({"image": images, column: labels})
    made = made.replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(made, path, row_group_size=rows)
    return path


@pytest.fixture
def place(tmp_path):
    for part in range(2):
        name = f"set/data/train-{part:05}-of-00002-a1b2c3.parquet"
        table(tmp_path / name, [0, 1, 1, 0, 1], 10 * part, metadata=NAMED)
    table(tmp_path / "set/data/validation-00000-of-00001.parquet", [1, 0], 90, metadata=NAMED)
    table(tmp_path / "set/data/test-00000-of-00001.parquet", [-1, -1], metadata=NAMED)
    (tmp_path / "set/README.md").write_text("# A set\n")
    return tmp_path / "set"


def test_a_set_of_hugging_face_has_splits_and_names(place):
    source = sources.find(place)
    assert counts(source) == {"train": {"fox": 6, "owl": 4}, "val": {"fox": 1, "owl": 1}}
    assert "2 rows of the Parquet files have no class and are left out" in source.notes


def test_each_image_has_its_own_bytes_and_class(place):
    """In any order: each file is expanded once."""
    source = sources.find(place)
    for image in reversed(source.splits["train"]):
        part, row = int(image.name.split("-of-")[0][-5:]), int(image.name[-10:-4])
        assert image.read() == picture(10 * part + row)
        assert source.classes[image.label] == ["owl", "fox"][[0, 1, 1, 0, 1][row]]


def test_a_file_is_expanded_once_and_at_the_first_image_that_is_read(place, monkeypatch):
    expanded, seen = parquet.archives.expanded, []
    monkeypatch.setattr(parquet.archives, "expanded", lambda *given: seen.append(1) or expanded(*given))
    source = sources.find(place)
    assert not seen
    for image in source.splits["val"] * 3:
        image.read()
    assert len(seen) == 1


@pytest.mark.parametrize("plain", [True, False])
def test_one_file_with_bytes_or_structs_and_names_as_texts(tmp_path, plain):
    path = table(tmp_path / "birds.parquet", ["owl", "jay", "owl"], plain=plain)
    source = sources.find(path, val_split=0)
    assert counts(source) == {"train": {"jay": 1, "owl": 2}}
    assert sorted(image.read() for image in source.splits["train"]) == sorted(map(picture, range(3)))


def test_a_pattern_names_files(place):
    source = sources.find(place / "data/{train-00001-of-00002-a1b2c3,validation-00000-of-00001}.parquet")
    assert counts(source) == {"train": {"fox": 3, "owl": 2}, "val": {"fox": 1, "owl": 1}}


def test_the_finer_of_two_columns_of_classes(tmp_path):
    made = pyarrow.table({"img": [picture(0), picture(1)], "coarse_label": [0, 0], "fine_label": [3, 4]})
    pyarrow.parquet.write_table(made, tmp_path / "train.parquet")
    assert sources.find(tmp_path / "train.parquet", val_split=0).classes == ("3", "4")


def test_dictionaries_and_large_types(tmp_path):
    labels = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    images = pyarrow.array([picture(n) for n in range(3)], pyarrow.large_binary())
    pyarrow.parquet.write_table(pyarrow.table({"jpg": images, "class": labels}), tmp_path / "t.parquet")
    source = sources.find(tmp_path / "t.parquet", val_split=0)
    assert counts(source) == {"train": {"a": 2, "b": 1}}
    assert {image.read() for image in source.splits["train"]} == {picture(n) for n in range(3)}


def test_a_row_without_bytes_is_skipped_with_its_reason(tmp_path):
    path = table(tmp_path / "t.parquet", [0, 1, 1], images=[picture(0), None, picture(2)])
    images = sources.find(path, val_split=0).splits["train"]
    read = {int(image.name[-10:-4]): image for image in images}
    assert read[2].read() == picture(2)
    with pytest.raises(ImageError, match="has no bytes in the Parquet file, perhaps only a path: embed the images"):
        read[1].read()


FILES = "of image files (bytes, or a struct of bytes and path); it has"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": ["a"], "label": [1]}, f"no column {FILES} text, label"),
        ({"image": [b"a"], "size": [1]}, "no column of classes, as label; it has image, size"),
        ({"image": [[1, 2]], "label": [1]}, f"no column {FILES} image, label"),
        ({"left": [b"a"], "right": [b"b"], "label": [1]}, f"several columns {FILES} left, right, label"),
        ({"image": [b"a"], "label": ["a\nb"]}, "expected a class, a number or a name in a line, got 'a\\nb'"),
    ],
)
def test_what_is_refused_is_said_in_a_line(tmp_path, columns, said):
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    with pytest.raises(DataError) as caught:
        sources.find(tmp_path / "t.parquet")
    assert str(caught.value) == f"{tmp_path / 't.parquet'}: t.parquet: {said}"


def test_a_class_beyond_the_names_is_refused(tmp_path):
    path = table(tmp_path / "t.parquet", [0, 2], metadata=NAMED)
    with pytest.raises(DataError, match=r"class 2 has no name: the list of classes has 2$"):
        sources.find(path)


def test_without_pyarrow_the_way_out_is_said(place, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"^Parquet files need pyarrow: pip install 'cualex\[parquet\]'$"):
        sources.find(place)


def test_no_parquet_costs_no_import_of_pyarrow():
    import subprocess
    import sys

    code = "import sys; from cualex.data import sources; sources.find('demo'); assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_in_a_line(tmp_path, count):
    whole = table(tmp_path / "a.parquet", [0, 1, 1, 0], metadata=NAMED).read_bytes()
    rng, path = np.random.default_rng(6), tmp_path / "b.parquet"
    read, refused = 0, []
    for _ in range(count):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(1, len(damaged) + 1)] if rng.random() < 0.2 else damaged)
        try:
            for image in sources.find(path, val_split=0).splits["train"]:
                image.read()
            read += 1
        except (DataError, ImageError) as error:
            refused.append(str(error))
    assert read
    assert not [text for text in refused if "\n" in text]


# --- planted faults


def test_rows_that_are_off_by_one_are_found(place, monkeypatch):
    read = parquet._Table.read
    monkeypatch.setattr(parquet._Table, "read", lambda self, row, name: read(self, row ^ 1 if row < 4 else row, name))
    with pytest.raises(AssertionError):
        test_each_image_has_its_own_bytes_and_class(place)


def test_a_damaged_file_is_expanded_once(place, monkeypatch):
    """It was expanded anew for every image of it, which of a large file is hours."""
    calls = []

    def damaged(*_):
        calls.append(1)
        raise EOFError

    monkeypatch.setattr(parquet.archives, "expanded", damaged)
    images = sources.find(place).splits["validation" if "validation" in sources.find(place).splits else "val"]
    for image in images:
        with pytest.raises(ImageError, match="cannot be read from the Parquet file"):
            image.read()
    assert len(images) > 1
    assert len(calls) == 1
