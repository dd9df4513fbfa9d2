"""ImageNet's classes are called by their WordNet numbers, indices, words, or the first word."""

import pytest

from cualex.data import sources
from cualex.data.sources import imagenet_classes

NAMES = {
    "WordNet": ("n01440764", "n01443537", "n01828970"),
    "whole": ("tench, Tinca tinca", "goldfish, Carassius auratus", "bee eater"),
    "first": ("tench", "goldfish", "bee eater"),
    "index": ("0", "1", "92"),
}


@pytest.mark.parametrize("known", ["WordNet", "whole", "first"])
@pytest.mark.parametrize("folders", NAMES)
def test_a_model_knows_a_class_by_each_of_its_names(tmp_path, known, folders):
    for folder in NAMES[folders]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.JPEG").write_bytes(folder.encode())
    source = sources.find(tmp_path, classes=NAMES[known], val_split=0)
    found = {NAMES[known][image.label]: image.read().decode() for image in source.splits["train"]}
    assert found == dict(zip(NAMES[known], NAMES[folders], strict=True))


def test_words_of_two_classes_name_neither():
    """Crane is a bird and a machine, and WordNet has the same word alone for both."""
    assert sorted(name for name in imagenet_classes.both_ways() if name.startswith("crane")) == [
        "crane (n02012849)",
        "crane (n03126707)",
    ]
    assert imagenet_classes.same("crane") == ()
