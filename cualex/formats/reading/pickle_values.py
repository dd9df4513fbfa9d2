"""Descriptions of what a pickle holds besides numbers, text, tuples, lists and dictionaries."""

from dataclasses import dataclass
from typing import Any

from cualex.errors import WeightsError


@dataclass(frozen=True)
class Span:
    """A range of bytes in the file."""

    start: int
    end: int


class Short(bytes):
    """Bytes that were read, and their offset."""

    start: int

    @property
    def end(self) -> int:
        """The offset behind them."""
        return self.start + len(self)


@dataclass
class Made:
    """An object that an allowed global would return: `kind`, its arguments, and the state that was set afterwards."""

    kind: str
    values: tuple[Any, ...]
    state: object = None


@dataclass(frozen=True)
class Named:
    """A global that is allowed."""

    name: str


class Bag(dict[Any, Any]):
    """A dictionary of a type with a state, which is ignored."""


def refused(reason: str) -> WeightsError:
    """Return the error for a pickle that is not only tensors."""
    return WeightsError(
        f"its pickle holds more than a dictionary of tensors, and is never executed ({reason}). Save only the weights, "
        "as torch.save(model.state_dict(), FILE) or as safetensors, and import that."
    )
