"""Sets whose images are looked at: classes that do not fit together, or none, are no fault."""

import pytest

from cualex.data import sources
from cualex.errors import DataError
from tests.support import colour_network


def test_images_without_labels_are_of_one_class_without_a_name(tmp_path):
    for name in ("b.png", "a.png"):
        colour_network.picture(tmp_path / name, "red")
    source = sources.find_images(tmp_path)
    assert (source.classes, [image.name for image in source.splits["train"]]) == (("",), ["a.png", "b.png"])
    assert source.notes[-1].startswith(f"the images are taken without classes: {tmp_path}: 2 images without labels")
    before = source.identity
    colour_network.picture(tmp_path / "c.png", "blue")
    assert sources.find_images(tmp_path).identity != before


def test_classes_that_a_training_refuses_are_kept(tmp_path):
    """One class alone; and a test split without a training split."""
    colour_network.picture(tmp_path / "one/red/a.png", "red")
    colour_network.picture(tmp_path / "two/test/red/a.png", "red")
    colour_network.picture(tmp_path / "two/test/blue/b.png", "blue")
    for name, classes, split in (("one", ("red",), "train"), ("two", ("blue", "red"), "test")):
        with pytest.raises(DataError):
            sources.find(tmp_path / name)
        source = sources.find_images(tmp_path / name, val_split=0.0)
        assert (source.classes, list(source.splits)) == (classes, [split])


def test_no_image_and_labels_that_do_not_fit_are_faults_still(tmp_path):
    with pytest.raises(DataError, match="no images inside"):
        sources.find_images(tmp_path)
    colour_network.picture(tmp_path / "a.png", "red")
    (tmp_path / "labels.txt").write_text("other.png red\n")
    with pytest.raises(DataError, match=r"a\.png"):
        sources.find_images(tmp_path, names=tmp_path / "labels.txt")
