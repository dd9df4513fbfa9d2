"""What one step of training or inference does, as a list.

A plan turns a network, its placement, a batch size and a mode into steps over buffers that are allocated once.
Everything else walks this list: running is `for step in plan.steps: step.run()`, the profile puts a clock on
either side, the ledger is its links, `summary --memory` prints its buffers. In its steady state a step allocates
nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cualex import buffers
from cualex.buffers import Buffer, Maps, Operand
from cualex.devices import Control
from cualex.errors import UsageError
from cualex.layers import Layer, Shape
from cualex.networks import Stage
from cualex.parameters import Parameters


@dataclass
class Step:
    """Be one entry of the list: what it is called, what it moves and computes, and how to run it."""

    name: str
    kind: str  # "data", "forward", "backward" or "link"
    layers: tuple[str, ...]
    towers: tuple[int, ...]
    place: int
    device: str
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]
    operations: int
    run: Callable[[], None] = None

    @property
    def bytes(self) -> int:
        """Count what is read and written once each."""
        return sum(operand.bytes for operand in (*self.reads, *self.writes))


@dataclass(frozen=True)
class Result:
    """Say what a batch gave: the mean loss, how many were right, of how many pictures."""

    loss: float
    top1: int
    top5: int
    count: int

    @property
    def finite(self) -> bool:
        """Say whether the loss is a number."""
        return math.isfinite(self.loss)


@dataclass(frozen=True)
class _Unit:
    """Hold a layer, and those that the engine runs in the same step."""

    stage: Stage
    then: tuple[Stage, ...]
    relu: Stage | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (self.stage, *self.then)


class Plan:
    """Be the list of steps for one network, batch and mode, ready to run.

    `mode` is "train" or "infer". `outputs` names layers whose maps are kept for `output`. With `fuse=False` every
    layer has steps of its own. `sink` says where weight gradients go: "momentum" updates the weights, "keep"
    stores the gradients for `gradients`.
    """

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        mode: str = "train",
        *,
        outputs: tuple[str, ...] = (),
        fuse: bool = True,
        sink: str = "momentum",
        control: Control | None = None,
    ):
        """Build the steps, allocate their buffers and bind both."""
        self.parameters, self.batch, self.mode = parameters, batch, mode
        self.network, self.devices = parameters.network, parameters.devices
        self.training, self.control = mode == "train", control or Control()
        self.steps: list[Step] = []
        self.buffers: list[Buffer] = []
        self._bindings: list[tuple] = []
        self._fuse, self._sink, self._outputs = fuse, sink, {}
        self._kept: dict[tuple[str, int], np.ndarray] = {}
        unknown = set(outputs) - set(self.network.layers)
        if unknown:
            raise UsageError(
                f"{self.network.name} has no layer {sorted(unknown)[0]!r}; "
                f"its layers are {', '.join(self.network.layers)}"
            )
        self._wanted = set(outputs)
        self._build()
        self.bytes = buffers.allocate(self.buffers, self.devices)
        self._bind()

    # --- what the user of a plan does

    def put(self, pictures: np.ndarray, views: np.ndarray, labels: np.ndarray) -> None:
        """Hand in a batch: stored pictures (uint8), views (row, column, mirror) and labels (-1: not counted)."""
        for name, given in (("pictures", pictures), ("views", views)):
            for buffer in self._inputs[name]:
                np.copyto(buffer.array, given)
        np.copyto(self.labels.buffer.array, labels)

    def put_mean(self, mean: np.ndarray) -> None:
        """Hand in the mean picture (stored, stored, 3)."""
        for buffer in self._inputs["mean"]:
            np.copyto(buffer.array, mean)

    def run(self) -> None:
        """Run all steps once, on what was put in."""
        for step in self.steps:
            step.run()

    @property
    def result(self) -> Result:
        """Return loss and counts of the last run."""
        loss, top1, top5, count = self.sums.buffer.array
        return Result(float(loss) / max(count, 1), int(top1), int(top5), int(count))

    def output(self, name: str) -> np.ndarray:
        """Return the maps of a layer named in `outputs`: (pictures, channels, rows, columns), a copy."""
        maps = self._outputs[name]
        parts = [maps.at(place).array() for place in self.places(maps)]
        return np.concatenate(
            [tower.transpose(0, 3, 1, 2) for part in parts for tower in part], axis=1
        )

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the canonical gradients that the sink "keep" has stored."""
        return {name: self.parameters.gather(self._kept, name) for name in self.parameters.stages}

    # --- what layers call while the list is built

    def places(self, maps: Maps) -> list[int]:
        """Return the places that have a tower of these maps."""
        return [p for p in range(len(self.devices)) if self.parameters.towers_on(p, maps.towers)]

    def towers_of(self, place: int) -> tuple[int, ...]:
        """Return the towers of a place."""
        return self.parameters.placement.towers[place]

    @property
    def index(self) -> int:
        """Return the number of the layer whose steps are being made."""
        return self._unit.stage.index

    def maps(self, shape: Shape, towers: int, label: str = "", border: int | None = None, dtype=None) -> Maps:
        """Make maps for each place; a layer's output gets the border that its reader wants."""
        border = self._border if border is None else border
        name = self._unit.stages[-1].name + (f" {label}" if label else "")
        parts = []
        for place in range(len(self.devices)):
            own = len(self.parameters.towers_on(place, towers))
            parts.append(self._maps_on(place, name, own, shape, border, dtype) if own else None)
        return Maps(shape, towers, tuple(parts))

    def gradient(self, x: Maps, *, relu: bool = True) -> Maps | None:
        """Make the gradient of an input; None for the picture, which needs none."""
        if x is self._picture:
            return None
        name, shape = f"{self._below} gradient", x.shape
        if not x.shared:
            parts = [
                self._maps_on(place, name, part.shape[0], shape) if part else None
                for place, part in enumerate(x.parts)
            ]
            taken = relu and self._fuse and x.positive
            taken = taken and self._unit.stage.layer.kind in self.parameters.engine.TAKES_RELU
            return Maps(shape, x.towers, tuple(parts), relu_taken=taken)
        one = (shape[0] // self._unit.stage.reading.sources, *shape[1:])
        count = self._unit.stage.reading.sources
        sources = []
        for place in range(len(self.devices)):
            if not self.parameters.towers_on(place, x.towers):
                sources.append(())
            elif len(self.devices) == 1:
                whole = self._maps_on(place, name, count, one)
                sources.append(tuple(Operand(whole, tower) for tower in range(count)))
            else:
                each = [self._maps_on(place, f"{name} {tower}", 1, one) for tower in range(count)]
                sources.append(tuple(Operand(part, 0) for part in each))
        return Maps(shape, x.towers, sources=tuple(sources))

    def gather(self, x: Maps, readers: int) -> Maps:
        """Let every reading place have the maps of all towers: link what lies elsewhere."""
        home = {tower: place for place in self.places(x) for tower in self.towers_of(place)}
        sources: list[tuple[Operand, ...]] = []
        for place in range(len(self.devices)):
            own = []
            for tower in range(x.towers if self.parameters.towers_on(place, readers) else 0):
                part = x.parts[home[tower]]
                local = Operand(part, tower - self.towers_of(home[tower])[0])
                if home[tower] != place:
                    inbox = self._maps_on(place, f"{part.name} from tower {tower}", 1, x.shape, part.border)
                    local = self._link(local, Operand(inbox, 0), self._reader)
                own.append(local)
            sources.append(tuple(own))
        shape = (x.shape[0] * x.towers, *x.shape[1:])
        return Maps(shape, readers, sources=tuple(sources))

    def scatter(self, x: Maps, dy: Maps) -> Maps:
        """Bring the gradients of what each tower gave back to it, and add them."""
        if len(self.devices) == 1:
            return Maps(x.shape, x.towers, (dy.sources[0][0].buffer,))
        parts = []
        for place in self.places(x):
            (tower,) = self.towers_of(place)
            reads = self.parameters.towers_on(place, dy.towers)
            mine = dy.sources[place][tower] if reads else None
            for other in self.places(dy):
                if other == place:
                    continue
                inbox = self._maps_on(place, f"{self._below} gradient from place {other}", 1, x.shape)
                arrived = self._link(dy.sources[other][tower], Operand(inbox, 0), self._reader)
                if mine is None:
                    mine = arrived
                else:
                    self.step(place, "exchange.add", reads={"x": arrived, "y": mine}, writes={"y": mine})
            parts.append(mine.buffer)
        return Maps(x.shape, x.towers, tuple(parts))

    def step(self, place: int, function: str, *, reads, writes=(), sinks=(), products=0, **numbers) -> None:
        """Append a step: `function(device, **reads, **writes, **numbers)` on a place."""
        stage = self._unit.stage
        writes = dict(writes)
        towers = tuple(self.parameters.towers_on(place, stage.towers))
        operations = 2 * products * len(towers) * self.batch * stage.layer.multiply_adds(stage.reading.shape)
        names = tuple(s.name for s in self._unit.stages)
        self._append("+".join(names), names, towers, place, reads, writes, operations)
        self._bindings.append((function, {**reads, **writes}, dict(sinks), numbers))

    def parameters_of(self, place: int) -> dict[str, np.ndarray]:
        """Return the weights and biases of the layer whose steps are being made."""
        name = self._unit.stage.name
        return {last: self.parameters.arrays[f"{name}.{last}", place] for last in ("weight", "bias")}

    # --- how the list is built

    def _build(self) -> None:
        units = self._units(list(self.network.stages()))
        self._labels_and_sums()
        x, passed = self._crop(), []
        self._picture = x
        for number, unit in enumerate(units):
            self._enter("forward", units, number)
            y, kept = unit.stage.layer.forward(self, x, tuple(stage.layer for stage in unit.then))
            if unit.stages[-1].layer.kind == "relu":
                y = Maps(y.shape, y.towers, y.parts, y.sources, positive=True)
            self._keep_output(unit.stages[-1].name, y)
            passed.append((number, unit, x, y, kept))
            x = y
        if not self.training:
            return
        dy = None
        for number, unit, x, y, kept in reversed(passed):
            self._enter("backward", units, number)
            if unit.relu:
                dy = unit.relu.layer.backward(self, y, y, {}, dy, ())
            then = tuple(stage.layer for stage in unit.then if stage is not unit.relu)
            dy = unit.stage.layer.backward(self, x, y, kept, dy, then)

    def _units(self, stages: list[Stage]) -> list[_Unit]:
        """Group the layers that the engine runs in one step; a wanted output ends its group."""
        units = []
        while stages:
            stage, then = stages.pop(0), ()
            if self._fuse and stages and stage.name not in self._wanted:
                pair = (stage.layer.kind, stages[0].layer.kind)
                if pair in self.parameters.engine.FUSES:
                    then = (stages.pop(0),)
            relu = then[0] if then and then[0].layer.kind == "relu" else None
            units.append(_Unit(stage, then, relu))
        return units

    def _enter(self, kind: str, units: list[_Unit], number: int) -> None:
        """Note whose steps come next, what reads its output, and what made its input."""
        self._kind, self._unit = kind, units[number]
        later = [unit.stage for unit in units[number + 1 :] if unit.stage.layer.kind not in ("exchange", "join")]
        self._border = later[0].layer.pad if later else 0
        self._reader = later[0].name if later else ""
        self._below = units[number - 1].stages[-1].name if number else "picture"

    def _labels_and_sums(self) -> None:
        self.labels = Operand(self._lasting("labels", 0, (self.batch,), np.int32))
        self.labels.buffer.array[...] = -1
        self.sums = Operand(self._lasting("sums", 0, (4,), np.float64))

    def _crop(self) -> Maps:
        """Make the first step of each place: stored pictures become crops without their mean."""
        network, first = self.network, next(iter(self.network.stages()))
        stored, crop = (network.stored, network.stored, 3), (3, network.crop, network.crop)
        self._inputs = {"pictures": [], "views": [], "mean": []}
        data = Stage(-1, "data", Layer(), first.reading, crop, network.towers)
        self._unit, self._kind = _Unit(data, (), None), "data"
        sources = []
        for place in range(len(self.devices)):
            given = {
                "pictures": self._lasting("pictures", place, (self.batch, *stored), np.uint8),
                "views": self._lasting("views", place, (self.batch, 3), np.int32),
                "mean": self._lasting("mean", place, stored, np.float32),
            }
            for name, buffer in given.items():
                self._inputs[name].append(buffer)
            target = Operand(self._maps_on(place, "picture", 1, crop, first.layer.pad), 0)
            reads = {name: Operand(buffer) for name, buffer in given.items()}
            self.step(place, "crop.forward", reads=reads, writes={"y": target})
            sources.append((target,))
        return Maps(crop, network.towers, sources=tuple(sources))

    def _keep_output(self, name: str, y: Maps) -> None:
        """Keep the probabilities, and what was asked for."""
        if name in self._wanted or name == list(self.network.layers)[-1]:
            for part in y.parts:
                if part:
                    part.lasting = True
            self._outputs[name] = y

    def _lasting(self, name: str, place: int, shape: tuple[int, ...], dtype) -> Buffer:
        """Make an input or result, which keeps its memory."""
        buffer = Buffer(name, place, shape, np.dtype(dtype), lasting=True)
        buffer.array = self.devices[place].allocate(shape, dtype, zero=True)
        self.buffers.append(buffer)
        return buffer

    def _maps_on(self, place: int, name: str, towers: int, shape: Shape, border: int = 0, dtype=None) -> Buffer:
        """Make the buffer of some maps on one place."""
        channels, rows, columns = shape
        full = (towers, self.batch, rows + 2 * border, columns + 2 * border, channels)
        dtype = np.dtype(dtype or self.parameters.dtype)
        buffer = Buffer(name, place, full, dtype, border, lasting=border > 0)
        self.buffers.append(buffer)
        return buffer

    def _link(self, source: Operand, target: Operand, reader: str) -> Operand:
        """Append a copy between places, and return its target."""
        kind, self._kind = self._kind, "link"
        place = target.buffer.place
        towers = self.towers_of(source.buffer.place)
        self._append(f"link {reader}", (reader,), towers, place, {"x": source}, {"y": target}, 0)
        self._bindings.append(("link", (source, target), reader, None))
        self._kind = kind
        return target

    def _append(self, name, layers, towers, place, reads, writes, operations) -> None:
        """Append a step, and note the life of what it touches."""
        reads, writes = _operands(reads.values()), _operands(writes.values())
        for operand in (*reads, *writes):
            operand.buffer.used(len(self.steps))
        device = self.parameters.placement.names[place]
        step = Step(name, self._kind, layers, towers, place, device, reads, writes, operations)
        self.steps.append(step)

    def _bind(self) -> None:
        """Turn each step's names into functions and arrays."""
        for step, (function, arguments, sinks, numbers) in zip(self.steps, self._bindings, strict=True):
            device = self.devices[step.place]
            if function == "link":
                source, target = arguments
                step.run = partial(device.link, source.array(), target.resolve(step.place), sinks)
                continue
            module, _, last = function.partition(".")
            call = getattr(getattr(self.parameters.engine, module), last)
            arrays = {name: _resolve(value, step.place) for name, value in arguments.items()}
            takers = {name: self._make_sink(step, last) for name, last in sinks.items()}
            step.run = partial(call, device, **arrays, **takers, **numbers)

    def _make_sink(self, step: Step, last: str):
        """Make the sink of one of a step's parameters."""
        name, update = f"{step.layers[0]}.{last}", self.parameters.engine.update
        weight = self.parameters.arrays[name, step.place]
        if self._sink == "keep":
            self._kept[name, step.place] = gradient = np.zeros_like(weight)
            return update.Keep(gradient)
        decay = self.parameters.stages[name].parameters[name].decay
        velocity = self.parameters.velocity(name, step.place)
        return update.Momentum(weight, velocity, self.control, decay)


def _operands(values) -> tuple[Operand, ...]:
    """Return the operands among values and lists of values."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return tuple(item for item in flat if isinstance(item, Operand))


def _resolve(value, place: int):
    """Turn an operand, or a list of operands, into arrays; leave everything else as it is."""
    if isinstance(value, list):
        return [item.resolve(place) for item in value]
    return value.resolve(place) if isinstance(value, Operand) else value
