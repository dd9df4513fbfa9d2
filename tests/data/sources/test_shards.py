"""WebDataset shards: classes from .cls, .json and .txt, their names, splits by the shards' names, what is refused."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from cualex.data import pack, sources
from cualex.data.sources import containers, shards
from cualex.errors import DataError
from tests.support.data_sets import counts


def picture(colour):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 90, 40)).save(stream, "PNG")
    return stream.getvalue()


def tar(path, members):
    """Write a tar of (name, bytes or text)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            data = data.encode() if isinstance(data, str) else data
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


def samples(first, classes, kind="cls"):
    """Return the members of a shard: an image and its class, (.cls) text or (.json) values."""
    members = []
    for number, label in enumerate(classes, first):
        members.append((f"{number:06}.png", picture(number % 250)))
        members.append((f"{number:06}.{kind}", label if isinstance(label, str) else json.dumps(label)))
    return members


@pytest.fixture
def place(tmp_path):
    """Shards of two splits, beside the names of their classes."""
    for number in range(3):
        tar(tmp_path / f"set/wds-train-{number:04}.tar", samples(10 * number, ["0", "1", "1\n", "0"]))
    tar(tmp_path / "set/wds-validation-0000.tar", samples(90, ["1", "0"]))
    (tmp_path / "set/classnames.txt").write_text("tabby cat\nT-shirt/top\n")
    return tmp_path / "set"


def test_a_folder_of_shards_has_splits_by_their_names_and_classes_by_the_list(place):
    source = sources.find(place)
    assert source.classes == ("T-shirt-top", "tabby cat")
    assert counts(source) == {"train": {"T-shirt-top": 6, "tabby cat": 6}, "val": {"T-shirt-top": 1, "tabby cat": 1}}
    assert source.notes == ()
    name = next(image.name for image in source.splits["val"] if source.classes[image.label] == "tabby cat")
    assert name == "val/tabby cat/wds-validation-0000-000091.png"


def test_each_image_has_its_own_bytes_and_class(place):
    source = sources.find(place)
    for images in source.splits.values():
        for image in images:
            number = int(image.name[-10:-4])
            assert image.read() == picture(number % 250)
    packed = _packed(source, place)
    assert np.array_equal(sorted(packed.labels), [0] * 6 + [1] * 6)


def _packed(source, place):
    work = pack.pack(source, "train", 16, cache=place / "cache")
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("absolute", [True, False])
def test_a_pattern_names_shards_as_a_shell_does(place, monkeypatch, absolute):
    monkeypatch.chdir(place)
    pattern = "wds-train-{0000..0002}.tar"
    source = sources.find(str(place / pattern) if absolute else pattern, val_split=0)
    assert counts(source) == {"train": {"T-shirt-top": 6, "tabby cat": 6}}
    assert source.name == str(place / pattern)
    both = sources.find("wds-{train,validation}-{0000..0000}.tar")
    assert counts(both) == {"train": {"T-shirt-top": 2, "tabby cat": 2}, "val": {"T-shirt-top": 1, "tabby cat": 1}}


def test_one_shard_is_a_set(place):
    assert counts(sources.find(place / "wds-train-0001.tar", val_split=0)) == {"train": {"0": 2, "1": 2}}


def test_shards_in_folders_of_their_splits(tmp_path):
    tar(tmp_path / "set/train/0.tar", samples(0, ["a", "b"]))
    tar(tmp_path / "set/test/0.tar", samples(0, ["b", "a"]))
    assert counts(sources.find(tmp_path / "set", val="test", val_split=0)) == {
        "train": {"a": 1, "b": 1},
        "test": {"a": 1, "b": 1},
    }


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([{"label": 3}, {"label": 3}, {"label": 5}], "json", {"3": 2, "5": 1}),
        ([{"label": 3, "class_name": "owl"}, {"label": 5, "class_name": "fox"}], "json", {"fox": 1, "owl": 1}),
        (["dog", "cat", "dog", "cat"], "txt", {"cat": 2, "dog": 2}),
        (["dog", "cat"], "cls.txt", {"cat": 1, "dog": 1}),
        (["007", "7", "8"], "cls", {"7": 2, "8": 1}),
    ],
)
def test_classes_as_they_are_found(tmp_path, labels, kind, classes):
    tar(tmp_path / "part-000.tar", samples(0, labels, kind))
    assert counts(sources.find(tmp_path / "part-000.tar", val_split=0)) == {"train": classes}


