"""Splits and classes from the names of folders, from names of files, or from lists.

The layouts, in the order in which they are tried; `annotated.py` refuses sets for other tasks before all of them:

    --names LIST with a split for each image     the list alone divides them
    DATA/SPLIT/CLASS/*, SPLIT in any of its names (split_names.py)
    DATA/CLASS/SPLIT/*                           the same two, the other way round
    DATA/CLASS/*                                 all of it train
    DATA/SPLIT/*, DATA/*                         classes from a list (label_files.py) or the names of files

Images without labels are left out where they are test images, and refused elsewhere.
"""

import re

from cualex.data.image_kinds import DECODING, FIRST_DECODING
from cualex.data.sources import annotated, classless, filtering, label_files, split_names
from cualex.data.sources.classless import Found
from cualex.data.sources.filtering import LeftOut
from cualex.data.sources.left_behind import is_left_behind
from cualex.data.sources.listing import File, Listing
from cualex.data.sources.lists import Labels
from cualex.errors import DataError
from cualex.system.amounts import some

SPLITS = ("train", "val", "test")
_PART = re.compile(r"(?:.*[-_ ])?(?:part|batch|chunk|shard|fold|images?|imgs?|archive|volume)[-_ ]?\d+", re.IGNORECASE)
# The splits of cualex 0.1, which its runs keep.
_FIRST_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def arrange(listing: Listing, labels: Labels | None, decoding: int = DECODING) -> Found:
    """Sort the images of a listing into splits and classes.

    A single folder around everything, common in archives, is entered. `train`, `val` and `test` at the top are splits
    when they have class folders, when there is nothing else, or when `labels` gives the classes of the images in them;
    otherwise they are classes like others: a set of boats, planes and trains has a class `train`.

    labels: of images that lie in no class folder.  decoding: the first version keeps the layouts of cualex 0.1.
    Raise DataError when there is no image, images without a class, or a set for another task.
    """
    old, in_parts = decoding == FIRST_DECODING, False
    images, left_out = filtering.images(listing, decoding)
    found = Found(left_out=left_out)
    if not old:
        if labels is None and (refusal := annotated.refusal(listing, images)):
            raise DataError(refusal)
        if labels is not None and (masks := annotated.beside_images(listing, images)):
            found.leave_out([file for file in images if file.name.startswith(masks)], f"left out: {some([*masks])}")
            images = [file for file in images if not file.name.startswith(masks)]
    top = _top(images, old)
    inside = _by_first(images, top)
    if not old:
        inside = _without_copies(inside, top, found)
        images = [file for files in inside.values() for file in files]
        if in_parts := _parts(inside):
            inside = {"": images}
    if not old and labels is None and set(inside) == {""}:
        labels = label_files.in_set(listing, [file.name for file in inside[""]], None)
        found.notes += [f"labels are those of {labels.path}"] if labels else []
    if labels is not None and labels.split:
        return _divided_by(labels, listing, top, images, found)
    splits = _splits(inside, old)
    nested = any(_deep(file, f"{top}{name}/") for name in splits for file in inside[name])
    if splits and (nested or labels is not None or len(splits) == len(inside)):
        others = {name or "pictures in no folder": inside[name] for name in inside if name not in splits}
        if others:
            outside = [file for files in others.values() for file in files]
            found.leave_out(outside, f"left out beside the splits: {some(list(others))}")
        found.roots = {split: [] for split in SPLITS if split in splits.values()}
        for name, split in splits.items():
            found.roots[split].append(f"{top}{name}/" if old else _entered(images, f"{top}{name}/", name))
    elif not old and (inner := _splits_inside(listing.path, inside, top)):
        return _class_first(inner, inside, top, found)
    else:
        found.roots = {"train": [top]}
    for split, folders in found.roots.items():
        found.arranged[split] = {}
        for root in folders:
            groups = {"": images} if in_parts else _by_first(images, root)
            _add_classes(listing, split, root, groups, labels, found, old)
    for split in [split for split, groups in found.arranged.items() if not groups]:
        del found.arranged[split], found.roots[split]
    return found


def _without_copies(inside: dict[str, list[File]], top: str, found: Found) -> dict[str, list[File]]:
    """Leave out a folder that holds folders called as those beside it: the set once more, as some archives have it."""
    copies = [
        name
        for name, files in inside.items()
        if name and len(_by_first(files, f"{top}{name}/").keys() & (inside.keys() - {""})) > 1
    ]
    for name in copies if len(copies) < len(inside) - 1 else []:
        found.leave_out(inside[name], f"left out, the set once more: {top}{name}")
        inside = {each: files for each, files in inside.items() if each != name}
    return inside


def _parts(inside: dict[str, list[File]]) -> bool:
    """Return whether folders are parts of one heap of images, `images_part_1` and the like, and no classes."""
    return len(inside) > 1 and all(map(_PART.fullmatch, inside))


def _splits(inside: dict[str, list[File]], old: bool) -> dict[str, str]:
    if old:
        return {name: _FIRST_SPLITS[name.lower()] for name in inside if name.lower() in _FIRST_SPLITS}
    return split_names.found(name for name in inside if name)


