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
from cualex.buffers import Buffer
from cualex.building import Builder
from cualex.devices import Control
from cualex.errors import OutOfMemory, UsageError
from cualex.kernels import Launch
from cualex.parameters import Parameters
from cualex.runtime import Array
from cualex.steps import Result, Step


@dataclass(frozen=True)
class Outcome:
    """Hold what a run will have given; asking for it waits for the run."""

    sums: Callable[[], np.ndarray]

    def wait(self) -> None:
        """Wait until the last run is over."""
        self._outcome.sums()

    @property
    def result(self) -> Result:
        """Return loss and counts."""
        loss, top1, top5, count = self.sums().tolist()
        return Result(loss / max(count, 1), int(top1), int(top5), int(count))


class Plan:
    """Be the list of steps for one network, batch and mode, ready to run.

    `mode` is "train" or "infer". `outputs` names layers whose maps are kept for `output`. With `fuse=False` every
    layer has steps of its own. `sink` says where weight gradients go: "momentum" updates the weights, "keep"
    stores the gradients for `gradients`. With `graph` the second run is captured, where the
    device can, and from then on replayed as a whole.
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
        graph: bool = True,
    ):
        """Build the steps, allocate their buffers and bind both."""
        self.parameters, self.batch, self.control = parameters, batch, control or Control()
        unknown = sorted(set(outputs) - set(parameters.network.layers))
        if unknown:
            raise UsageError(
                f"{parameters.network.name} has no layer {unknown[0]!r}; "
                f"its layers are {', '.join(parameters.network.layers)}"
            )
        built = Builder(parameters, batch, mode == "train", self.control, fuse, outputs)
        self.steps, self.buffers = built.steps, built.buffers
        self._inputs, self._outputs, self._places = built.inputs, built.outputs, built.places
        self._sink, self._gradients = sink, {}
        self._graph, self._wants_graph, self._runs, self._slot, self._crossing = None, graph, 0, 0, {}
        self.bytes = self._allocate()
        self._labels, self._sums = built.labels.buffer, built.sums.buffer
        nothing = np.zeros((batch, *built.inputs["pictures"][0].shape[-3:]), np.uint8)
        self.put(nothing, np.zeros((batch, 3), np.int32), np.full(batch, -1))
        launches = [launch for step in self.steps for launch in self._bind(step)]
        parameters.devices[0].compile(launches, parameters.compiling)

    def put(
        self, pictures: np.ndarray, views: np.ndarray, labels: np.ndarray, colours: np.ndarray | None = None
    ):
        """Hand in a batch: stored pictures (uint8), views (row, column, mirror) and labels (-1: not counted).

        `colours` (pictures, 3) are added to the red, green and blue of each picture.
        """
        colours = np.zeros((self.batch, 3), np.float32) if colours is None else colours
        given = {"pictures": pictures, "views": views, "colours": colours}
        self._slot = (self._slot + 1) % math.prod(self.parameters.engine.SLOTS)
        for device in self.parameters.devices:
            device.begin_loading(self._slot)
        for name, values in given.items():
            for buffer in self._inputs[name]:
                self._load(buffer, values)
        self._load(self._labels, labels)

    def put_mean(self, mean: np.ndarray) -> None:
        """Hand in the mean picture (stored, stored, 3)."""
        for buffer in self._inputs["mean"]:
            self.parameters.devices[buffer.place].upload(buffer.array, mean)

    def run(self, each: Callable[[Step], None] | None = None) -> "Outcome":
        """Queue all steps once, on what was put in last; return what gives loss and counts when asked.

        With `each`, hand every step to it instead, which runs it: never as a graph. What overflows shows in the loss.
        """
        devices, self.control.slot = self.parameters.devices, self._slot
        with np.errstate(all="ignore"):
            for device in devices:
                device.begin(self.control)
            if each is None:
                self._replay()
            else:
                for step in self.steps:
                    each(step)
            for device in devices:
                device.end(self.control)
        self._outcome = Outcome(devices[self._sums.place].fetch(self._sums.array))
        return self._outcome

    def wait(self) -> None:
        """Wait until the last run is over."""
        self._outcome.sums()

    @property
    def result(self) -> Result:
        """Return loss and counts of the last run, and wait for them."""
        return self._outcome.result

    @property
    def captured(self) -> bool:
        """Say whether runs replay a graph."""
        return self._graph is not None

    def _replay(self) -> None:
        """Run the steps: the first time one by one, so that all is loaded, then as a graph where there is one."""
        if self._wants_graph and self._runs == 1:
            self._capture()
        self._runs += 1
        if self._graph is None:
            self._run_steps()
            return
        floats = self.parameters.ledger.floats
        for name, count in self._crossing.items():
            floats[name] = floats.get(name, 0) + count
        self._graph()

    def _run_steps(self) -> None:
        for step in self.steps:
            step.run()

    def _capture(self) -> None:
        """Record the steps; what they entered in the ledger is entered again at every launch."""
        ledger, devices = self.parameters.ledger, self.parameters.devices
        before = dict(ledger.floats)
        ledger.clear()
        self._graph = devices[0].capture(devices, self._run_steps)
        self._crossing = dict(ledger.floats)
        ledger.floats.clear()
        ledger.floats.update(before)

    def output(self, name: str) -> np.ndarray:
        """Return the maps of a layer named in `outputs`: (pictures, channels, rows, columns), a copy.

        The towers lie side by side along the channels; after an exchange they are those that the towers read.
        """
        maps = self._outputs[name]
        if maps.shared:
            parts = [self._take(0, operand.array())[None] for operand in maps.reads(0)]
        else:
            parts = [self._take(place, maps.at(place).array()) for place in self._places(maps)]
        return np.concatenate([tower.transpose(0, 3, 1, 2) for part in parts for tower in part], axis=1)

    def parts(self, name: str) -> list[tuple[int, Array]]:
        """Return the maps of a layer named in `outputs` as they lie there: each place with its towers."""
        return [(place, self._outputs[name].at(place).array()) for place in self._places(self._outputs[name])]

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the canonical gradients that the sink "keep" has stored."""
        return {name: self.parameters.gather(self._gradients, name) for name in self.parameters.stages}

    def _allocate(self) -> int:
        """Allocate all buffers; where they do not fit, raise OutOfMemory with the batch that would."""
        for place, device in enumerate(self.parameters.devices):
            free, wanted = device.free(), buffers.measure(self.buffers, place)
            if free is not None and wanted > free:
                fits = int(self.batch * free / wanted)
                way = f"about {fits} would fit: --batch-size {fits}" if fits else "not even one picture fits"
                raise OutOfMemory(
                    f"a batch of {self.batch} needs {wanted / 1e9:.2f} GB on {device.name}, which has "
                    f"{free / 1e9:.2f} GB free; {way}"
                )
        return buffers.allocate(self.buffers, self.parameters.devices)

    def _load(self, buffer: Buffer, values: np.ndarray) -> None:
        """Hand an input to its device, in the slot whose turn it is."""
        slots = self.parameters.engine.SLOTS
        self.parameters.devices[buffer.place].load(buffer.array[self._slot] if slots else buffer.array, values)

    def _take(self, place: int, array: Array) -> np.ndarray:
        """Return a copy of an array on a place."""
        return self.parameters.devices[place].download(array)

    def _bind(self, step: Step) -> list[Launch]:
        """Turn a step's names into a function, arrays and sinks; return the kernels that it launches."""
        device = self.parameters.devices[step.place]
        if step.kind == "link":  # the one step that touches two places
            source, target = step.reads["source"], step.writes["target"].resolve(step.place)
            home = self.parameters.devices[source.buffer.place]
            step.run = partial(device.link, home, source.array(), target, step.layers[0], **step.numbers)
            return []
        module, _, name = step.function.partition(".")
        function = getattr(getattr(self.parameters.engine, module), name)
        sinks = {argument: self._make_sink(step, last) for argument, last in step.sinks.items()}
        work = partial(function, device, **step.arrays(), **sinks, **step.numbers)
        step.run, launches = device.prepare(work)
        return launches

    def _make_sink(self, step: Step, last: str):
        """Make the sink of one of a step's parameters."""
        name, update = f"{step.layers[0]}.{last}", self.parameters.engine.update
        parameters, device = self.parameters, self.parameters.devices[step.place]
        weight = parameters.arrays[name, step.place]
        if self._sink == "keep":
            gradient = device.allocate(weight.shape, device.master, zero=True)
            self._gradients[name, step.place] = gradient
            return update.Keep(gradient)
        decay = parameters.stages[name].parameters[name].decay
        velocity, copy = parameters.velocity(name, step.place), parameters.copies.get((name, step.place))
        return update.Momentum(weight, velocity, self.control, decay, copy)
