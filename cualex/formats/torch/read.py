"""PyTorch's files: a zip of one pickle and the bytes of each storage; and the form of before 2020, without the zip.

    NAME/data.pkl     the pickle: names, and for each tensor its storage, offset, shape and strides
    NAME/data/0 ...   the storages, stored without compression, each with a CRC-32

    before 2020: four pickles (a magic number, a version, sizes, the names), a list of storages, and for each a count
    of 8 bytes and its numbers

The pickle is read by `pickles` and never run.
"""

import struct
import zipfile
from dataclasses import dataclass

from cualex.errors import WeightsError
from cualex.formats.reading.contents import CUT, Contents, Cursor
from cualex.formats.reading.found import Found
from cualex.formats.reading.pickle_reader import Machine, refused
from cualex.formats.reading.pickle_values import Bag, Made, Named
from cualex.formats.reading.tensors import Sum, Tensor, apart, described, said

ZIP, MAGIC = b"PK\3\4", 0x1950A86A20F9469CFC6C
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"  # the beginning of the pickle of the magic number
PICKLE = 1 << 24  # bytes
KINDS = {"torch FloatStorage": "<f4", "torch DoubleStorage": "<f8", "torch HalfStorage": "<f2"}
SIZES = {"<f4": 4, "<f8": 8, "<f2": 2}
WRAPPED = ("state_dict", "model")  # where training scripts keep the weights beside their own state
WITHIN = "module"  # the name that data parallelism puts around layers
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
    """Name a storage: its key, its kind of numbers, and how many it has."""

    key: str
    kind: str
    count: int


def read(contents: Contents) -> Found:
    """Describe the tensors of a zip."""
    members = _members(contents)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise WeightsError("a zip that PyTorch did not write. Expected one with a data.pkl, as torch.save makes it.")
    top = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{top}byteorder")
    if order:
        order.compare(contents)
        if contents.bytes(order.start, min(order.count, 10)) != b"little":
            raise WeightsError("its numbers have their bytes in big-endian order. Save it on another machine.")
    held = members[pickles[0]]
    if held.count > PICKLE:
        raise WeightsError(f"a pickle of {held.count} bytes, which no network needs. Copy it again.")
    held.compare(contents)
    cursor = Cursor(contents, held.start, held.start + held.count)
    whole = Machine(contents, cursor, ALLOWED, _reference).load()
    places = {name.removeprefix(f"{top}data/"): sum for name, sum in members.items() if name.startswith(f"{top}data/")}
    return Found(
        "torch",
        "PyTorch's zip (a pickle, read without running it)",
        _tensors(contents, whole, places),
        sums=True,
    )


def read_legacy(contents: Contents) -> Found:
    """Describe the tensors of a file in the form of before 2020."""
    cursor = Cursor(contents, 0, contents.size)
    magic, version, _, whole, keys = (Machine(contents, cursor, ALLOWED, _reference).load() for _ in range(5))
    if (magic, version) != (MAGIC, 1001) or not isinstance(keys, list):
        raise refused("it is not PyTorch's")
    storages = {value.values[0].key: value.values[0] for value in _made(whole).values()}
    places = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in places:
            raise refused("its list of storages is not that of its tensors")
        count = cursor.number("<q")
        if count != storages[key].count:
            raise WeightsError(f"storage {said(key)} has {count} numbers, expected {storages[key].count}: {CUT}")
        size = count * SIZES[storages[key].kind]
        places[key] = Sum(cursor.skip(size), size, 0, compared=True)
    if cursor.left:
        raise WeightsError(f"{cursor.left} bytes follow its end. Copy it again.")
    kind = "PyTorch's file of before 2020 (pickles, read without running them)"
    return Found("torch", kind, _tensors(contents, whole, places))


