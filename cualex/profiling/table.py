"""From passes to figures: a row for each step, and a sum that says what the rows leave out."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cualex.plan.step import Step
from cualex.profiling.data_wait import Waiting
from cualex.profiling.passes import Pass
from cualex.profiling.roofline import Roofline, moved
from cualex.weights.parameters import Parameters

UNATTRIBUTED = 0.03  # of the serial step; with more the table does not say where the time goes


@dataclass(frozen=True)
class Row:
    """Describe a step: what it is, what it took in each pass, in the median and in all but 5 % of them, and its rates.

    `direction` is "forward" or "backward", `gives` names the gradients that it makes: dx of the maps, dw of the
    parameters. `towers` count from 1. `roofline` is the share of what the device could do at most, and `bound` says
    whether operations or bytes set that.
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

    def document(self) -> dict:
        """Return plain values, their units in their names."""
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
    """Hold the rows of a step, the passes that they come from, and the conditions without which they say nothing.

    Seconds are medians of the passes. Within a pass the steps and the `rest` add up to the serial time;
    medians do not quite: `spread` is what they are short of.

        serial = sum + rest + spread = real + gained

    `rooflines` go by the device's name.
    """

    rows: tuple[Row, ...]
    passes: tuple[Pass, ...]
    rooflines: dict[str, Roofline]
    conditions: dict
    waiting: Waiting | None = None
    torch: dict | None = None

    @property
    def serial(self) -> float:
        """Return the time of the steps run one by one."""
        return statistics.median(each.serial for each in self.passes)

    @property
    def real(self) -> float:
        """Return the time of the step as training and inference run it."""
        return statistics.median(each.real for each in self.passes)

    @property
    def sum(self) -> float:
        """Add up the rows."""
        return sum(row.seconds for row in self.rows)

    @property
    def rest(self) -> float:
        """Return what of a serial pass is in no row."""
        attributed = map(sum, zip(*(row.times for row in self.rows), strict=True))
        return statistics.median(each.serial - rows for each, rows in zip(self.passes, attributed, strict=True))

    @property
    def spread(self) -> float:
        """Return by how much the rows' medians do not add up to the median pass: little where nothing disturbs."""
        return self.serial - self.sum - self.rest

    @property
    def attributed(self) -> bool:
        """Say whether less than 3 % of the serial step is in no row."""
        return self.rest < UNATTRIBUTED * self.serial

    @property
    def disturbed(self) -> bool:
        """Say whether the passes differ so much that their medians are 3 % from adding up."""
        return abs(self.spread) >= UNATTRIBUTED * self.serial

    @property
    def gained(self) -> float:
        """Return what the real step saves by overlap and graph; negative where it takes longer."""
        return self.serial - self.real

    @property
    def example(self) -> Pass:
        """Return the pass whose serial time is nearest to the median."""
        return min(self.passes, key=lambda each: abs(each.serial - self.serial))

    def document(self) -> dict:
        """Return plain values, their units in their names."""
        return {
            "rows": [row.document() for row in self.rows],
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
            "rooflines": {name: asdict(roof) for name, roof in self.rooflines.items()},
            "waiting": self.waiting and self.waiting.document(self.conditions["batch_size"] / self.real),
            "torch": self.torch,
            "conditions": self.conditions,
        }


def summarise(
    steps: Sequence[Step],
    passes: Sequence[Pass],
    parameters: Parameters,
    rooflines: dict[str, Roofline],
    conditions: dict,
) -> Profile:
    """Make a row of every step; raise ValueError where a pass has not timed them all."""
    serial = statistics.median(each.serial for each in passes)
    times = zip(*(each.seconds for each in passes), strict=True)
    rows, direction = [], "forward"
    for step, seconds in zip(steps, times, strict=True):
        if step.kind == "backward":
            direction = "backward"  # and that of every link from here on
        rows.append(_row(step, direction, seconds, serial, moved(step, parameters), rooflines[step.device]))
    return Profile(tuple(rows), tuple(passes), rooflines, conditions)


def p95(times: Sequence[float]) -> float:
    """Return the shortest of the times that at most 5 % of them exceed."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def _row(step: Step, direction: str, times: Sequence[float], serial: float, moves: int, roof: Roofline) -> Row:
    seconds = statistics.median(times)
    gives = []
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
