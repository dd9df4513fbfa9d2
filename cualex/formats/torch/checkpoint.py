"""What a checkpoint of PyTorch holds: its tensors by path, the dictionaries that they lie in, and what is skipped.

{"epoch": 3, "model": {"module.conv1.weight": tensor}, "optimizer": ...}  ->  "model.conv1.weight" in group "model"
"""

from dataclasses import dataclass, field

from cualex.errors import WeightsError
from cualex.formats.reading.pickle_objects import Foreign, Thing
from cualex.formats.reading.pickle_values import Made, refused
from cualex.formats.reading.tensors import short, unwrapped

DEPTH = 8  # dictionaries in dictionaries
MOST = 20_000  # dictionaries and entries that are looked at
SAVE = "Save only the weights, as torch.save(model.state_dict(), FILE) or as safetensors, and import that."


@dataclass
class Found:
    """Tensors by path, the group of each, how many lie in lists, and the models that are objects of Python code."""

    tensors: dict[str, Made] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    listed: int = 0
    models: list[str] = field(default_factory=list)
    looked: int = 0


def sorted_out(whole: object, foreign: list[str]) -> Found:
    """Return the tensors of an unpickled file; raise WeightsError when there are none with names.

    foreign: the names of other code in the pickle.
    """
    found = Found()
    _walk(found, whole, (), 0)
    if any("_rebuild_qtensor" in name or "quantized" in name for name in foreign):
        raise WeightsError(
            "a quantised PyTorch model, whose weights are integers. Import the float model that it was made from."
        )
    if not found.tensors and any("_rebuild_tensor_v3" in name for name in foreign):
        raise WeightsError("its tensors have a dtype such as float8. Save them as float32: model.float().state_dict().")
    if not found.tensors:
        raise _none(found, whole, foreign)
    if foreign:
        names = ", ".join(short(name) for name in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        found.remarks.append(("skipped", f"objects of other code, which is not run ({names})"))
    return found


def text(value: object) -> str | None:
    """Return a text, which from Python 2 is bytes, or None."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None


def _walk(found: Found, value: object, path: tuple[str, ...], depth: int) -> None:
    """Add the tensors of a value that may be a dictionary."""
    found.looked += 1
    if found.looked > MOST:
        raise refused(f"it has more than {MOST} entries")
    if isinstance(value, Thing) and isinstance(value.state, dict) and "_modules" in value.state:
        found.models.append(value.name)
    if isinstance(value, list | tuple):
        found.listed += sum(isinstance(each, Made) and each.kind == "tensor" for each in value)
        value = {number: each for number, each in enumerate(value) if isinstance(each, dict | list | tuple | Thing)}
    if not isinstance(value, dict) or depth > DEPTH:
        return
    for key, each in value.items():
        called = text(key)
        if called is None:
            called = str(key) if isinstance(key, int) else "?"
        if isinstance(each, Made) and each.kind == "tensor":
            name = unwrapped(".".join((*path, called)))
            if name in found.tensors:
                raise refused(f"{short(name)} twice")
            found.tensors[name], found.groups[name] = each, ".".join(path)
        elif isinstance(each, dict | list | tuple | Thing):
            _walk(found, each, (*path, called), depth + 1)


def _none(found: Found, whole: object, foreign: list[str]) -> WeightsError:
    """Return the error for a file without tensors that have names."""
    if found.models:
        model = short(found.models[0])
        return WeightsError(f"a whole model ({model}), saved as an object of Python code, which is never run. {SAVE}")
    if found.listed:
        return WeightsError(
            f"a list of {found.listed} tensors without names, so that nobody can tell which is which. {SAVE}"
        )
    if foreign:
        return refused(f"it names {short(foreign[0])}, which is not on the list of allowed constructors")
    if isinstance(whole, Foreign | Thing) or not isinstance(whole, dict) or not whole:
        return refused("it holds no dictionary of tensors")
    return refused(f"{short(next(iter(whole)))} is not a tensor")
