"""ImageNet and Kaggle's sets as they are downloaded: read to the bytes of the same images in folders, or refused."""

import gzip
import io
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cualex.data import images, pack, sources
from cualex.data.decoding import finish
from cualex.errors import DataError, ImageError
from tests.support import matlab_files
from tests.support.data_sets import counts, everything, in_folder, tar, tar_bytes
from tests.support.image_files import encoded


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- archives inside of archives and folders

WNIDS = ("n01440764", "n01443537", "n01484850")


def jpeg(seed):
    return encoded(np.random.default_rng(seed).integers(0, 255, (9, 8, 3), np.uint8), "JPEG")


def train_images():
    return {wnid: {f"{wnid}_{n}.JPEG": jpeg(10 * k + n) for n in range(5)} for k, wnid in enumerate(WNIDS)}


def train_tar(path):
    return tar(path, {f"{wnid}.tar": tar_bytes(held) for wnid, held in train_images().items()})


def val_tar(path):
    return tar(path, {f"ILSVRC2012_val_{n:08}.JPEG": jpeg(100 + n) for n in range(1, 7)})


def devkit(place, order=WNIDS[::-1]):
    """Write the devkit with classes in another order than by WordNet number, as ImageNet's are."""
    (place / "data").mkdir(parents=True)
    (place / "data/meta.mat").write_bytes(matlab_files.written(matlab_files.synsets(order), compressed=True))
    numbers = "".join(f"{order.index(WNIDS[n % 3]) + 1}\n" for n in range(6))
    (place / "data/ILSVRC2012_validation_ground_truth.txt").write_text(numbers)
    return place


LABELS = {f"ILSVRC2012_val_{n:08}.JPEG": WNIDS[(n - 1) % 3] for n in range(1, 7)}


def labelled(source, split="val"):
    return {image.name.rpartition("/")[2]: source.classes[image.label] for image in source.splits[split]}


def test_the_tars_pack_to_the_bytes_of_folders(tmp_path):
    path = train_tar(tmp_path / "ILSVRC2012_img_train.tar")
    for wnid, held in train_images().items():
        (tmp_path / "train" / wnid).mkdir(parents=True)
        for name, data in held.items():
            (tmp_path / "train" / wnid / name).write_bytes(data)
    packs = [finish(pack.pack(sources.find(each), "train", 8)) for each in (path, tmp_path / "train")]
    assert (everything(packs[0]) == everything(packs[1])).all()
    assert (packs[0].labels == packs[1].labels).all()
    assert packs[0].classes == WNIDS


@pytest.mark.parametrize("compressed", [False, True])
def test_the_tars_and_the_devkit_in_one_folder(tmp_path, compressed):
    place = tmp_path / "downloads"
    place.mkdir()
    train_tar(place / "ILSVRC2012_img_train.tar")
    val_tar(place / "ILSVRC2012_img_val.tar")
    kit = devkit(tmp_path / "ILSVRC2012_devkit_t12")
    if compressed:
        with tarfile.open(place / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
            archive.add(kit, kit.name)
    else:
        kit.rename(place / kit.name)
    source = sources.find(place)
    assert counts(source) == {"train": dict.fromkeys(WNIDS, 5), "val": dict.fromkeys(WNIDS, 2)}
    assert labelled(source) == LABELS
    assert all(images.decode(image.read(), "x").shape == (9, 8, 3) for image in source.splits["val"])


VAL_LISTS = {
    "names.txt": "".join(f"{name} {wnid}\n" for name, wnid in LABELS.items()),
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    + "".join(f"{name.removesuffix('.JPEG')},{wnid} 1 2 3 4 {wnid} 5 6 7 8 \n" for name, wnid in LABELS.items()),
    "val.txt": "".join(f"{name} {WNIDS.index(wnid)}\n" for name, wnid in LABELS.items()),  # Caffe's
}


@pytest.fixture
def imagenet(tmp_path):
    """Make train/ as folders and val/ flat."""
    for wnid, held in train_images().items():
        in_folder(tmp_path / "imagenet", [f"train/{wnid}/{name}" for name in held])
    for name in LABELS:
        in_folder(tmp_path / "imagenet", [f"val/{name}"])
    return tmp_path / "imagenet"


@pytest.mark.parametrize("name", VAL_LISTS)
def test_a_list_of_the_validation_images(imagenet, tmp_path, name):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / name).write_text(VAL_LISTS[name])
    assert labelled(sources.find(imagenet, names=tmp_path / "lists" / name)) == LABELS


@pytest.mark.parametrize("kind", ["folder", "archive", "ground truth", "beside", "solution beside"])
def test_the_devkit(imagenet, tmp_path, kind):
    if kind == "solution beside":
        (tmp_path / "LOC_val_solution.csv").write_text(VAL_LISTS["LOC_val_solution.csv"])
        assert labelled(sources.find(imagenet)) == LABELS
        return
    kit = devkit(tmp_path / "ILSVRC2012_devkit_t12")
    if kind == "archive":
        with tarfile.open(tmp_path / "kit.tar.gz", "w:gz") as archive:
            archive.add(kit, kit.name)
    names = {
        "folder": kit,
        "archive": tmp_path / "kit.tar.gz",
        "ground truth": kit / "data/ILSVRC2012_validation_ground_truth.txt",
        "beside": None,
    }[kind]
    source = sources.find(imagenet, names=names)
    assert labelled(source) == LABELS


