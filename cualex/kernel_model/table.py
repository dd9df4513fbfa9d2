"""The kernels of a plan as a table: what each does and how long it should take, a row a launch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cualex.kernel_model import estimate
from cualex.kernel_model.counts import Counts
from cualex.kernel_model.estimate import Estimate
from cualex.kernel_model.sass import Sass
from cualex.kernels import Launch
from cualex.plan.step import Step


@dataclass(frozen=True)
class Row:
    """A launch: the step that it is of, its code, its counts, and its modelled time, None where there is no model.

    missed: the bytes that the model has come from memory, or go there; not in L2.
    """

    step: Step = field(repr=False)
    launch: Launch = field(repr=False)
    sass: Sass = field(repr=False)
    counts: Counts
    warps: int  # that an SM has room for
    multiprocessors: int | None
    missed: int | None
    estimate: Estimate | None

    @property
    def name(self) -> str:
        """Return the step and the kernel, as --sass and --ptx take them."""
        return f"{self.step.name}:{self.launch.kernel.name}"

    @property
    def waves(self) -> float | None:
        """Return how often all SMs together are filled: blocks over the blocks that are resident at once."""
        if self.multiprocessors is None:
            return None
        return self.counts.blocks / (self.multiprocessors * self.counts.resident)

    @property
    def balance(self) -> float | None:
        """Return the share of the time that an SM is busy where one block takes as long as another: 1 if all are."""
        if self.multiprocessors is None:
            return None
        most = -(-self.counts.blocks // self.multiprocessors)
        return self.counts.blocks / (self.multiprocessors * most)

    @property
    def occupancy(self) -> float:
        """Return the warps that an SM holds, of those that it has room for."""
        return self.counts.resident * self.counts.warps / self.warps

    @property
    def launched(self) -> str:
        """Return the kernel with its tile and splits, where it has any."""
        n, kernel = self.launch.constants, self.launch.kernel
        if not kernel.gemm:
            return kernel.name
        split = f"/{n['SPLITS']}" if n["SPLITS"] != 1 else ""
        return f"{kernel.name} {n['TILE_ROWS']}x{n['TILE_COLUMNS']}{split}"

    def document(self) -> dict[str, Any]:
        """Return plain values, with units in their names."""
        found, modelled = self.counts, self.estimate
        return {
            "step": self.step.name,
            "function": self.step.function,
            "kind": self.step.kind,
            "layers": self.step.layers,
            "towers": [tower + 1 for tower in self.step.towers],
            "device": self.step.device,
            "kernel": self.launch.kernel.name,
            "file": self.launch.kernel.file,
            "constants": dict(self.launch.constants),
            "grid": self.launch.grid,
            "threads": self.launch.block,
            "blocks": found.blocks,
            "waves": self.waves,
            "balance": self.balance,
            "registers": self.sass.registers,
            "spilled_bytes": self.sass.spilled,
            "shared_bytes": self.launch.shared,
            "blocks_per_multiprocessor": found.resident,
            "occupancy": self.occupancy,
            "occupancy_limit": found.limit,
            "main_loop": {
                "steps": found.steps,
                "instructions": sum(found.main.values()),
                "by_kind": dict(found.main),
            }
            if found.main
            else None,
            "warp_instructions": found.instructions,
            "bytes": found.bytes,
            "memory_bytes": self.missed,
            "milliseconds": modelled and 1000 * modelled.seconds,
            "alone_milliseconds": modelled and {name: 1000 * each for name, each in modelled.parts.items()},
            "limit": modelled and modelled.limit,
            "loops_assumed": dict(found.assumed),
        }


@dataclass(frozen=True)
class Table:
    """The kernels of a plan in their order, its steps, and what they were made for; assumptions: texts."""

    rows: tuple[Row, ...]
    steps: tuple[Step, ...] = field(repr=False)
    conditions: Mapping[str, Any]
    assumptions: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """Return the sum of the rows, one after the other; None where there is no model."""
        each = [row.estimate.seconds for row in self.rows if row.estimate]
        return sum(each) if len(each) == len(self.rows) else None

    @property
    def bytes(self) -> int:
        """Return what all launches read and write."""
        return sum(row.counts.bytes for row in self.rows)

    @property
    def spilled(self) -> int:
        """Return the bytes of registers that all kernels spill, a thread."""
        return sum(row.sass.spilled for row in self.rows)

    def step_seconds(self) -> list[float | None]:
        """Return the modelled time of each step of the plan; None for one without kernels, or without a model."""
        found = []
        for step in self.steps:
            own = [row.estimate for row in self.rows if row.step is step]
            found.append(sum(each.seconds for each in own if each) if own and all(own) else None)
        return found

    def document(self) -> dict[str, Any]:
        """Return plain values, with units in their names."""
        return {
            "rows": [row.document() for row in self.rows],
            "total": {
                "milliseconds": None if self.seconds is None else 1000 * self.seconds,
                "launches": len(self.rows),
                "bytes": self.bytes,
                "memory_bytes": None if self.seconds is None else sum(row.missed or 0 for row in self.rows),
                "spilled_bytes": self.spilled,
                "links": sum(step.kind == "link" for step in self.steps),
            },
            "assumptions": list(self.assumptions),
            "constants": estimate.gpu(self.conditions["architecture"]),
            "conditions": dict(self.conditions),
        }
