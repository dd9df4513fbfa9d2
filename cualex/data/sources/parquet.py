"""Parquet tables of images, as Hugging Face keeps data sets: a column of images and one of classes.

Each image becomes a file of its class in its split, `train/tabby/train-00000-of-00004-000123.jpg`. An image is bytes of
an image file, or Hugging Face's struct of them, {bytes, path}. Classes are numbers, whose names the schema may have
("huggingface" in its metadata), or names. The split is a word of the file's name, as in shards.py.

Listing reads the column of classes alone. Rows of a compressed column cannot be read at an offset: at the first image
that is asked for, a file's images are expanded into an unlinked file in the cache directory, once.
"""

import contextlib
import functools
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cualex.data import images
from cualex.data.sources import archives, shards
from cualex.data.sources.listing import File
from cualex.data.sources.spans import Span
from cualex.errors import DataError, ImageError
from cualex.system.amounts import some

SUFFIX = ".parquet"
_IMAGES = ("image", "img", "picture", "jpg", "png", "webp")
_LABELS = ("fine_label", "label", "labels", "class", "cls", "class_name", "category", "target", "coarse_label")
_ROWS = 64  # that are expanded at a time


def arranged(path: str, root: Path, files: Sequence[File]) -> tuple[list[File], list[str]]:
    """Return the images of Parquet files, each in the folders of its split and class, and notes.

    path: what errors call the set.  root: the folder of the files.
    Raise DataError for files that are damaged or have no such columns, and where pyarrow is missing.
    """
    made: list[File] = []
    lost = 0
    for file in files:
        table = _Table(path, root / file.name, file.name)
        stem = file.name[: -len(SUFFIX)]
        rows = [(row, each) for row, each in enumerate(table.classes) if each is not None]
        lost += len(table.classes) - len(rows)
        names = shards.named(f"{path}: {file.name}", [each for _, each in rows], table.names)
        for (row, _), name in zip(rows, names, strict=True):
            own = f"{shards.split_of(stem)}/{name}/{stem.replace('/', '-')}-{row:06}.jpg"
            made.append(File(own, f"{file.stamp} {row}", functools.partial(table.read, row, own)))
    if not made:
        raise DataError(f"{path}: no row of its Parquet files has a class")
    return made, [f"{lost:,} rows of the Parquet files have no class and are left out"] if lost else []


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError("Parquet files need pyarrow: pip install 'cualex[parquet]'") from None
    return pyarrow


class _Table:
    """A Parquet file: the classes of its rows, as texts or None, and their images.

    names: of numbered classes, where the schema has them.
    """

    def __init__(self, path: str, file: Path, name: str) -> None:
        self._arrow, self._file, self._what = _pyarrow(), file, f"{path}: {name}"
        with self._opened() as opened:
            schema = opened.schema_arrow
            self._column = self._image_column(schema)
            label = self._label_column(schema)
            values = self._checked(lambda: opened.read(columns=[label]).column(0).to_pylist())
        self.classes = [self._class(value) for value in values]
        self.names = self._names(schema, label)
        self._lock = threading.Lock()
        self._images: Span | None = None
        self._failed: str | None = None  # why the file could not be expanded, which is tried once
        self._ends: list[tuple[int, int] | None] = []

    def read(self, row: int, name: str) -> bytes:
        """Return a row's image file; the first call expands those of all rows."""
        with self._lock:
            if self._failed is None and self._images is None:
                try:
                    stream = _Stream(self._batches(), self._ends)
                    self._images = archives.expanded(
                        lambda _: contextlib.nullcontext(stream), self._file.stat().st_size
                    )
                except (OSError, DataError, *archives.DAMAGES) as error:
                    self._failed = f"cannot be read from the Parquet file ({_line(error)})"
            if self._failed or self._images is None:
                raise ImageError(name, self._failed or "")
            place = self._ends[row] if row < len(self._ends) else None
        if place is None:
            raise ImageError(name, "has no bytes in the Parquet file, perhaps only a path: embed the images in it")
        if place[1] > images.BYTES:
            raise ImageError(name, f"larger than {images.BYTES // 1_000_000} MB, too large for an image")
        return self._images.part(*place).read()

    def _batches(self) -> Iterator[list[bytes | None]]:
        """Yield the image files of some rows after the other."""
        with self._opened() as opened:
            batches = self._checked(lambda: opened.iter_batches(batch_size=_ROWS, columns=[self._column]))
            while True:
                batch = self._checked(lambda: next(batches, None))
                if batch is None:
                    return
                column = batch.column(0)
                if self._arrow.types.is_struct(column.type):
                    column = column.field("bytes") if column.null_count == 0 else column.flatten()[0]
                yield column.to_pylist()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        opened = self._checked(lambda: self._arrow.parquet.ParquetFile(self._file))
        with opened:
            yield opened

    def _checked(self, read: Any) -> Any:
        """Return what pyarrow reads; raise DataError for what is damaged."""
        try:
            return read()
        except (OSError, ValueError, TypeError, KeyError, MemoryError, self._arrow.ArrowException) as error:
            raise DataError(f"{self._what}: damaged ({_line(error)}); download it again") from None

    def _image_column(self, schema: Any) -> str:
        found = [field.name for field in schema if self._holds_files(field.type)]
        named = [name for name in found if name.lower() in _IMAGES]
        if len(named or found) != 1:
            what = "several columns" if found else "no column"
            raise DataError(
                f"{self._what}: {what} of image files (bytes, or a struct of bytes and path); it has "
                f"{some(schema.names) or 'no columns'}"
            )
        return (named or found)[0]

    def _holds_files(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_struct(kind):
            return any(self._holds_files(each.type) for each in kind if each.name == "bytes")
        return types.is_binary(kind) or types.is_large_binary(kind)

    def _label_column(self, schema: Any) -> str:
        types = self._arrow.types
        for name in _LABELS:
            for field in schema:
                kind = field.type.value_type if types.is_dictionary(field.type) else field.type
                if field.name.lower() == name and (types.is_integer(kind) or types.is_string(kind)):
                    return field.name
        raise DataError(f"{self._what}: no column of classes, as label; it has {some(schema.names) or 'no columns'}")

    def _class(self, value: Any) -> str | None:
        """Return a class as a text; None where there is none: null, or -1 as in test splits of Hugging Face."""
        if value is None or (isinstance(value, int) and value < 0):
            return None
        text = str(value).strip()
        if not text or not text.isprintable() or len(text) > shards.LONGEST:
            raise DataError(f"{self._what}: expected a class, a number or a name in a line, got {text[:40]!r}")
        return text

    def _names(self, schema: Any, label: str) -> list[str]:
        """Return the names of the classes in Hugging Face's metadata, [] where there are none."""
        try:
            described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
            names = described["info"]["features"][label]["names"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return []
        return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


class _Stream:
    """The image files of a column as a stream of bytes; `places` gets where each lies, None for a null."""

    def __init__(self, batches: Iterator[list[bytes | None]], places: list[tuple[int, int] | None]) -> None:
        self._batches, self._places, self._end = batches, places, 0
        places.clear()

    def read(self, size: int) -> bytes:
        """Return some more bytes, none at the end."""
        for batch in self._batches:
            for data in batch:
                self._places.append(None if data is None else (self._end, len(data)))
                self._end += len(data or b"")
            if joined := b"".join(filter(None, batch)):
                return joined
        return b""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
