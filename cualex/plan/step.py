"""One entry of a plan: an engine function on one device, and the maps and parameters that it touches."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cualex.kernels import Launch
from cualex.layers.maps import Operand


def name_of(function: Callable[..., Any]) -> str:
    """Return an engine function's name as profiles show it: "conv.forward"."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def not_bound() -> None:
    """Raise RuntimeError: a step runs once its plan has bound it, and until the plan is released."""
    raise RuntimeError("a step belongs to a plan, which was released or is not ready")


@dataclass
class Step:
    """One entry of the list: what it is called, what it moves and computes, and how to run it.

    `call` is the engine's function, `function` its name; a link has none, for the device itself copies. `reads` and
    `writes` have its arrays by argument: operands, lists of them, the parameters' arrays, or None. `sinks` name the
    parameters whose gradients it computes. `kind` is "data", "forward", "backward", "update" or "link". With `rounds`
    gemms read the maps that it writes (operands.py). `launches` are the kernels that it runs on a GPU, once bound.
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    towers: tuple[int, ...]
    place: int
    device: str
    function: str
    call: Callable[..., None] | None = None
    reads: dict[str, Any] = field(default_factory=dict)
    writes: dict[str, Any] = field(default_factory=dict)
    sinks: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    operations: int = 0
    rounds: bool = False
    run: Callable[[], None] = not_bound
    launches: list[Launch] = field(default_factory=list)

    def operands(self) -> list[Operand]:
        """Return every operand that is read or written."""
        return [item for item in self._items() if isinstance(item, Operand)]

    @property
    def bytes(self) -> int:
        """Count what is read and written, once each, without what the sinks move."""
        items = self._items()
        maps = sum(item.bytes for item in items if isinstance(item, Operand))
        return maps + sum(item.nbytes for item in items if hasattr(item, "nbytes"))

    def arrays(self) -> dict[str, Any]:
        """Return the function's arguments with arrays of this device for operands."""
        return {name: self._resolve(value) for name, value in {**self.reads, **self.writes}.items()}

    def _items(self) -> list[Any]:
        values = [*self.reads.values(), *self.writes.values()]
        return [item for value in values for item in (value if isinstance(value, list) else [value])]

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item.resolve(self.place) for item in value]
        return value.resolve(self.place) if isinstance(value, Operand) else value


@dataclass(frozen=True)
class Result:
    """Result of a batch: the mean loss, how many images were right, and of how many."""

    loss: float
    top1: int
    top5: int
    count: int

    @property
    def finite(self) -> bool:
        """Return whether the loss is finite."""
        return math.isfinite(self.loss)


@dataclass(frozen=True)
class Outcome:
    """Result of a queued run; reading it blocks."""

    sums: Callable[[], np.ndarray]

    @property
    def result(self) -> Result:
        """Return loss and counts."""
        loss, top1, top5, count = self.sums().tolist()
        return Result(loss / max(count, 1), int(top1), int(top5), int(count))
