"""The images that a user names: files, folders, quoted globs, and standard input."""

import contextlib
import glob
import os
import shlex
import sys
from pathlib import Path

import click

from cualex.cli import _options, _output
from cualex.errors import DataError, ImageError, Unreadable, UsageError

STDIN = "-"
LISTED = 10  # unreadable images named on the screen; JSON has them all
FEW = 32  # images that are classified before a person waits

# An image as Model.each takes it: its name, and its path, its bytes or the reason why it cannot be read.
Given = tuple[str, Path | bytes | ImageError]

argument = click.argument("pictures", nargs=-1, metavar="IMAGES...")
recursive = click.option("-r", "--recursive", is_flag=True, help="Include subfolders; needed for folders of classes.")
from_list = click.option("--from-list", is_flag=True, help="Read file names from standard input, one per line.")


def expand(named: tuple[str, ...], recursive: bool, from_list: bool) -> list[Given]:
    """List the images that the arguments name, in the order of the arguments.

    A folder gives its images in the byte order of their names. What names no image stays in the list, with the
    reason, so that every argument is answered.
    """
    if from_list and STDIN not in named:
        named = (*named, STDIN)
    if not named:
        raise UsageError("no images were given: give files, folders, quoted globs, or - for standard input.")
    if named.count(STDIN) > 1:
        raise UsageError("- is given twice, and standard input can be read only once: leave one of them out.")
    found: list[Given] = []
    for name in named:
        if name != STDIN:
            found += _found(name, recursive)
        elif from_list:
            for line in _stdin().splitlines():
                found += _found(os.fsdecode(line), recursive) if line else []
        else:
            found.append(_picture_on_stdin())
    if not found:
        raise UsageError("--from-list: standard input has no file names; give one per line.")
    return found


def finish(left_out: list[ImageError], count: int, rest: str) -> None:
    """Raise Unreadable if some images could not be read, DataError if none could."""
    if not left_out:
        return
    if len(left_out) < count:
        raise Unreadable(f"{len(left_out):,} of {count:,} images could not be read; {rest}.")
    if count == 1:
        raise left_out[0]
    raise DataError(f"none of the {count:,} images could be read; the first: {left_out[0]}")


def say_left_out(left_out: list[ImageError]) -> None:
    """List on stderr what could not be read."""
    for error in left_out[:LISTED]:
        _output.say(f"Skipped: {error}")
    if len(left_out) > LISTED:
        _output.say(f"... and {len(left_out) - LISTED:,} more")


def progress(label: str, count: int) -> contextlib.AbstractContextManager:
    """Show progress for more images than fill one batch."""
    return _output.Progress(label, count) if count > FEW else contextlib.nullcontext(lambda done: None)


def shown(name: str) -> str:
    """Return a name that any terminal or file takes: bytes that are not UTF-8 become U+FFFD."""
    return click.format_filename(name)


def title(name: str) -> str:
    """Return a class's name for people: ImageNet's folders (n01440764) by their English names, any other as it is."""
    from cualex.data.sources import imagenet_classes

    return shown(imagenet_classes.english(name))


def _stdin(most: int = -1) -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("- reads an image from standard input, which is a terminal: add `< FILE`.")
    return sys.stdin.buffer.read(most)


def _picture_on_stdin() -> Given:
    from cualex.data.images import BYTES

    data = _stdin(BYTES + 1)
    if len(data) > BYTES:
        return STDIN, ImageError(STDIN, f"larger than {BYTES // 1_000_000} MB, too large for an image")
    return STDIN, data


def _found(name: str, recursive: bool) -> list[Given]:
    """List what one argument means; an existing file is meant even if its name looks like a glob."""
    path = Path(name)
    if _options.URL.match(name) and not os.path.lexists(path):
        command = click.get_current_context().info_name
        raise UsageError(
            f"{name} is a URL, and files are read. Use: curl -fsSL {shlex.quote(name)} | cualex {command} -"
        )
    try:
        if path.is_dir():
            return _inside(path, recursive)
        if os.path.lexists(path):
            return [(name, path)]
        if not glob.has_magic(name):
            return [(name, ImageError(name, "no such file or folder"))]
        matches = sorted(glob.glob(name, recursive=True), key=os.fsencode)
    except (OSError, DataError) as error:
        return [(name, ImageError(name, f"cannot be read ({getattr(error, 'strerror', None) or error})"))]
    if not matches:
        return [(name, ImageError(name, "matches no file"))]
    return [given for match in matches for given in _found(match, recursive)]


def _inside(folder: Path, recursive: bool) -> list[Given]:
    from cualex.data.image_kinds import ENDINGS, FOREIGN
    from cualex.data.sources import left_behind, listing

    if recursive:
        names = [file.name for file in listing.folder(folder).files]
    else:
        names = [entry.name for entry in os.scandir(folder) if not entry.is_dir()]
    kept = [
        name
        for name in names
        if name.lower().endswith((*ENDINGS, *FOREIGN)) and not any(map(left_behind.is_left_behind, name.split("/")))
    ]
    if not kept:
        archives = [name for name in names if name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz"))]
        deeper = not recursive and any(entry.is_dir() for entry in folder.iterdir())
        hint = "; add --recursive to search its subfolders" if deeper else ""
        hint = f"; unpack {archives[0]} first" if archives else hint
        return [(str(folder), ImageError(str(folder), f"no images inside{hint}"))]
    return [(str(folder / name), folder / name) for name in sorted(kept, key=os.fsencode)]
