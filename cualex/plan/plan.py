"""What one step of training or inference does, as a list.

A plan turns a network, its placement, a batch size and a mode into steps over buffers that are allocated once.
Everything else walks this list: running is `for step in plan.steps: step.run()`, the profile puts a clock on
either side, the ledger is its links, `summary --memory` prints its buffers. In its steady state a step allocates
nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.errors import UsageError
from cualex.plan.bound_steps import BoundSteps, check_layers
from cualex.plan.builder import Builder
from cualex.plan.graph import Replay
from cualex.plan.inputs import Inputs
from cualex.plan.step import Outcome, Result, Step
from cualex.plan.update_rule import Rule
from cualex.weights.parameters import Parameters


class Plan(BoundSteps):
    """The steps of one network, batch and mode, ready to run.

    `mode` is "train" or "infer". `outputs` names layers whose maps are kept for `output`. With `fuse=False` every
    layer has steps of its own. `sink` is where weight gradients go: "momentum", "adam" and "lars" update the weights,
    "keep" stores the gradients for `gradients`. `factors` of the rate, by parameter, are 0 for frozen layers
    (`Rule`). With `accumulate` a batch is computed in so many parts, one after the other in the memory of one; their
    gradients are added up, and one update follows. `class_weights` (classes,) are those of the loss
    (`layers.Softmax`). With `graph` the second run is captured, where the device can, and from then on replayed as a
    whole.
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
        factors: Mapping[str, float] | None = None,
        accumulate: int = 1,
        decays: Mapping[str, float] | None = None,
        class_weights: np.ndarray | None = None,
        control: Control | None = None,
        graph: bool = True,
    ):
        """Build the steps, allocate their buffers and bind both."""
        self.parameters, self.batch, self.control = parameters, batch, control or Control()
        check_layers(parameters.network, outputs)
        self.rule = Rule(sink, factors or {}, accumulate, decays or {})
        if mode == "train":
            self.rule.check(parameters.network, batch)
        self._part, self.training = batch // accumulate, mode == "train"
        if class_weights is not None and class_weights.shape != (parameters.network.classes,):
            raise UsageError(
                f"class weights of shape {class_weights.shape}: expected a weight for each of the "
                f"{parameters.network.classes} classes"
            )
        built = Builder(
            parameters, self._part, self.training, self.control, fuse, outputs, self.rule, class_weights is not None
        )
        self._allocate(built, batch)
        self.inputs = Inputs(
            {**built.inputs, "labels": [built.labels.buffer]}, self.buffers, parameters.devices, accumulate
        )
        self._sums = built.sums.buffer
        if class_weights is not None and built.class_weights is not None:
            parameters.devices[0].upload(built.class_weights.buffer.array, class_weights)
        nothing = np.zeros((batch, *built.inputs["pictures"][0].shape[-3:]), np.uint8)
        self.put(nothing, np.zeros((batch, 3), np.int32), np.full(batch, -1))
        self._bind_all()
        parts: dict[bool, list[Step]] = {False: [], True: []}
        for step in self.steps:
            parts[accumulate > 1 and step.kind == "update"].append(step)
        kept = list(built.gradients.values())
        self._often, self._once = (Replay(steps, parameters, kept, graph) for steps in parts.values())

    def put(
        self, pictures: np.ndarray, views: np.ndarray, labels: np.ndarray, colours: np.ndarray | None = None
    ) -> None:
        """Take a batch: stored images (uint8), views (row, column, mirror) and labels (-1: not counted).

        `colours` (images, 3) are added to the red, green and blue of each image.
        """
        colours = np.zeros((self.batch, 3), np.float32) if colours is None else colours
        self.inputs.put(pictures=pictures, views=views, colours=colours, labels=labels)

    def put_mean(self, mean: np.ndarray) -> None:
        """Take the mean image (stored, stored, 3)."""
        self.inputs.put_mean(mean)

    def run(self, each: Callable[[Step], None] | None = None) -> "Outcome":
        """Queue all steps once, on what was put in last; return what gives loss and counts when asked.

        Those of training may be asked for some runs later, those of inference before the next run: few ask.
        With `each`, hand every step to it instead, which runs it: never as a graph. What overflows shows in the loss.
        """
        sums, devices = [], self.parameters.devices
        with np.errstate(all="ignore"):
            for part in range(self.rule.parts):
                if self.rule.parts > 1:
                    self.inputs.load(part)
                self.control.slot, self.control.part = self.inputs.slot, part
                for device in devices:
                    device.begin(self.control, self.training)
                self._run(self._often, each)
                for device in devices:
                    device.end(self.control, self.training)
                home, own = devices[self._sums.place], self._sums.array
                soon = self.training or self.rule.parts > 1  # the next run, or part, overwrites them
                sums.append(home.fetch(own) if soon else partial(home.download, own))
            self._run(self._once, each)
        self._outcome = Outcome(lambda: np.sum([part() for part in sums], axis=0))
        return self._outcome

    def _run(self, replay: Replay, each: Callable[[Step], None] | None) -> None:
        """Queue some of the steps, or hand each of them out."""
        if each is None:
            replay.run()
        else:
            for step in replay.steps:
                each(step)

    def loaded(self) -> Callable[[], None]:
        """Return what waits until the batch of the last run has been copied to the devices."""
        return self.inputs.loaded()

    def wait(self) -> None:
        """Wait until the last run is over."""
        self._outcome.sums()

    @property
    def result(self) -> Result:
        """Return loss and counts of the last run, and wait for them."""
        return self._outcome.result

    @property
    def captured(self) -> bool:
        """Return whether runs replay a graph."""
        return self._often.captured

    def release(self) -> None:
        """Let go of all memory, the graph's too: this plan cannot run again, and another takes its place."""
        super().release()
        del self._often, self._once, self.inputs

    def parts(self, name: str) -> list[tuple[int, Array]]:
        """Return the maps of a layer named in `outputs` as they are stored: (device, its towers)."""
        return [(place, self._outputs[name].on(place).array()) for place in self._places(self._outputs[name])]

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the canonical gradients where they are kept; frozen layers have none."""
        names = dict.fromkeys(name for name, _ in self._gradients)
        return {name: self.parameters.gather(self._gradients, name) for name in names}
