"""Recognise sets for other tasks by their folders: detection, with boxes, and segmentation, with masks.

Their images have no class of their own; taken for classes, `images` and `masks` would be learned with ease, and for
nothing.
"""

import os
from collections.abc import Sequence

from cualex.data.sources import split_names
from cualex.data.sources.filtering import example
from cualex.data.sources.listing import File, Listing

_IMAGES = ("images", "image", "imgs", "img", "jpegimages", "jpgimages", "frames", "pictures", "photos")
_LABELS = (
    *("labels", "label", "masks", "mask", "annotations", "annotation", "annots", "annot", "segmentations"),
    *("segmentation", "segmentationclass", "segmentationobject", "groundtruth", "gt", "gtfine", "trimaps", "xmls"),
    *("bboxes", "boundingboxes", "instances", "labelmasks"),
)
_BOXES = (".txt", ".xml", ".json", ".csv")
_SAME = 0.8  # share of the masks that are called as an image is


def refusal(listing: Listing, images: Sequence[File]) -> str | None:
    """Return why a set is none for classification, with the way out, or None."""
    folders = _Folders(listing, images)
    whole = folders.classless("")
    for parent in folders.children:
        found = _pair(folders, parent) or (_beside(folders, parent) if whole else None)
        if found:
            return _said(listing.path, *found)
    return None


def beside_images(listing: Listing, images: Sequence[File]) -> tuple[str, ...]:
    """Return the folders ("a/b/") of masks and the like that lie beside images."""
    folders = _Folders(listing, images)
    found = (_pair(folders, parent) for parent in folders.children)
    return tuple(f"{pair[1]}/" for pair in found if pair)


class _Folders:
    """The folders of a listing: which lie in which, and what lies in each."""

    def __init__(self, listing: Listing, images: Sequence[File]) -> None:
        self.children: dict[str, list[str]] = {"": []}
        for folder in listing.folders:
            self.children.setdefault(folder, [])
            self.children.setdefault(folder.rpartition("/")[0], []).append(folder)
        self.images: dict[str, list[str]] = {}
        for file in images:
            self.images.setdefault(file.name.rpartition("/")[0], []).append(_stem(file.name))
        self.boxes: dict[str, list[str]] = {}
        for file in listing.files:
            if file.name.lower().endswith(_BOXES):
                self.boxes.setdefault(file.name.rpartition("/")[0], []).append(file.name)

    def below(self, held: dict[str, list[str]], folder: str) -> list[str]:
        """Return what is held in a folder and those below."""
        return [each for name, names in held.items() if _under(name, folder) for each in names]

    def classless(self, folder: str) -> bool:
        """Return whether there are images below a folder, but no two folders that could be classes."""
        dirs = [name[len(folder) :].strip("/") for name in self.images if _under(name, folder)]
        firsts = {
            next((part for part in name.split("/") if not split_names.sure(part) and _word(part) not in _IMAGES), "")
            for name in dirs
        }
        return bool(dirs) and len(firsts - {""}) < 2


def _under(name: str, folder: str) -> bool:
    return not folder or f"{name}/".startswith(f"{folder}/")


def _word(path: str) -> str:
    return "".join(letter for letter in path.rpartition("/")[2].lower() if letter.isalnum())


def _stem(name: str) -> str:
    return os.path.splitext(name.rpartition("/")[2])[0]


def _pair(folders: _Folders, parent: str) -> tuple[str, str, bool] | None:
    """Return a folder of images, that of their labels beside it, and whether these are masks, or None."""
    children = folders.children[parent]
    labels = [child for child in children if _word(child) in _LABELS]
    pairs = [(child, label) for label in labels for child in children if _word(child) in _IMAGES]
    beside = set(children)
    pairs += [(child, label) for child in children for word in _LABELS if (label := f"{child}_{word}") in beside]
    for child, label in pairs:
        masks = bool(folders.below(folders.images, label))
        if folders.classless(child) and (masks or folders.below(folders.boxes, label)):
            return child, label, masks
    # Of folders with any names, two that hold the same names; `mask` and `no_mask` are classes, as are three folders.
    others = (
        [child for child in children if child not in labels and folders.below(folders.images, child)] if labels else []
    )
    for label in labels:
        if len(others) != 1 or _word(label) in _word(others[0]):
            continue
        masked = {_unmasked(stem) for stem in folders.below(folders.images, label)}
        known = set(folders.below(folders.images, others[0]))
        if len(masked) > 2 and folders.classless(others[0]) and len(masked & known) >= _SAME * len(masked):
            return others[0], label, True
    return None


def _unmasked(stem: str) -> str:
    for word in ("_mask", "_label", "_seg", "_gt", "_segmentation"):
        stem = stem.removesuffix(word)
    return stem


def _beside(folders: _Folders, parent: str) -> tuple[str, str, bool] | None:
    """Return images and their boxes where these are files beside them, or in a folder of COCO, or None.

    Only of a set without classes: files beside images in class folders may say anything.
    """
    stems = folders.images.get(parent, [])
    boxes = [name for name in folders.boxes.get(parent, []) if _stem(name) not in ("classes", "labels", "names")]
    if len(stems) > 1 and len({_stem(name) for name in boxes} & set(stems)) >= 0.5 * len(stems):
        return parent or ".", boxes[0], False
    coco = [
        name for name in boxes if name.endswith(".json") and ("coco" in _stem(name) or "annotations" in _stem(name))
    ]
    if stems and coco:
        return parent or ".", coco[0], False
    for label in folders.children[parent]:
        if _word(label) in _LABELS and folders.below(folders.boxes, label):
            flat = [child for child in folders.children[parent] if split_names.sure(child) and folders.classless(child)]
            if flat and not any(folders.below(folders.images, label)):
                return flat[0], label, False
    return None


def _said(path: str, images: str, labels: str, masks: bool) -> str:
    task = "segmentation: its labels are masks" if masks else "detection: its labels are boxes"
    return (
        f"{path}: {images} beside {labels} is a set for {task}, and cualex trains on one class an image; put the "
        f"images of each class into a folder, as {example(path)}, or give --names a list of lines `image class`"
    )
