"""PyTorch's files: a zip of a pickle and storages; and the format of before 2020, without the zip.

    NAME/data.pkl     the pickle: names, and storage, offset, shape and strides of every tensor
    NAME/data/0 ...   the storages, uncompressed, with a CRC-32

    before 2020: four pickles (a magic number, a version, sizes, the tensors), a list of storages, and for every storage
    a count of 8 bytes and its numbers

The pickle is interpreted by reading/pickle_objects.py, not executed. What a checkpoint holds is sorted out by
checkpoint.py.
"""

from dataclasses import dataclass, field
from functools import partial

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Cursor, Damaged
from cualex.formats.reading.pickle_objects import Foreign, Skipping
from cualex.formats.reading.pickle_values import Bag, Made, Named, refused
from cualex.formats.reading.tensors import BFLOAT16, TYPES, Sum, Tensor, TensorFile, apart, described, short, width
from cualex.formats.reading.zip_members import members
from cualex.formats.torch import checkpoint

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46"  # the beginning of the magic number in its pickle, of any protocol
PICKLE = 1 << 24  # bytes
# Storages: as here, or in words those that no weights are in.
KINDS = {
    "Float": "<f4",
    "Double": "<f8",
    "Half": "<f2",
    "BFloat16": BFLOAT16,
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
WIDTHS = {"int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16}


@dataclass(frozen=True)
class Storage:
    """A storage: its key, the type of its numbers, their count, and the first that is meant."""

    key: str
    kind: str
    count: int
    first: int = 0

    @property
    def width(self) -> int:
        """The bytes of a number."""
        known = WIDTHS.get(self.kind) or (width(self.kind) if self.kind in TYPES else 0)
        if not known:
            raise WeightsError(f"it has tensors of dtype {self.kind}, expected a floating-point dtype such as float32.")
        return known


@dataclass
class Storages:
    """The storages that a pickle refers to, by key."""

    found: dict[str, Storage] = field(default_factory=dict)

    def refer(self, value: object) -> Storage:
        """Parse a reference: ("storage", type, key, device, count), and in the old format None or a view's numbers."""
        if not isinstance(value, tuple) or len(value) not in (5, 6) or checkpoint.text(value[0]) != "storage":
            raise refused("its persistent id is not a storage")
        _, kind, key, _, count, *view = value
        if isinstance(kind, Named) and kind.name in STORAGES:
            dtype = STORAGES[kind.name]
        elif isinstance(kind, Foreign) and kind.name.startswith("torch.") and kind.name.endswith("Storage"):
            dtype = kind.name.rpartition(".")[2].removesuffix("Storage")  # such as QInt8, of which no weights are read
        else:
            raise refused("a storage of an unsupported dtype")
        key, first = checkpoint.text(key), 0
        if view not in ([], [None]):
            (part,) = view
            if not isinstance(part, tuple) or len(part) != 3 or type(part[1]) is not int or part[1] < 0:
                raise refused("a view of a storage without an offset")
            first = part[1]
        if key is None or type(count) is not int or count < 0:
            raise refused("a storage without a key or a count")
        made = Storage(key, dtype, count, first)
        before = self.found.setdefault(key, made)
        if (before.kind, before.count) != (made.kind, made.count):
            raise refused(f"storage {short(key)} with two types or counts")
        return made


def read(contents: Contents) -> TensorFile:
    """Describe the tensors of a zip."""
    listed = members(contents)
    pickles = [name for name in listed if name.endswith("/data.pkl") and name.count("/") == 1]
    top = pickles[0].removesuffix("data.pkl")
    order = listed.get(f"{top}byteorder")
    if order:
        order.compare(contents)
        if contents.bytes(order.start, min(order.count, 10)) != b"little":
            raise WeightsError("its numbers are big-endian. Save it on a little-endian machine.")
    held = listed[pickles[0]]
    if held.count > PICKLE:
        raise Damaged(f"its pickle has {held.count} bytes, expected at most {PICKLE}")
    held.compare(contents)
    cursor = Cursor(contents, held.start, held.start + held.count)
    machine = Skipping(contents, cursor, ALLOWED, Storages().refer)
    whole = machine.load()
    regions = {name.removeprefix(f"{top}data/"): sum for name, sum in listed.items() if name.startswith(f"{top}data/")}
    file = TensorFile("torch", "PyTorch's zip (a pickle, read without running it)", {}, sums=True)
    return _filled(file, contents, whole, machine, regions)


def read_legacy(contents: Contents) -> TensorFile:
    """Describe the tensors of a file in the format of before 2020."""
    cursor, storages = Cursor(contents, 0, contents.size), Storages()
    make = partial(Skipping, contents, cursor, ALLOWED, storages.refer)
    magic, version, _ = (make().load() for _ in range(3))
    machine = make()
    whole, keys = machine.load(), make().load()
    if (magic, version) != (MAGIC, 1001) or not isinstance(keys, list):
        raise refused("it is not PyTorch's")
    regions: dict[str, Sum] = {}
    for key in map(checkpoint.text, keys):
        if key is None or key not in storages.found or key in regions:
            raise refused("its list of storages is not that of its tensors")
        storage, count = storages.found[key], cursor.number("<q")
        if count != storage.count:
            raise Damaged(f"storage {short(key)} has {count} numbers, expected {storage.count}")
        size = count * storage.width
        regions[key] = Sum(cursor.skip(size), size, 0, compared=True)
    if cursor.left:
        raise Damaged(f"{cursor.left} bytes after its end")
    file = TensorFile("torch", "PyTorch's file of before 2020 (pickles, read without running them)", {})
    return _filled(file, contents, whole, machine, regions)


def _filled(
    file: TensorFile, contents: Contents, whole: object, machine: Skipping, regions: dict[str, Sum]
) -> TensorFile:
    """Describe all tensors of a checkpoint in their storages."""
    found = checkpoint.sorted_out(whole, list(machine.foreign))
    for name, made in found.tensors.items():
        try:
            file.tensors[name] = _placed(contents, name, made, regions)
        except Damaged:
            raise
        except WeightsError as error:
            file.unread[name] = error
    file.groups, file.remarks = found.groups, found.remarks
    for group in dict.fromkeys(found.groups.values()):
        apart({name: tensor for name, tensor in file.tensors.items() if found.groups[name] == group})
    return file


def _placed(contents: Contents, name: str, made: Made, regions: dict[str, Sum]) -> Tensor:
    """Describe a tensor in its storage."""
    storage, offset, shape, steps = made.values
    if storage.kind not in TYPES:
        raise WeightsError(f"{short(name)} has dtype {storage.kind}, expected a floating-point dtype such as float32.")
    region = regions.get(storage.key)
    if region is None or storage.count * storage.width != region.count:
        raise Damaged(f"{short(name)} has a storage that is missing")
    begin = (offset + storage.first) * storage.width
    room = max(0, region.count - begin)
    sum = None if region.compared and not region.expected else region
    return described(contents, name, shape, storage.kind, region.start + begin, room, steps, sum)


def _tensor(storage: object, offset: object, shape: object, steps: object, *_: object) -> Made:
    """Describe what torch._utils._rebuild_tensor and _rebuild_tensor_v2 would return."""
    whole = isinstance(storage, Storage) and isinstance(offset, int) and type(offset) is int and offset >= 0
    if not whole or not isinstance(shape, tuple) or not isinstance(steps, tuple):
        raise refused("a tensor without storage, offset, shape and strides")
    return Made("tensor", (storage, offset, shape, steps))


def _parameter(data: object, *_: object) -> object:
    """Return the tensor of a parameter."""
    return data


def _typed(function: object, _: object, arguments: object, *__: object) -> object:
    """Describe what torch._tensor._rebuild_from_type_v2 would return: a tensor with attributes, which are left out."""
    if not isinstance(function, Named) or function.name not in REBUILT or not isinstance(arguments, tuple):
        raise refused("a tensor of a class of its own")
    return REBUILT[function.name](*arguments)


STORAGES = {f"{module} {name}Storage": kind for module in ("torch", "torch.cuda") for name, kind in KINDS.items()}
REBUILT = {"torch._utils _rebuild_tensor": _tensor, "torch._utils _rebuild_tensor_v2": _tensor}
# Parameters are wrapped in all but a state_dict's; those of 2017 wrap there too.
ALLOWED = {
    **REBUILT,
    "collections OrderedDict": lambda *_: Bag(),
    "collections defaultdict": lambda *_: Bag(),
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter Parameter": _parameter,
    "torch.nn.parameter Buffer": _parameter,
    "torch.autograd.variable Variable": _parameter,
    "torch._tensor _rebuild_from_type_v2": _typed,
    "torch Size": lambda lengths=(): lengths,
    **dict.fromkeys(STORAGES),
}