def _members(contents: Contents) -> dict[str, Sum]:
    """List the files in the zip: where their bytes lie, and their CRC-32; the two lists of a zip must agree."""
    members = {}
    try:
        with zipfile.ZipFile(_Raw(contents)) as archive:
            listed = archive.infolist()
    except _DAMAGES as error:
        raise WeightsError(f"not a complete zip ({said(error)}). Copy it again.") from None
    for entry in listed:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise WeightsError(f"{said(entry.filename)} is compressed, expected stored. Save it again with torch.save.")
        head = contents.bytes(entry.header_offset, 30)
        name, extra = struct.unpack("<HH", head[26:])
        called = contents.bytes(entry.header_offset + 30, name)
        if head[:4] != ZIP or called != entry.filename.encode() or entry.filename in members:
            raise WeightsError(f"{said(entry.filename)} does not match the zip's directory: {CUT}")
        start = entry.header_offset + 30 + name + extra
        contents.check(start, entry.file_size)
        members[entry.filename] = Sum(start, entry.file_size, entry.CRC)
    end = 0
    for sum in sorted(members.values(), key=lambda sum: sum.start):
        if sum.start < end:
            raise WeightsError(f"two of its files share bytes: {CUT}")
        end = sum.start + sum.count
    return members


class _Raw:
    """Let `zipfile` read the contents as a file."""

    def __init__(self, contents: Contents):
        self.contents, self.place = contents, 0

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        self.place = place + (0, self.place, self.contents.size)[whence]
        if self.place < 0:
            raise ValueError("a place before the file")
        return self.place

    def tell(self) -> int:
        return self.place

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.contents.size - self.place)
        count = left if count is None or count < 0 else min(count, left)
        if count > PICKLE:
            raise ValueError(f"a list of {count} bytes")
        self.place += count
        return self.contents.bytes(self.place - count, count)


def _made(whole: object) -> dict[str, Made]:
    """Return the tensors of what a pickle holds by name, without the names that training scripts put around them."""
    for name in WRAPPED:
        if isinstance(whole, dict) and isinstance(whole.get(name), dict):
            whole = whole[name]
    if not isinstance(whole, dict):
        raise refused("it holds no dictionary of tensors")
    found = {}
    for name, value in whole.items():
        if not isinstance(name, str) or not isinstance(value, Made) or value.kind != "tensor":
            raise refused(f"{said(name)} is not a tensor")
        plain = ".".join(part for part in name.split(".") if part != WITHIN)
        if plain in found:
            raise refused(f"{said(plain)} twice")
        found[plain] = value
    return found


def _tensors(contents: Contents, whole: object, places: dict[str, Sum]) -> dict[str, Tensor]:
    """Describe every tensor in its storage."""
    tensors = {}
    for name, made in _made(whole).items():
        storage, offset, shape, steps = made.values
        place = places.get(storage.key)
        if place is None or storage.count * SIZES[storage.kind] != place.count:
            raise WeightsError(f"{said(name)} has a storage that is missing: {CUT}")
        begin = offset * SIZES[storage.kind]
        room = max(0, place.count - begin)
        sum = None if place.compared and not place.expected else place
        tensors[name] = described(contents, name, shape, storage.kind, place.start + begin, room, steps, sum)
    return apart(tensors)


def _reference(value: object) -> Storage:
    """Read a reference to a storage: ("storage", kind, key, device, count), and None in the old form."""
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


def _tensor(storage, offset, shape, steps, requires_grad=False, hooks=None, more=None) -> Made:
    """Describe what torch._utils._rebuild_tensor_v2 builds."""
    whole = isinstance(storage, Storage) and type(offset) is int and offset >= 0
    if not whole or not isinstance(shape, tuple) or not isinstance(steps, tuple):
        raise refused("a tensor without storage, offset, shape and strides")
    return Made("tensor", (storage, offset, shape, steps))


ALLOWED = {
    "collections OrderedDict": lambda: Bag(),
    "torch._utils _rebuild_tensor_v2": _tensor,
    **dict.fromkeys(KINDS),
}
