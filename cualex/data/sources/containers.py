"""Look inside files that hold many images: archives inside of archives or folders, shards, tables, arrays of pixels.

Only a set without any image outside of them is looked into: beside folders of images an archive is left out and named.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from cualex.data.image_kinds import ENDINGS
from cualex.data.sources import arrays, parquet, patterns, shards
from cualex.data.sources.archives import SUFFIXES, archive
from cualex.data.sources.left_behind import is_left_behind
from cualex.data.sources.listing import File, Listing, folder, listed
from cualex.errors import DataError

_DEEPEST = 3  # ImageNet's train: a folder, its tar, and a tar in it for each class


def find(data: str | Path) -> Listing:
    """List a data set: a folder, an archive, arrays, Parquet, or the files of a pattern as a-{000..255}.tar.

    Raise DataError for what does not exist or cannot be read.
    """
    try:
        given = Path(data).expanduser()
        if not given.exists() and (several := patterns.several(str(given), lambda name: Path(name).is_file())):
            return opened(*_of(str(given.absolute()), list(map(Path, several))))
        path = given.resolve(strict=True)
        if path.is_dir():
            return opened(folder(path), path)
        if path.suffix.lower() == parquet.SUFFIX:
            return opened(*_of(str(path), [path]))
        return opened(*_idx_beside(path)) if arrays.is_idx(path.name) else opened(archive(path), None)
    except FileNotFoundError:
        url = f" is a URL, and folders and archives are read. Download it first: curl -LO {data}"
        no = ": no such folder, .zip or .tar; `demo` is the built-in data set"
        raise DataError(f"{data}{url if '://' in str(data) else no}") from None
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error.strerror or error})") from None


def _of(name: str, paths: list[Path]) -> tuple[Listing, Path]:
    """List some files, with the lists of class names beside them, as a set of that name."""
    wanted = dict.fromkeys(path.absolute() for path in paths)
    parents = dict.fromkeys(path.parent for path in wanted)
    root, files = Path(os.path.commonpath([*parents])), []
    for parent in parents:
        above = "".join(f"{part}/" for part in parent.relative_to(root).parts)
        files += [
            File(above + each.name, each.stamp, each.read)
            for each in folder(parent, deep=False).files
            if parent / each.name in wanted or shards.names_classes(each.name)
        ]
    return listed(name, "", files, set(), []), root


def _idx_beside(path: Path) -> tuple[Listing, Path]:
    """List an idx file with those beside it: labels lie in a file of their own, and test images in another two."""
    beside = folder(path.parent, deep=False)
    files = [file for file in beside.files if arrays.is_idx(file.name)]
    return listed(path, "", files, set(), []), path.parent


def opened(listing: Listing, root: Path | None, depth: int = 0) -> Listing:
    """Return the listing with the images of containers in it, each under its container's name.

    root: the folder that was listed, None for an archive.  depth: of archives around it.
    Raise DataError for arrays that are damaged, or where every archive is.
    """
    files = [file for file in listing.files if not any(map(is_left_behind, file.name.split("/")))]
    if depth == _DEEPEST or any(file.name.lower().endswith(ENDINGS) for file in files):
        alone = None if depth or root else _shard(Path(listing.path).name, listing, listing.stamp)
        return listing if alone is None else _in_classes(listing, *shards.arranged(listing.path, [alone], files))
    if root and (tables := [file for file in files if file.name.lower().endswith(parquet.SUFFIX)]):
        return _in_classes(listing, *parquet.arranged(listing.path, root, tables))
    if found := _arrays(listing.path, files):
        return listed(listing.path, listing.stamp, found, set(), list(listing.notes))
    inside = [(file, opener) for file in files if (opener := _opener(file, root))]
    return _unpacked(listing, inside, depth + 1) if inside else listing


def _in_classes(listing: Listing, images: list[File], notes: list[str]) -> Listing:
    """Return a listing with other files, of images by split and class."""
    return listed(listing.path, listing.stamp, images, set(), [*listing.notes, *notes])


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
    sharded: list[shards.Shard] = []
    for file, opener in inside:
        del files[file.name]
        try:
            found = opened(opener(), None, depth)
        except DataError as error:
            errors.append(error)
            notes.append(f"left out, a damaged archive: {error}")
            continue
        if one := _shard(file.name, found, found.stamp or file.stamp):
            sharded.append(one)
            continue
        above = f"{_stem(file.name)}/"
        folders.update(above + folder for folder in found.folders)
        notes += [f"{file.name}: {note}" for note in found.notes]
        # The bytes of members change with the archive, whatever their own dates are.
        made += [
            File(above + each.name, f"{each.stamp} {found.stamp or file.stamp}", each.read, each.listing)
            for each in found.files
        ]
    if sharded:
        images, said = shards.arranged(listing.path, sharded, listing.files)
        files = {name: file for name, file in files.items() if not shards.names_classes(name)}
        made, notes = [*made, *images], [*notes, *said]
    if errors and not made:
        raise errors[0]
    return listed(listing.path, listing.stamp, [*files.values(), *made], folders, notes)


def _shard(name: str, found: Listing, stamp: str) -> shards.Shard | None:
    """Return the samples of a tar that is a shard, None for any other archive."""
    return None if name.lower().endswith(".zip") else shards.shard(_stem(name), found, stamp)


def _stem(name: str) -> str:
    """Return an archive's name without its suffix."""
    suffixes = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return name[: -len(max(suffixes, key=len))] if suffixes else name
