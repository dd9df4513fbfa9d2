"""The plan of an explanation: a backward pass that starts at any layer's output and ends at the image."""

import numpy as np

from cualex.devices.control import Control
from cualex.devices.stored import from_bf16, to_bf16
from cualex.errors import UsageError
from cualex.plan.bound_steps import BoundSteps
from cualex.plan.explain_builder import ExplainBuilder, source
from cualex.plan.graph import Replay
from cualex.plan.update_rule import Rule
from cualex.weights.parameters import Parameters


class ExplainPlan(BoundSteps):
    """The steps that compute a layer's output and, from a gradient put in there, that of the image.

        y = f(x)    dx[i] = SUM over j of dy[j] * d y[j] / d x[i]

    x: images as the first layer reads them, (images, 3, crop, crop): without their mean, scaled.  y: the output of the
    layer `start`, of inference: dropout is off.  dy: put in by `put_gradient`; a 1 at a class of fc8 gives the gradient
    of its score, a 1 at a unit that of the unit.  `outputs` and `gradients` name layers whose maps, or the gradients of
    whose maps, can be read after a run.

    With `guided`, activations pass on the positive part of a gradient alone: guided backpropagation, for ReLU
    dx = dy where y > 0 and dy > 0 (Springenberg et al., 2014).

    Placements give the same bits, and links are those of training. Weights get no gradient. Raise UsageError for a
    layer that does not exist or lies above `start`, and where `start` is the softmax: explain its scores.
    """

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        start: str,
        *,
        outputs: tuple[str, ...] = (),
        gradients: tuple[str, ...] = (),
        guided: bool = False,
        fuse: bool = True,
        graph: bool = True,
    ) -> None:
        """Build the steps, allocate their buffers and bind both."""
        self.parameters, self.batch, self.control, self.rule = parameters, batch, Control(), Rule()
        network = parameters.network
        network.require((start, *outputs, *gradients))
        if network.layers[start].kind == "softmax":
            scores = source(network, list(network.layers)[-2])
            raise UsageError(f"a backward pass cannot start at {start}: start at {scores}, the scores before it")
        self.start = source(network, start)
        self._alias = {name: source(network, name) for name in (start, self.start, *outputs, *gradients)}
        read, kept = (tuple(self._alias[name] for name in names) for names in (outputs, gradients))
        built = ExplainBuilder(parameters, batch, self.control, fuse, self.start, read, kept, guided)
        self._allocate(built, batch)
        self._images, self._image_gradient, self._kept = built.images, built.image_gradient, built.kept
        self._first = next(iter(network.stages()))
        self.put(np.zeros((batch, *self._first.reading.shape), np.float32))
        self._bind_all()
        halves = self.steps[: built.turn], self.steps[built.turn :]
        self._forward, self._backward = (Replay(half, parameters, [], graph) for half in halves)

    def put(self, images: np.ndarray) -> None:
        """Take images as the first layer reads them: (images, 3, crop, crop)."""
        packed = self._first.layer.pack_picture(self.parameters.engine, images)
        for place in range(len(self.parameters.devices)):
            (image,) = self._images.each(place)
            self._put(image, packed)

    def put_gradient(self, dy: np.ndarray) -> None:
        """Take the gradient at the output of `start`, (images, channels, rows, columns), towers side by side."""
        given = self._kept[self.start]
        channels = given.shape[0]
        tower = 0
        for place in self._places(given):
            part, towers = given.on(place), given.part(place).shape[0]
            own = dy[:, tower * channels : (tower + towers) * channels]
            parts = own.reshape(len(own), towers, channels, *own.shape[2:])
            self._put(part, parts.transpose(1, 0, 3, 4, 2))
            tower += towers

    def forward(self) -> None:
        """Queue the steps from the images to the output of `start`."""
        self._run(self._forward)

    def backward(self) -> None:
        """Queue the steps from the gradient at `start` to that of the images; `forward` comes before."""
        self._run(self._backward)

    def run(self) -> None:
        """Queue all steps."""
        self.forward()
        self.backward()

    def _run(self, replay: Replay) -> None:
        with np.errstate(all="ignore"):
            for device in self.parameters.devices:
                device.begin(self.control, False)
            replay.run()
            for device in self.parameters.devices:
                device.end(self.control, False)

    @property
    def captured(self) -> bool:
        """Return whether runs replay graphs."""
        return self._forward.captured and self._backward.captured

    def output(self, name: str) -> np.ndarray:
        """Return the maps of `start`, or of a layer named in `outputs`: (images, channels, rows, columns), a copy."""
        return super().output(self._alias[name])

    def gradient(self, name: str) -> np.ndarray:
        """Return the gradient of the output of a layer named in `gradients`, as `output` has it."""
        return self._canonical(self._kept[self._alias[name]])

    def image_gradient(self) -> np.ndarray:
        """Return dx: (images, 3, crop, crop), float32, or float64 of a CPU that computes so.

        Each device has that of its towers; their sum is rounded as the maps are stored, as on one device.
        """
        made = self._image_gradient
        parts = [self._take(place, made.each(place)[0].array()) for place in self._places(made)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        if self.parameters.devices[0].dtype == np.uint16:
            total = from_bf16(to_bf16(total))
        shape = self._first.reading.shape
        return np.ascontiguousarray(self._first.layer.unpack_picture(self.parameters.engine, total, shape))

    def release(self) -> None:
        """Let go of all memory, the graph's too."""
        super().release()
        del self._forward, self._backward
