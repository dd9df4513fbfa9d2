"""What the emulator has seen of a user's kernel: faults, and the cost of its requests to memory, by line."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Finding:
    """A fault of a kernel, at a line of a file: the first case of it, in one block and thread, and how many there are.

    other_line: of a race, where the other access is.
    """

    kind: str
    file: str
    line: int | None
    text: str
    source: str
    block: tuple[int, int, int] | None
    thread: tuple[int, int, int] | None
    count: int
    other_line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.kind}: {self.text}"


@dataclass(frozen=True)
class Requests:
    """The requests that warps make to memory at one line: how many, what they cost, and what they would at best.

    The cost is in wavefronts in shared memory, where bank conflicts make more of them, and in sectors of 32 bytes in
    global memory.
    """

    file: str
    line: int
    memory: str
    access: str
    requests: int
    cost: int
    ideal: int

    @property
    def note(self) -> str:
        """Return what makes it dear: "bank conflicts: 4 times the wavefronts", "13 % of the sectors used", or ""."""
        if self.cost <= self.ideal:
            return ""
        if self.memory == "shared":
            return f"bank conflicts: {self.cost / self.ideal:.3g} times the wavefronts"
        return f"{self.ideal / self.cost:.0%} of the sectors used".replace("%", " %")


@dataclass
class Report:
    """What came of a kernel's run: its arrays by name, faults, requests by line, and what it printed.

    complete: whether all threads came to their end.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    static_shared: int
    dynamic_shared: int
    arrays: dict[str, np.ndarray]
    written: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)
    requests: list[Requests] = field(default_factory=list)
    printed: str = ""
    complete: bool = True

    @property
    def conflicts(self) -> list[Requests]:
        """Return the lines with bank conflicts."""
        return [each for each in self.requests if each.memory == "shared" and each.note]

    def document(self) -> dict[str, Any]:
        """Return it as plain values, without the arrays' elements."""
        arrays = {name: {"dtype": str(each.dtype), "shape": list(each.shape)} for name, each in self.arrays.items()}
        return {
            "kernel": self.kernel,
            "grid": list(self.grid),
            "block": list(self.block),
            "static_shared_bytes": self.static_shared,
            "dynamic_shared_bytes": self.dynamic_shared,
            "complete": self.complete,
            "findings": [asdict(each) for each in self.findings],
            "requests": [{**asdict(each), "note": each.note} for each in self.requests],
            "printed": self.printed,
            "arrays": arrays,
        }
