"""PyTorch's files: a zip of a pickle and storages; and the format of before 2020, without the zip.

    NAME/data.pkl     the pickle: names, and storage, offset, shape and strides of every tensor
    NAME/data/0 ...   the storages, uncompressed, with a CRC-32

    before 2020: four pickles (a magic number, a version, sizes, the tensors), a list of storages, and for every storage
    a count of 8 bytes and its numbers

The pickle is interpreted by reading/pickle_reader.py, not executed.
"""

import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, cast

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Cursor, Damaged
from cualex.formats.reading.pickle_reader import Machine
from cualex.formats.reading.pickle_values import Bag, Made, Named, refused
from cualex.formats.reading.tensors import Sum, Tensor, TensorFile, apart, described, short

ZIP, MAGIC = b"PK\3\4", 0x1950A86A20F9469CFC6C
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"  # the first bytes of the pickle of the magic number
PICKLE = 1 << 24  # bytes
KINDS = {"torch FloatStorage": "<f4", "torch DoubleStorage": "<f8", "torch HalfStorage": "<f2"}
SIZES = {"<f4": 4, "<f8": 8, "<f2": 2}
WRAPPED = ("state_dict", "model")  # keys under which training scripts save the weights beside other state
WITHIN = "module"  # the prefix of data parallelism
_DAMAGES = (
    zipfile.BadZipFile,
    ValueError,
    LookupError,
    NotImplementedError,
    struct.error,
    OverflowError,
    EOFError,
)


@dataclass(frozen=True)
class Storage:
    """A storage: its key, the type of its numbers, and their count."""

    key: str
    kind: str
    count: int


def read(contents: Contents) -> TensorFile:
    """Describe the tensors of a zip."""
    members = _members(contents)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise WeightsError("a zip that PyTorch did not write, without a data.pkl. Unpack it, or save with torch.save.")
    top = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{top}byteorder")
    if order:
        order.compare(contents)
        if contents.bytes(order.start, min(order.count, 10)) != b"little":
            raise WeightsError("its numbers are big-endian. Save it on a little-endian machine.")
    held = members[pickles[0]]
    if held.count > PICKLE:
        raise Damaged(f"its pickle has {held.count} bytes, expected at most {PICKLE}")
    held.compare(contents)
    cursor = Cursor(contents, held.start, held.start + held.count)
    whole = Machine(contents, cursor, ALLOWED, _reference).load()
    regions = {name.removeprefix(f"{top}data/"): sum for name, sum in members.items() if name.startswith(f"{top}data/")}
    return TensorFile(
        "torch",
        "PyTorch's zip (a pickle, read without running it)",
        _tensors(contents, whole, regions),
        sums=True,
    )


def read_legacy(contents: Contents) -> TensorFile:
    """Describe the tensors of a file in the format of before 2020."""
    cursor = Cursor(contents, 0, contents.size)
    magic, version, _, whole, keys = (Machine(contents, cursor, ALLOWED, _reference).load() for _ in range(5))
    if (magic, version) != (MAGIC, 1001) or not isinstance(keys, list):
        raise refused("it is not PyTorch's")
    storages = {value.values[0].key: value.values[0] for value in _made(whole).values()}
    regions: dict[str, Sum] = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in regions:
            raise refused("its list of storages is not that of its tensors")
        count = cursor.number("<q")
        if count != storages[key].count:
            raise Damaged(f"storage {short(key)} has {count} numbers, expected {storages[key].count}")
        size = count * SIZES[storages[key].kind]
        regions[key] = Sum(cursor.skip(size), size, 0, compared=True)
    if cursor.left:
        raise Damaged(f"{cursor.left} bytes after its end")
    kind = "PyTorch's file of before 2020 (pickles, read without running them)"
    return TensorFile("torch", kind, _tensors(contents, whole, regions))