def _divided_by(labels: Labels, listing: Listing, top: str, images: list[File], found: Found) -> Found:
    """Divide images by a list that names their splits; those that it lacks are left out."""
    missing = []
    for file in images:
        label = labels.get(file.name)
        if label is None or label[1] is None:
            missing.append(file)
            continue
        found.arranged.setdefault(label[1], {})
        found.add(label[1], label[0], [file])
    if not found.arranged:
        raise DataError(f"{listing.path}: {labels.path} lists none of its images; expected lines `image class`")
    if missing:
        found.leave_out(missing, f"left out, not listed: {some([file.name for file in missing])}")
    found.arranged = {split: found.arranged[split] for split in SPLITS if split in found.arranged}
    found.roots = {split: [top] for split in found.arranged}
    return found


def _splits_inside(path: str, inside: dict[str, list[File]], top: str) -> dict[str, dict[str, str]]:
    """Return {class: {folder in it: split}} where all classes are divided, {} where none is.

    Raise DataError where folders are sets of their own.
    """
    inner = {name: _splits(_by_first(files, f"{top}{name}/"), False) for name, files in inside.items() if name}
    several = [name for name, splits in inner.items() if len(set(splits.values())) > 1]
    if not several:
        return {}
    flat = all(
        not _deep(file, f"{top}{name}/{folder}/")
        for name in several
        for folder in inner[name]
        for file in _by_first(inside[name], f"{top}{name}/").get(folder, [])
    )
    if len(several) == len(inside) > 1 and flat:
        return inner
    raise DataError(
        f"{path}: {some(several)} is a data set of its own, with splits inside; give one set: {path}/{top}{several[0]}"
    )


def _class_first(inner: dict[str, dict[str, str]], inside: dict[str, list[File]], top: str, found: Found) -> Found:
    """Arrange CLASS/SPLIT/*; images of a class that lie in no split are left out."""
    present = {split for splits in inner.values() for split in splits.values()}
    found.arranged = {split: {} for split in SPLITS if split in present}
    found.roots = {split: [] for split in found.arranged}
    outside = []
    for name, files in inside.items():
        for part, held in _by_first(files, f"{top}{name}/").items():
            split = inner[name].get(part)
            if split is None:
                outside += held
                continue
            found.roots[split].append(f"{top}{name}/{part}/")
            found.add(split, name, held)
    if outside:
        found.leave_out(outside, f"left out, in no split: {some([file.name for file in outside])}")
    return found


def _entered(images: list[File], root: str, name: str) -> str:
    """Return the folder of the classes of a split, inside single folders that say nothing: seg_train/seg_train/."""
    while True:
        inside = _by_first(images, root)
        only = next(iter(inside))
        says_nothing = only == name or split_names.sure(only) or only.lower() in ("images", "image", "imgs", "img")
        if len(inside) > 1 or not only or not says_nothing:
            return root
        root += f"{only}/"


def _deep(file: File, root: str) -> bool:
    """Return whether a file lies in a folder below `root`, not in `root` itself."""
    return "/" in file.name[len(root) :]


def _top(images: list[File], old: bool) -> str:
    """Return the folder inside all single folders around the set: "", or a prefix that ends in "/"."""
    top = ""
    while True:
        inside = _by_first(images, top)
        name = next(iter(inside))
        step = f"{top}{name}/"
        is_split = name.lower() in _FIRST_SPLITS or "train" in _splits(inside, old).values()
        flat = not any(_deep(file, step) for file in inside[name])
        if len(inside) > 1 or not name or is_split or (flat and (old or not _says_nothing(name, inside[name]))):
            return top
        top = step


def _says_nothing(name: str, files: list[File]) -> bool:
    """Return whether a single folder of images is no class: `images`, or its files are called by their classes."""
    return name.lower() in ("images", "image", "imgs", "img", "jpg", "jpegimages") or bool(classless.from_names(files))


def _by_first(images: list[File], root: str) -> dict[str, list[File]]:
    """Group the files below `root` by the first folder; those that lie in `root` itself by ""."""
    groups: dict[str, list[File]] = {}
    for file in images:
        if file.name.startswith(root):
            first, slash, _ = file.name[len(root) :].partition("/")
            groups.setdefault(first if slash else "", []).append(file)
    return groups


def _add_classes(
    listing: Listing,
    split: str,
    root: str,
    groups: dict[str, list[File]],
    labels: Labels | None,
    found: Found,
    old: bool,
) -> None:
    """Add the images below `root` by class folder, or by a list or their names when they lie in none.

    groups: the images by folder, those in `root` itself by "".
    """
    loose = groups.pop("", [])
    if not groups:
        for name, files in classless.grouped(listing, split, root, loose, labels, found, old).items():
            found.add(split, name, files)
        return
    if loose:
        outside = [file.name for file in loose]
        found.leave_out(loose, f"left out, in no class folder: {some(outside)}")
    below = [folder[len(root) :] for folder in listing.folders if folder.startswith(root)]
    said = {
        name[len(root) :].partition("/")[0] for left in found.left_out for name in left.names if left.kind != "stray"
    }
    empty = [root + name for name in below if "/" not in name and name not in groups and name not in said]
    empty = [name for name in empty if not is_left_behind(name.rpartition("/")[2])]
    if empty:
        found.left_out.append(LeftOut("empty", tuple(empty), f"left out, no pictures inside: {some(empty)}"))
    for name, files in groups.items():
        found.add(split, name, files)
