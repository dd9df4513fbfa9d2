"""The plan of an auto-encoder: a training step whose gradient is put in at the last layer's output."""

import numpy as np

from cualex.devices.control import Control
from cualex.layers.maps import Maps
from cualex.plan.bound_steps import BoundSteps
from cualex.plan.builder import Builder, Passed
from cualex.plan.fusion import Unit
from cualex.plan.graph import Replay
from cualex.plan.inputs import Inputs
from cualex.plan.update_rule import Rule, append_updates
from cualex.weights.parameters import Parameters


class ReconstructionBuilder(Builder):
    """The steps and buffers of an auto-encoder: training, but without labels and loss."""

    def _begin_back(self, grouped: list[Unit], passed: list[Passed]) -> None:
        """Make the backward pass and the updates, from a gradient that is put in at the top."""
        self.turn = len(self.steps)  # where it begins
        *_, y, _ = passed[-1]
        self.given: Maps = self.maps(y.shape, y.towers, "gradient", border=0)
        self.keep(self.given)
        self._walk_back(grouped, passed, self.given)
        append_updates(self)


class ReconstructionPlan(BoundSteps):
    """The steps that train a network of one tower to give back something: the squared error at its last layer.

        L = 1 / (2 n p) SUM (y - t)^2        dy = (y - t) / (n p)

    y: the output of the last layer (n, channels, rows, columns).  t: the target, of the same shape.  n: images.  p:
    positions, rows * columns.  The loss and its gradient are the host's; convolutions, dense layers, dropout and
    updates, by Adam, are those of `Plan`. `outputs` names further layers whose maps can be read after `forward`.
    `factors` of the rate are 0 for the parameters of frozen layers.
    """

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        *,
        outputs: tuple[str, ...] = (),
        factors: dict[str, float] | None = None,
        control: Control | None = None,
    ) -> None:
        """Build the steps, allocate their buffers and bind both."""
        self.parameters, self.batch, self.control = parameters, batch, control or Control()
        parameters.network.require(outputs)
        self.rule = Rule("adam", factors or {})
        self.rule.check(parameters.network, batch)
        built = ReconstructionBuilder(parameters, batch, True, self.control, True, outputs, self.rule)
        self._allocate(built, batch)
        self._top, self._given = list(parameters.network.layers)[-1], built.given
        self._inputs = Inputs({**built.inputs, "labels": [built.labels.buffer]}, self.buffers, parameters.devices, 1)
        self.put(np.zeros((batch, parameters.network.stored, parameters.network.stored, 3), np.uint8))
        self._bind_all()
        halves = self.steps[: built.turn], self.steps[built.turn :]
        self._forward, self._backward = (Replay(half, parameters, [], True) for half in halves)

    def put(self, pictures: np.ndarray) -> None:
        """Take stored images, uint8 (batch, stored, stored, 3), of which the network sees the centre."""
        views, nothing = np.zeros((self.batch, 3), np.int32), np.zeros((self.batch, 3), np.float32)
        views[:, :2] = self.parameters.network.centre.start
        labels = np.full(self.batch, -1, np.int32)
        self._inputs.put(pictures=pictures, views=views, colours=nothing, labels=labels)

    def put_mean(self, mean: np.ndarray) -> None:
        """Take the mean image (stored, stored, 3)."""
        self._inputs.put_mean(mean)

    def forward(self) -> np.ndarray:
        """Run the steps from the images to the last layer; return its output y."""
        self.control.slot = self._inputs.slot
        with np.errstate(all="ignore"):
            for device in self.parameters.devices:
                device.begin(self.control, True)
            self._forward.run()
        return self.output(self._top)

    def step(self, target: np.ndarray) -> float:
        """Update the weights by the error of the last `forward`; return the loss L."""
        error = self.output(self._top) - target
        count = len(error) * error[0, 0].size
        (place,) = self._places(self._given)
        self._put(self._given.on(place), (error / np.float32(count)).transpose(0, 2, 3, 1)[None])
        with np.errstate(all="ignore"):
            self._backward.run()
            for device in self.parameters.devices:
                device.end(self.control, True)
        self.control.step += 1
        return float(np.square(error, dtype=np.float64).sum()) / (2 * count)
