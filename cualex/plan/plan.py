"""What one step of training or inference does, as a list.

A plan turns a network, its placement, a batch size and a mode into steps over buffers that are allocated once.
Everything else walks this list: running is `for step in plan.steps: step.run()`, the profile puts a clock on
either side, the ledger is its links, `summary --memory` prints its buffers. In its steady state a step allocates
nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.errors import UsageError
from cualex.plan.bound_steps import BoundSteps
from cualex.plan.builder import Builder
from cualex.plan.graph import Replay
from cualex.plan.inputs import Inputs
from cualex.plan.step import Outcome, Result, Step
from cualex.plan.update_rule import Rule
from cualex.ranks import ALONE, Ranks
from cualex.weights.parameters import Parameters

if TYPE_CHECKING:
    from cualex.plan.sums import RankSums, Words


class Plan(BoundSteps):
    """The steps of one network, batch and mode, ready to run.

    `mode` is "train" or "infer". `outputs` names layers whose maps are kept for `output`. With `fuse=False` every
    layer has steps of its own. `sink` is where weight gradients go: "momentum", "adam" and "lars" update the weights,
    "keep" stores the gradients for `gradients`. `factors` of the rate, by parameter, are 0 for frozen layers
    (`Rule`). With `accumulate` a batch is computed in so many parts, one after the other in the memory of one; their
    gradients are added up in `order` (`Rule`), and one update follows. With several `ranks` each computes its own of
    these parts, of the images that it is given; the update is the same on all. `class_weights` (classes,) are
    those of the loss (`layers.Softmax`). With `graph` the second run is captured, where the device can, and from then
    on replayed as a whole.
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
        order: str = "chain",
        decays: Mapping[str, float] | None = None,
        class_weights: np.ndarray | None = None,
        control: Control | None = None,
        graph: bool = True,
        ranks: Ranks = ALONE,
    ):
        """Build the steps, allocate their buffers and bind both."""
        self.parameters, self.batch, self.control = parameters, batch, control or Control()
        parameters.network.require(outputs)
        self.rule = Rule(sink, factors or {}, accumulate, decays or {}, order, ranks.size, ranks.rank)
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
        self.images = self.rule.own * self._part  # of the batch, those that this process computes
        self._sums_over_ranks: RankSums | None = None
        self._words: Words | None = None
        if ranks.size > 1:
            from cualex.plan import sums as over_ranks  # which one process is not to pay for

            self._sums_over_ranks = over_ranks.RankSums(ranks, built.gradients, built.steps, parameters)
        self._allocate(built, batch)
        self.inputs = Inputs(
            {**built.inputs, "labels": [built.labels.buffer]}, self.buffers, parameters.devices, self.rule.own
        )
        self._sums = built.sums.buffer
        if class_weights is not None and built.class_weights is not None:
            parameters.devices[0].upload(built.class_weights.buffer.array, class_weights)
        nothing = np.zeros((self.images, *built.inputs["pictures"][0].shape[-3:]), np.uint8)
        self.put(nothing, np.zeros((self.images, 3), np.int32), np.full(self.images, -1))
        self._bind_all()
        kept = list(built.gradients.values())
        average = parameters.engine.batchnorm.average
        self._averages = [step for step in self.steps if ranks.size > 1 and step.call is average]
        updates = [step for step in self.steps if accumulate > 1 and step.kind == "update"]
        apart = {id(step) for step in (*self._averages, *updates)}
        often = [step for step in self.steps if id(step) not in apart]
        self._once = Replay(updates, parameters, kept, graph)
        self._often = self._last = Replay(often, parameters, kept, graph)
        if self._sums_over_ranks:
            statistics = [step.arrays()[name] for step in self._averages for name in ("batch_mean", "batch_variance")]
            self._words = over_ranks.Words(ranks, self.rule.own, self._sums.array, statistics, self.control)
            last = self._sums_over_ranks.steps(often, self._words.post, self.control)
            self._last = Replay(last, parameters, kept, graph)

    def put(
        self, pictures: np.ndarray, views: np.ndarray, labels: np.ndarray, colours: np.ndarray | None = None
    ) -> None:
        """Take a batch: stored images (uint8), views (row, column, mirror) and labels (-1: not counted).

        Of several ranks each takes its own part. `colours` (images, 3) are added to the red, green and blue of each
        image.
        """
        colours = np.zeros((self.images, 3), np.float32) if colours is None else colours
        self.inputs.put(pictures=pictures, views=views, colours=colours, labels=labels)

    def put_mean(self, mean: np.ndarray) -> None:
        """Take the mean image (stored, stored, 3)."""
        self.inputs.put_mean(mean)

    def run(self, each: Callable[[Step], None] | None = None) -> "Outcome":
        """Queue all steps once, on what was put in last; return what gives loss and counts when asked.

        Those of training may be asked for some runs later, those of inference before the next run: few ask.
        With `each`, hand every step to it instead, which runs it: never as a graph, and of several ranks without the
        sums and the update. What overflows shows in the loss.
        """
        sums, devices, rule = [], self.parameters.devices, self.rule
        over, words = (None, None) if each else (self._sums_over_ranks, self._words)
        with np.errstate(all="ignore"):
            for turn in range(rule.own):
                if rule.own > 1:
                    self.inputs.load(turn)
                self.control.slot, self.control.turn, self.control.part = self.inputs.slot, turn, rule.first + turn
                for device in devices:
                    device.begin(self.control, self.training)
                self._run(self._last if over and turn == rule.own - 1 else self._often, each)
                for device in devices:
                    device.end(self.control, self.training)
                if words:
                    if turn < rule.own - 1:  # the last was sent with its loss
                        words.note()
                    continue
                home, own = devices[self._sums.place], self._sums.array
                soon = self.training or rule.parts > 1  # the next run, or part, overwrites them
                sums.append(home.fetch(own) if soon else partial(home.download, own))
            if over and words:
                self._update(over, words)
            else:
                if rule.ranks == 1:
                    self._run(self._once, each)
                self._outcome = Outcome(lambda: np.sum([part() for part in sums], axis=0))
        return self._outcome

    def post(self, words: Sequence[float]) -> None:
        """Let the next run tell the other ranks these numbers; `heard` are then those of all (ranks, numbers)."""
        if self._words:
            self._words.posted = words

    def _update(self, over: "RankSums", words: "Words") -> None:
        """Hear the loss of all ranks, then update by the sums of all gradients."""
        self.heard, of_parts = words.hear()
        words.move_averages(self._averages)
        for step in self._once.steps:
            over.wait_for(step)
            step.run()
        over.wait()
        self._outcome = Outcome(lambda: np.sum(list(of_parts), axis=0))

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
        del self._often, self._once, self._last, self.inputs
        self._sums_over_ranks, self._words, self._averages = None, None, []

    def parts(self, name: str) -> list[tuple[int, Array]]:
        """Return the maps of a layer named in `outputs` as they are stored: (device, its towers)."""
        return [(place, self._outputs[name].on(place).array()) for place in self._places(self._outputs[name])]

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the canonical gradients where they are kept; frozen layers have none."""
        names = dict.fromkeys(name for name, _ in self._gradients)
        return {name: self.parameters.gather(self._gradients, name) for name in names}
