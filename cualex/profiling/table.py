"""The table of a profile: a row a step, sums, and the time that is in no row."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cualex.plan.step import Step
from cualex.profiling.data_wait import Waiting
from cualex.profiling.overlap import Overlap
from cualex.profiling.passes import Pass
from cualex.profiling.roofline import Roofline, moved
from cualex.weights.parameters import Parameters

UNATTRIBUTED = 0.03  # of the serial step; with more the table does not account for the time


@dataclass(frozen=True)
class Row:
    """A step: its times, rates and share of the roofline.

    direction: "forward" or "backward".  gives: gradients that it computes, dx of the maps, dw of the parameters.
    towers: from 1.  times: of the passes; seconds, p95: their median and 95th percentile.  share: of the serial step.
    roofline: attainable time over time.  bound: "operations" or "bytes".
    """

    name: str
    kind: str
    direction: str
    gives: tuple[str, ...]
    layers: tuple[str, ...]
    towers: tuple[int, ...]
    place: int
    device: str
    function: str
    operations: int
    bytes: int
    times: tuple[float, ...]
    seconds: float
    p95: float
    share: float
    roofline: float
    bound: str

    def document(self) -> dict[str, Any]:
        """Return plain values, with units in their names."""
        values = asdict(self)
        del values["times"]
        seconds, p95 = values.pop("seconds"), values.pop("p95")
        share, roofline, bound = (values.pop(name) for name in ("share", "roofline", "bound"))
        return {
            **values,
            "milliseconds": 1000 * seconds,
            "p95_milliseconds": 1000 * p95,
            "share_of_serial_step": share,
            "operations_per_s": self.operations / seconds,
            "bytes_per_s": self.bytes / seconds,
            "share_of_roofline": roofline,
            "bound": bound,
        }


@dataclass(frozen=True)
class Profile:
    """The profile of a step: rows, the passes that they are from, and the conditions of the measurement.

    Seconds are medians of the passes. Within a pass the steps and the `rest` add up to the serial time; medians do not
    exactly: `spread` is the difference.

        serial = sum + rest + spread = real + gained

    rooflines: by the device's name.  sums: of ranks (rank_sums.py).
    """

    rows: tuple[Row, ...]
    passes: tuple[Pass, ...]
    rooflines: dict[str, Roofline]
    conditions: dict[str, Any]
    waiting: Waiting | None = None
    torch: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    sums: dict[str, Any] | None = None

    @property
    def serial(self) -> float:
        """Time of the steps run one by one."""
        return statistics.median(each.serial for each in self.passes)

    @property
    def real(self) -> float:
        """Time of the step as training and inference run it."""
        return statistics.median(each.real for each in self.passes)

    @property
    def operations(self) -> int:
        """Operations of the step: two per multiply-add of the layers' matrix multiplications."""
        return sum(row.operations for row in self.rows)

    @property
    def bytes(self) -> int:
        """Bytes that the step must move: what its rows read and write."""
        return sum(row.bytes for row in self.rows)

    @property
    def sum(self) -> float:
        """Sum of the rows."""
        return sum(row.seconds for row in self.rows)

    @property
    def rest(self) -> float:
        """Time of a serial pass that is in no row."""
        attributed = map(sum, zip(*(row.times for row in self.rows), strict=True))
        return statistics.median(each.serial - rows for each, rows in zip(self.passes, attributed, strict=True))

    @property
    def spread(self) -> float:
        """Difference of the median pass and the sum of the rows' medians: small on a quiet machine."""
        return self.serial - self.sum - self.rest

    @property
    def attributed(self) -> bool:
        """Whether less than 3 % of the serial step is in no row."""
        return self.rest < UNATTRIBUTED * self.serial

    @property
    def disturbed(self) -> bool:
        """Whether the passes vary so much that their medians are 3 % from adding up."""
        return abs(self.spread) >= UNATTRIBUTED * self.serial

    @property
    def gained(self) -> float:
        """Time that the real step saves by overlap and graph; negative if it takes longer."""
        return self.serial - self.real

    @property
    def example(self) -> Pass:
        """The pass whose serial time is nearest to the median."""
        return min(self.passes, key=lambda each: abs(each.serial - self.serial))

    @property
    def overlap(self) -> Overlap | None:
        """What ran beside what, in the step of the median length; None on a CPU."""
        made = sorted((each.overlap for each in self.passes if each.overlap), key=lambda overlap: overlap.seconds)
        return made[len(made) // 2] if made else None

    def document(self) -> dict[str, Any]:
        """Return plain values, with units in their names."""
        overlap = self.overlap
        return {
            "rows": [row.document() for row in self.rows],
            "operations": self.operations,
            "bytes": self.bytes,
            "sum_milliseconds": 1000 * self.sum,
            "unattributed_milliseconds": 1000 * self.rest,
            "unattributed_share": self.rest / self.serial,
            "spread_milliseconds": 1000 * self.spread,
            "serial_milliseconds": 1000 * self.serial,
            "gained_milliseconds": 1000 * self.gained,
            "real_milliseconds": 1000 * self.real,
            "images_per_s": self.conditions["batch_size"] / self.real,
            "attributed": self.attributed,
            "disturbed": self.disturbed,
            "overlap": overlap and overlap.document(self.conditions["device"].split(",")),
            "rooflines": {name: asdict(roof) for name, roof in self.rooflines.items()},
            "waiting": self.waiting and self.waiting.document(self.conditions["batch_size"] / self.real),
            "torch": self.torch,
            "model": self.model,
            "sums": self.sums,
            "conditions": self.conditions,
        }


def summarise(
    steps: Sequence[Step],
    passes: Sequence[Pass],
    parameters: Parameters,
    rooflines: dict[str, Roofline],
    conditions: dict[str, Any],
) -> Profile:
    """Return the profile with a row a step; raise ValueError when a pass has not timed all steps."""
    serial = statistics.median(each.serial for each in passes)
    times = zip(*(each.seconds for each in passes), strict=True)
    rows: list[Row] = []
    direction = "forward"
    for step, seconds in zip(steps, times, strict=True):
        if step.kind == "backward":
            direction = "backward"  # and that of every link from here on
        rows.append(_row(step, direction, seconds, serial, moved(step, parameters), rooflines[step.device]))
    return Profile(tuple(rows), tuple(passes), rooflines, conditions)


def p95(times: Sequence[float]) -> float:
    """Return the 95th percentile: the shortest of the times that at most 5 % of them exceed."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def _row(step: Step, direction: str, times: Sequence[float], serial: float, moves: int, roof: Roofline) -> Row:
    seconds = statistics.median(times)
    gives: list[str] = []
    if direction == "backward" and step.kind == "backward":
        gives = ["dx"] * (step.writes.get("dx") is not None) + ["dw"] * bool(step.sinks)
    return Row(
        name=step.name,
        kind=step.kind,
        direction=direction,
        gives=tuple(gives),
        layers=step.layers,
        towers=tuple(tower + 1 for tower in step.towers),
        place=step.place,
        device=step.device,
        function=step.function,
        operations=step.operations,
        bytes=moves,
        times=tuple(times),
        seconds=seconds,
        p95=p95(times),
        share=seconds / serial,
        roofline=roof.attainable(step.operations, moves) / seconds,
        bound=roof.bound(step.operations, moves),
    )
