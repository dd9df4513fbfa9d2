"""Classes by name: the same in all splits, or the model's."""

from collections.abc import Sequence

from cualex.data.sources import imagenet_classes
from cualex.data.sources.classless import Arranged, Found
from cualex.data.sources.listing import File, order
from cualex.errors import DataError
from cualex.system.amounts import some


def training_classes(path: str, arranged: Arranged) -> list[str]:
    """Return the classes of train in byte order; raise DataError when another split has a class that train lacks."""
    if "train" not in arranged:
        have = " and ".join(f"{split}/" for split in arranged)
        raise DataError(f"{path}: {have} but no train/; put the training images in {path}/train/CLASS/")
    names = sorted(arranged["train"], key=order)
    for split, groups in arranged.items():
        unknown = sorted(set(groups) - set(names), key=order)
        if unknown:
            raise DataError(
                f"{path}: {split} has classes that train lacks: {some(unknown)}; "
                f"add images of them to train, or remove them from {split}"
            )
    if len(names) < 2:
        raise DataError(f"{path}: only one class, {names[0]}; at least two are needed, each in its own folder")
    return names


def check_known(path: str, arranged: Arranged, known: Sequence[str]) -> list[str]:
    """Return a note on classes without an image; raise DataError for a class folder that the model does not know."""
    present = {name for groups in arranged.values() for name in groups}
    unknown = sorted(present - set(known), key=order)
    if unknown:
        raise DataError(
            f"{path}: the model has no class {some(unknown)}; its {len(known)} classes are {some(list(known))}: "
            "rename or remove these folders"
        )
    missing = [name for name in known if name not in present]
    if len(missing) > 1:
        return [f"no images of {len(missing):,} of the model's {len(known):,} classes: {some(missing)}"]
    return [f"no images of the model's class {missing[0]}"] if missing else []


def as_train_has_them(arranged: Arranged, known: Sequence[str] | None) -> None:
    """Rename classes of ImageNet to what train, or a model, calls them: numbers of Caffe's lists, WordNet's, words.

    known: a model's classes, None for those of train.
    """
    wanted = set(arranged.get("train", ()) if known is None else known)
    if not wanted.intersection(imagenet_classes.both_ways()):
        return
    for split, groups in arranged.items():
        if known is None and split == "train":
            continue
        renamed: dict[str, list[File]] = {}
        for name, files in groups.items():
            other = next((word for word in imagenet_classes.same(name) if word in wanted), name)
            renamed.setdefault(name if name in wanted else other, []).extend(files)
        arranged[split] = renamed


def leave_out_of_test(found: Found, known: Sequence[str] | None) -> None:
    """Leave classes out of test that train lacks, and that no model knows: nothing is learned or chosen by them."""
    train, test = found.arranged.get("train"), found.arranged.get("test")
    if not train or not test:
        return
    unknown = sorted(set(test) - set(train) - set(known or ()), key=order)
    if unknown:
        files = [file for name in unknown for file in test.pop(name)]
        found.leave_out(files, f"left out of test, classes that train lacks: {some(unknown)}")
    if not test:
        del found.arranged["test"]
