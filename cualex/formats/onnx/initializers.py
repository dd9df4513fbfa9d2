"""Tensors of an ONNX graph: in the model, or as external data in a file of the model's folder.

TensorProto    dims = 1, data_type = 2, float_data = 4, int32_data = 5, name = 8, raw_data = 9, double_data = 10,
               external_data = 13, data_location = 14
external_data  (key = 1, value = 2)*: location, a path relative to the model; offset and length in bytes
"""

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.protobuf import Field, Message, only
from cualex.formats.reading.tensors import BFLOAT16, Tensor, described, short

# The types of tensors that weights can have; others (shapes to reshape to) are skipped.
KINDS = {1: "<f4", 10: "<f2", 11: "<f8", 16: BFLOAT16}
TYPED = {"<f4": (4,), "<f8": (10,)}  # fields of numbers that are not raw


def tensor(contents: Contents, message: Message) -> tuple[str, Tensor | None]:
    """Return a tensor's name, and its description if it can be weights."""
    fields: dict[int, list[Field]] = {}
    for field in message.fields():
        fields.setdefault(field.number, []).append(field)
    named = only(fields.get(8, []), "a tensor's name")
    name = message.text(named) if named else ""
    typed = only(fields.get(2, []), f"the type of {short(name)}")
    kind = KINDS.get(typed.value if typed else 0)
    lengths = [length for field in fields.get(1, []) for length in message.integers(field)]
    if kind is None or 0 in lengths:
        return name, None
    location = only(fields.get(14, []), f"the place of {short(name)}")
    if 13 in fields or (location and location.value):
        return name, _outside(contents, message, fields.get(13, []), name, lengths, kind)
    if kind not in TYPED and 5 in fields:
        raise WeightsError(f"{short(name)} has each number as an int32. Save the model with raw data.")
    data = [field for number in (9, *TYPED.get(kind, ())) for field in fields.get(number, [])]
    held = only(data, f"the data of {short(name)}")
    if held is None:
        raise Damaged(f"{short(name)} has no data")
    return name, message.tensor(held, short(name), lengths, kind)


def _outside(
    contents: Contents, message: Message, fields: list[Field], name: str, lengths: list[int], kind: str
) -> Tensor:
    """Describe a tensor whose numbers are in another file."""
    told: dict[str, str] = {}
    for each in fields:
        key, value = entry(message.message(each))
        if key in told:
            raise Damaged(f"the {short(key)} of {short(name)} is there twice")
        told[key] = value
    where = told.get("location", "")
    if not where:
        raise Damaged(f"{short(name)} has external data without a location")
    numbers = [told.get(key, "") or "0" for key in ("offset", "length")]
    if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
        raise Damaged(f"{short(name)} has external data with the offset and length {short(', '.join(numbers))}")
    start, length = map(int, numbers)
    try:
        held = contents.beside(where)
        made = described(held, name, lengths, kind, start, length or max(0, held.size - start))
    except Damaged as error:
        raise Damaged(f"{short(where)}: {error.detail}") from None
    if length and made.span[1] - start != length:
        raise Damaged(f"{short(name)} has {length} bytes in {short(where)}, expected {made.span[1] - start}")
    return made


def entry(message: Message) -> tuple[str, str]:
    """Return a key and its text."""
    key, text = ("".join(message.text(field) for field in message.all(number)[:1]) for number in (1, 2))
    return key, text