def _members(contents: Contents) -> dict[str, Sum]:
    """Return ranges and CRC-32 of the files in the zip; its central directory and local headers must agree."""
    members: dict[str, Sum] = {}
    try:
        # Of a file zipfile needs only what _Raw has.
        with zipfile.ZipFile(cast(IO[bytes], _Raw(contents))) as archive:
            listed = archive.infolist()
    except _DAMAGES as error:
        raise Damaged(f"zip: {short(error)}") from None
    for entry in listed:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            what = f"{short(entry.filename)} is compressed"
            raise WeightsError(f"{what}, expected stored. Save it again with torch.save.")
        head = contents.bytes(entry.header_offset, 30)
        name, extra = struct.unpack("<HH", head[26:])
        called = contents.bytes(entry.header_offset + 30, name)
        if head[:4] != ZIP or called != entry.filename.encode() or entry.filename in members:
            raise Damaged(f"{short(entry.filename)} does not match the zip's directory")
        start = entry.header_offset + 30 + name + extra
        contents.check(start, entry.file_size)
        members[entry.filename] = Sum(start, entry.file_size, entry.CRC)
    end = 0
    for sum in sorted(members.values(), key=lambda sum: sum.start):
        if sum.start < end:
            raise Damaged("two of its files share bytes")
        end = sum.start + sum.count
    return members


class _Raw:
    """The contents as a file object for `zipfile`."""

    def __init__(self, contents: Contents) -> None:
        self.contents, self.position = contents, 0

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = 0) -> int:
        self.position = position + (0, self.position, self.contents.size)[whence]
        if self.position < 0:
            raise ValueError("an offset before the file")
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.contents.size - self.position)
        count = left if count is None or count < 0 else min(count, left)
        if count > PICKLE:
            raise ValueError(f"a list of {count} bytes")
        self.position += count
        return self.contents.bytes(self.position - count, count)


def _made(whole: object) -> dict[str, Made]:
    """Return the tensors of an unpickled file by name, without the prefixes of training scripts."""
    for name in WRAPPED:
        if isinstance(whole, dict) and isinstance(whole.get(name), dict):
            whole = whole[name]
    if not isinstance(whole, dict):
        raise refused("it holds no dictionary of tensors")
    named: dict[str, Made] = {}
    for name, value in whole.items():
        if not isinstance(name, str) or not isinstance(value, Made) or value.kind != "tensor":
            raise refused(f"{short(name)} is not a tensor")
        plain = ".".join(part for part in name.split(".") if part != WITHIN)
        if plain in named:
            raise refused(f"{short(plain)} twice")
        named[plain] = value
    return named


def _tensors(contents: Contents, whole: object, regions: dict[str, Sum]) -> dict[str, Tensor]:
    """Describe all tensors in their storages."""
    tensors = {}
    for name, made in _made(whole).items():
        storage, offset, shape, steps = made.values
        region = regions.get(storage.key)
        if region is None or storage.count * SIZES[storage.kind] != region.count:
            raise Damaged(f"{short(name)} has a storage that is missing")
        begin = offset * SIZES[storage.kind]
        room = max(0, region.count - begin)
        sum = None if region.compared and not region.expected else region
        tensors[name] = described(contents, name, shape, storage.kind, region.start + begin, room, steps, sum)
    return apart(tensors)


def _reference(value: object) -> Storage:
    """Parse a reference to a storage: ("storage", type, key, device, count), and None in the old format."""
    if (
        not isinstance(value, tuple)
        or len(value) not in (5, 6)
        or value[0] != "storage"
        or value[5:] not in ((), (None,))
    ):
        raise refused("its persistent id is not a storage")
    _, kind, key, _, count, *_ = value
    if not isinstance(kind, Named) or kind.name not in KINDS:
        raise refused("a storage of an unsupported dtype")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise refused("a storage without a key or a count")
    return Storage(key, KINDS[kind.name], count)


def _tensor(
    storage: object,
    offset: object,
    shape: object,
    steps: object,
    requires_grad: object = False,
    hooks: object = None,
    more: object = None,
) -> Made:
    """Describe what torch._utils._rebuild_tensor_v2 would return."""
    whole = isinstance(storage, Storage) and isinstance(offset, int) and type(offset) is int and offset >= 0
    if not whole or not isinstance(shape, tuple) or not isinstance(steps, tuple):
        raise refused("a tensor without storage, offset, shape and strides")
    return Made("tensor", (storage, offset, shape, steps))


ALLOWED: dict[str, Callable[..., object] | None] = {
    "collections OrderedDict": lambda: Bag(),
    "torch._utils _rebuild_tensor_v2": _tensor,
    **dict.fromkeys(KINDS),
}