def test_a_devkit_that_is_damaged(imagenet, tmp_path):
    kit = devkit(tmp_path / "ILSVRC2012_devkit_t12")
    (kit / "data/meta.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b" " * 100)
    with pytest.raises(DataError) as caught:
        sources.find(imagenet)
    assert str(caught.value) == (
        f"{kit}: data/meta.mat cannot be read (not a MATLAB 5 file); copy it again, or give --names lines `image class`"
    )
    with pytest.raises(DataError, match=r"this is ImageNet's devkit: give the images, and the devkit as --names$"):
        sources.find(kit)
    (kit / "data/meta.mat").unlink()
    truth = kit / "data/ILSVRC2012_validation_ground_truth.txt"
    with pytest.raises(DataError) as caught:
        sources.find(imagenet, names=truth)
    assert str(caught.value) == (
        f"{truth.parent}: {truth.name} without meta.mat, which has the classes of its numbers; put it beside it"
    )


def test_a_models_names_for_imagenets_classes(imagenet, tmp_path):
    """`cualex import` gives English names, the folders have WordNet's numbers: the same classes."""
    (tmp_path / "LOC_val_solution.csv").write_text(VAL_LISTS["LOC_val_solution.csv"])
    known = ["great white shark", "goldfish", "tench"]
    source = sources.find(imagenet, classes=known)
    assert source.classes == tuple(known)
    english = dict(zip(WNIDS, known[::-1], strict=True))
    assert labelled(source) == {name: english[wnid] for name, wnid in LABELS.items()}


def test_kaggles_zip_of_zips(tmp_path):
    parts = {}
    for split, names in (
        ("train", [f"{name}.{n}.jpg" for name in ("cat", "dog") for n in range(4)]),
        ("test1", ["1.jpg"]),
    ):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(f"{split}/{name}", name)
        parts[f"{split}.zip"] = file.getvalue()
    with zipfile.ZipFile(tmp_path / "dogs-vs-cats.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**parts, "sampleSubmission.csv": b"id,label\n1,0\n"}.items():
            archive.writestr(name, data)
    source = sources.find(tmp_path / "dogs-vs-cats.zip", val_split=0)
    assert counts(source) == {"train": {"cat": 4, "dog": 4}}
    assert source.splits["train"][0].read() == b"cat.0.jpg"
    assert "left out, test1/test1: 1 images without labels" in source.notes


def test_one_damaged_archive_is_left_out_and_named(tmp_path):
    place = tmp_path / "train"
    place.mkdir()
    for wnid, held in train_images().items():
        tar(place / f"{wnid}.tar", held)
    (place / f"{WNIDS[2]}.tar").write_bytes(b"cut short")
    source = sources.find(place, val_split=0)
    assert counts(source) == {"train": dict.fromkeys(WNIDS[:2], 5)}
    (note,) = [note for note in source.notes if "damaged" in note]
    assert note.startswith(f"left out, a damaged archive: {place}/{WNIDS[2]}.tar: neither a folder nor a whole .zip")
    for wnid in WNIDS:
        (place / f"{wnid}.tar").write_bytes(b"cut short")
    with pytest.raises(DataError, match=r"n01440764\.tar: neither a folder nor a whole \.zip or \.tar"):
        sources.find(place)


def test_names_inside_of_inner_archives_lead_nowhere(tmp_path):
    inner = tar_bytes({"../../out.jpg": b"x", "1.jpg": b"y", "/2.jpg": b"z"})
    path = tar(tmp_path / "set.tar", {"../cat.tar": inner, "cat.tar": inner, "dog.tar": tar_bytes({"1.jpg": b"w"})})
    source = sources.find(path, val_split=0)
    assert [image.name for image in source.splits["train"]] == ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    assert [image.read() for image in source.splits["train"]] == [b"y", b"z", b"w"]


def test_an_inner_archive_that_expands_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("cualex.data.sources.archives._GROWN", 100_000)
    bomb = gzip.compress(tar_bytes({"1.jpg": bytes(4_000_000)}))
    path = tar(
        tmp_path / "set.tar",
        {"cat.tar.gz": bomb, "dog.tar": tar_bytes({"1.jpg": b"w"}), "eel.tar": tar_bytes({"1.jpg": b"v"})},
    )
    source = sources.find(path, val_split=0)
    assert counts(source) == {"train": {"dog": 1, "eel": 1}}
    assert any("it expands beyond" in note for note in source.notes)


def test_archives_nested_too_deep_are_named_and_not_opened(tmp_path):
    data = {"1.jpg": b"x"}
    for depth in range(6):
        data = {f"{depth}.tar": tar_bytes(data)}
    with pytest.raises(DataError, match=r"no images inside \(found: 1 \.tar\)"):
        sources.find(tar(tmp_path / "set.tar", data))


def test_a_large_set_is_read_at_offsets_and_not_held(tmp_path):
    """A member is read from its place in the outer file: cutting that file cuts the images at its end alone."""
    path = train_tar(tmp_path / "ILSVRC2012_img_train.tar")
    source = sources.find(path, val_split=0)
    before = [image.read() for image in source.splits["train"]]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    after = []
    for image in source.splits["train"]:
        try:
            after.append(image.read())
        except ImageError:
            after.append(b"")
    assert after[0] == before[0]
    assert after[-1] != before[-1]


def test_heic_without_its_package_is_skipped_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    images._add_heif.cache_clear()
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / "set" / name)
    (tmp_path / "set/dog/3.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99)
    held = finish(pack.pack(sources.find(tmp_path / "set", val_split=0), "train", 8))
    assert len(held) == 4
    (skipped,) = held.skipped
    assert skipped[0] == "dog/3.heic"
    assert skipped[1].startswith("HEIC: install what reads it with pip install 'cualex[heif]'")
