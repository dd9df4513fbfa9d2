"""What one step of training or inference does, as a list.

A plan turns a network, its placement, a batch size and a mode into steps over buffers that are allocated once.
Everything else walks this list: running is `for step in plan.steps: step.run()`, the profile puts a clock on
either side, the ledger is its links, `summary --memory` prints its buffers. In its steady state a step allocates
nothing.
"""

from functools import partial

import numpy as np

from cualex import buffers
from cualex.building import Builder
from cualex.devices import Control
from cualex.errors import UsageError
from cualex.parameters import Parameters
from cualex.steps import Result, Step


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
        self.bytes = buffers.allocate(self.buffers, parameters.devices)
        self._labels, self._sums = built.labels.array(), built.sums.array()
        self._labels[...] = -1
        for step in self.steps:
            self._bind(step)

    def put(self, pictures: np.ndarray, views: np.ndarray, labels: np.ndarray) -> None:
        """Hand in a batch: stored pictures (uint8), views (row, column, mirror) and labels (-1: not counted)."""
        for name, given in (("pictures", pictures), ("views", views)):
            for buffer in self._inputs[name]:
                np.copyto(buffer.array, given)
        np.copyto(self._labels, labels)

    def put_mean(self, mean: np.ndarray) -> None:
        """Hand in the mean picture (stored, stored, 3)."""
        for buffer in self._inputs["mean"]:
            np.copyto(buffer.array, mean)

    def run(self) -> None:
        """Run all steps once, on what was put in; what overflows shows in the loss."""
        with np.errstate(all="ignore"):
            for step in self.steps:
                step.run()

    @property
    def result(self) -> Result:
        """Return loss and counts of the last run."""
        loss, top1, top5, count = self._sums.tolist()
        return Result(loss / max(count, 1), int(top1), int(top5), int(count))

    def output(self, name: str) -> np.ndarray:
        """Return the maps of a layer named in `outputs`: (pictures, channels, rows, columns), a copy.

        The towers lie side by side along the channels; after an exchange they are those that the towers read.
        """
        maps = self._outputs[name]
        if maps.shared:
            parts = [operand.array()[None] for operand in maps.reads(0)]
        else:
            parts = [maps.at(place).array() for place in self._places(maps)]
        return np.concatenate([tower.transpose(0, 3, 1, 2) for part in parts for tower in part], axis=1)

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the canonical gradients that the sink "keep" has stored."""
        return {name: self.parameters.gather(self._gradients, name) for name in self.parameters.stages}

    def _bind(self, step: Step) -> None:
        """Turn a step's names into a function, arrays and sinks."""
        device = self.parameters.devices[step.place]
        if step.kind == "link":  # the one step that touches two places
            source, target = step.reads["source"].array(), step.writes["target"].resolve(step.place)
            step.run = partial(device.link, source, target, step.layers[0])
            return
        module, _, name = step.function.partition(".")
        function = getattr(getattr(self.parameters.engine, module), name)
        sinks = {argument: self._make_sink(step, last) for argument, last in step.sinks.items()}
        step.run = partial(function, device, **step.arrays(), **sinks, **step.numbers)

    def _make_sink(self, step: Step, last: str):
        """Make the sink of one of a step's parameters."""
        name, update = f"{step.layers[0]}.{last}", self.parameters.engine.update
        weight = self.parameters.arrays[name, step.place]
        if self._sink == "keep":
            gradient = self._gradients[name, step.place] = np.zeros_like(weight)
            return update.Keep(gradient)
        decay = self.parameters.stages[name].parameters[name].decay
        return update.Momentum(weight, self.parameters.velocity(name, step.place), self.control, decay)
