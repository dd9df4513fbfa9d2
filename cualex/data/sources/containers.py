"""Look inside files that hold many images: archives inside of archives or folders, and arrays of pixels.

Only a set without any image outside of them is looked into: beside folders of images an archive is left out and named.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from cualex.data.image_kinds import ENDINGS
from cualex.data.sources import arrays
from cualex.data.sources.archives import SUFFIXES, archive
from cualex.data.sources.left_behind import is_left_behind
from cualex.data.sources.listing import File, Listing, listed
from cualex.errors import DataError

_DEEPEST = 3  # ImageNet's train: a folder, its tar, and a tar in it for each class


def opened(listing: Listing, root: Path | None, depth: int = 0) -> Listing:
    """Return the listing with the images of containers in it, each under its container's name.

    root: the folder that was listed, None for an archive.  depth: of archives around it.
    Raise DataError for arrays that are damaged, or where every archive is.
    """
    files = [file for file in listing.files if not any(map(is_left_behind, file.name.split("/")))]
    if depth == _DEEPEST or any(file.name.lower().endswith(ENDINGS) for file in files):
        return listing
    if found := _arrays(listing.path, files):
        return listed(listing.path, listing.stamp, found, set(), list(listing.notes))
    inside = [(file, opener) for file in files if (opener := _opener(file, root))]
    return _unpacked(listing, inside, depth + 1) if inside else listing


def _arrays(path: str, files: list[File]) -> list[File] | None:
    try:
        return arrays.expanded(files)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _opener(file: File, root: Path | None) -> Callable[[], Listing] | None:
    """Return what lists a file as an archive, None for one that is none."""
    if file.listing is not None:
        return file.listing
    if root is not None and file.name.lower().endswith(SUFFIXES) and (path := root / file.name).is_file():
        return lambda: archive(path)
    return None


def _unpacked(listing: Listing, inside: Iterable[tuple[File, Callable[[], Listing]]], depth: int) -> Listing:
    """Return the listing with archives replaced by folders of their files; a damaged one is left out and named."""
    files = {file.name: file for file in listing.files}
    folders, notes, errors = set(listing.folders), list(listing.notes), []
    made: list[File] = []
    for file, opener in inside:
        del files[file.name]
        try:
            found = opened(opener(), None, depth)
        except DataError as error:
            errors.append(error)
            notes.append(f"left out, a damaged archive: {error}")
            continue
        above = f"{_stem(file.name)}/"
        folders.update(above + folder for folder in found.folders)
        notes += [f"{file.name}: {note}" for note in found.notes]
        # The bytes of members change with the archive, whatever their own dates are.
        made += [
            File(above + each.name, f"{each.stamp} {found.stamp or file.stamp}", each.read, each.listing)
            for each in found.files
        ]
    if errors and not made:
        raise errors[0]
    return listed(listing.path, listing.stamp, [*files.values(), *made], folders, notes)


def _stem(name: str) -> str:
    """Return an archive's name without its suffix."""
    return name[: -len(max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len))]