def test_names_in_the_json_beside_a_number(tmp_path):
    described = samples(0, [{"class_name": "crane"}, {"class_name": "owl"}, {"class_name": "crane"}], "json")
    numbers = [member for member in samples(0, ["134", "2", "517"]) if member[0].endswith("cls")]
    tar(tmp_path / "a-000.tar", [*described, *numbers])
    assert counts(sources.find(tmp_path / "a-000.tar", val_split=0)) == {
        "train": {"crane 134": 1, "crane 517": 1, "owl": 1}
    }


@pytest.mark.parametrize("text", ['["a", "b"]', '{"1": "b", "0": "a"}'])
def test_lists_of_classes_in_json(tmp_path, text):
    tar(tmp_path / "set/a-000.tar", samples(0, ["1", "0"]))
    (tmp_path / "set/classes.json").write_text(text)
    assert sources.find(tmp_path / "set", val_split=0).classes == ("a", "b")


def test_images_without_a_class_are_left_out_and_counted(tmp_path):
    tar(tmp_path / "a-000.tar", [*samples(0, ["1", "0"]), ("000009.png", picture(9))])
    source = sources.find(tmp_path / "a-000.tar", val_split=0)
    assert counts(source) == {"train": {"0": 1, "1": 1}}
    assert "1 images of the shards have no class beside them and are left out" in source.notes


def test_the_identity_changes_with_a_class(tmp_path):
    first = sources.find(tar(tmp_path / "a-000.tar", samples(0, ["1", "0"])), val_split=0).identity
    assert sources.find(tar(tmp_path / "a-000.tar", samples(0, ["0", "1"])), val_split=0).identity != first


def test_class_folders_in_archives_are_read_as_before(tmp_path):
    """With a .cls beside an image, too: the folders were its classes before shards were read."""
    members = [
        (f"{name}/{n}.{kind}", picture(n) if kind == "png" else "7")
        for name in ("cats", "dogs")
        for n in (1, 2)
        for kind in ("png", "cls")
    ]
    assert counts(sources.find(tar(tmp_path / "a-000.tar", members), val_split=0)) == {"train": {"cats": 2, "dogs": 2}}


LINE = "expected a class, a number or a name in a line"
REFUSED = {
    "two lines": (samples(0, ["a\nb", "c"]), f"a-000: 000000.cls: {LINE}"),
    "empty": (samples(0, ["", "c"]), f"a-000: 000000.cls: {LINE}"),
    "binary": ([("0.png", picture(1)), ("0.cls", b"\xff\xfe\x00")], f"a-000: 0.cls: {LINE}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_said_in_a_line(tmp_path, case):
    members, said = REFUSED[case]
    path = tar(tmp_path / "a-000.tar", members)
    with pytest.raises(DataError) as caught:
        sources.find(path)
    assert str(caught.value) == f"{path}: {said}"


def test_a_class_beyond_the_list_is_refused(place):
    (place / "classnames.txt").write_text("one\n")
    with pytest.raises(DataError, match=r"class 1 has no name: the list of classes has 1$"):
        sources.find(place)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("wds-train-{0000..0004}.tar", "2 of 5 files are missing: {0}/wds-train-0003.tar, {0}/wds-train-0004.tar"),
        ("a-{5..1}.tar", "expected a range from a smaller to a larger number, of up to 100,000"),
        ("a-{0..999999999}.tar", "expected a range from a smaller to a larger number, of up to 100,000"),
    ],
)
def test_a_pattern_of_missing_shards_is_refused(place, pattern, said):
    with pytest.raises(DataError) as caught:
        sources.find(place / pattern)
    assert str(caught.value) == f"{place / pattern}: {said.format(place)}"


def test_one_damaged_shard_is_left_out_and_named(place):
    (place / "wds-train-0001.tar").write_bytes(b"no tar")
    source = sources.find(place)
    assert counts(source)["train"] == {"T-shirt-top": 4, "tabby cat": 4}
    assert any(note.startswith("left out, a damaged archive: ") for note in source.notes)


@pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_shards_are_read_or_refused_in_a_line(tmp_path, count):
    whole = tar(
        tmp_path / "a-000.tar", [*samples(0, ["1", "0", "1"]), *samples(5, [{"label": 3}], "json")]
    ).read_bytes()
    rng = np.random.default_rng(4)
    read, refused = 0, []
    for _ in range(count):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        path = tmp_path / "b-000.tar"
        path.write_bytes(damaged[: rng.integers(1, len(damaged) + 1)] if rng.random() < 0.3 else damaged)
        try:
            source = sources.find(path, val_split=0)
            read += 1
            assert all(len(image.read()) >= 0 for image in source.splits["train"])
        except DataError as error:
            refused.append(str(error))
    assert read
    assert not [text for text in refused if "\n" in text]


# --- planted faults


def test_a_split_that_is_not_read_from_the_name_is_found(place, monkeypatch):
    monkeypatch.setattr(shards, "split_of", lambda name: "train")
    with pytest.raises(AssertionError):
        test_a_folder_of_shards_has_splits_by_their_names_and_classes_by_the_list(place)


def test_images_and_classes_that_are_swapped_are_found(place, monkeypatch):
    arranged = shards.arranged

    def swapped(path, found, beside):
        for each in found:
            first, second, *rest = each.samples
            wrong = shards.Sample(first.image, second.beside), shards.Sample(second.image, first.beside), *rest
            object.__setattr__(each, "samples", wrong)
        return arranged(path, found, beside)

    monkeypatch.setattr(containers.shards, "arranged", swapped)
    with pytest.raises(AssertionError):
        test_a_folder_of_shards_has_splits_by_their_names_and_classes_by_the_list(place)


NO_CLASSES = {  # files beside images that are common where there are no shards
    "captions": samples(0, ["a red car", "two dogs", "the sea"], "txt"),
    "boxes": samples(0, ["0 0.5 0.5 0.1 0.2\n1 0.2 0.2 0.1 0.1", "0 0.1 0.1 0.1 0.1"], "txt"),
    "no class in json": samples(0, [{"width": 3}], "json"),
    "damaged json": samples(0, ["{"], "json"),
    "true": samples(0, [{"label": True}], "json"),
    "one of three": [*samples(0, [{"label": 1}], "json"), ("1.png", picture(1)), ("2.png", picture(2))],
}


@pytest.mark.parametrize("case", NO_CLASSES)
def test_what_lies_beside_images_is_no_class_where_it_reads_as_none(tmp_path, case):
    """Such a tar was refused as a damaged shard: the names of the user, and the layout, were not asked."""
    path = tar(tmp_path / "a-000.tar", NO_CLASSES[case])
    with pytest.raises(DataError, match=r"images? without labels|or give --names a list"):
        sources.find(path)
    files = [name for name, _ in NO_CLASSES[case] if name.endswith(".png")]
    (tmp_path / "names.txt").write_text("".join(f"{name} {'ab'[at % 2]}\n" for at, name in enumerate(files)))
    assert sum(map(len, sources.find_images(path).splits.values())) == len(files)
    if len(files) > 1:
        found = sources.find(path, names=tmp_path / "names.txt", val_split=0)
        assert list(found.classes) == ["a", "b"]


def test_tars_of_classes_may_have_files_beside_their_images(tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("n01440764", "n01443537"):
        tar(tmp_path / f"set/{name}.tar", samples(0, [{"width": 3}] * 4, "json"))
    assert counts(sources.find(tmp_path / "set", val_split=0)) == {"train": {"n01440764": 4, "n01443537": 4}}


def test_a_mask_beside_an_image_is_no_image_of_its_class(tmp_path):
    members = []
    for number in range(4):
        members += [
            (f"{number}.mask.png", picture(200)),
            (f"{number}.png", picture(number)),
            (f"{number}.cls", str(number % 2)),
        ]
    found = sources.find(tar(tmp_path / "a-000.tar", members), val_split=0)
    assert counts(found) == {"train": {"0": 2, "1": 2}}
    assert {image.read() for image in found.splits["train"]} == {picture(number) for number in range(4)}
    assert any(note.startswith("4 further images of the shards' samples") for note in found.notes)
