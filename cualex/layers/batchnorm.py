"""Batch normalisation; not in the paper, which has local response normalisation in its place."""

from dataclasses import dataclass
from typing import Any, ClassVar

from cualex.devices.runtime import Array
from cualex.layers.build import Build
from cualex.layers.calls import Result, WeightedLayer, called
from cualex.layers.layer import Kept, Parameter, Then
from cualex.layers.maps import Arguments, Maps, Shape


@dataclass(frozen=True)
class BatchNorm(WeightedLayer):
    """Give each channel a mean of `bias` and a deviation of about `weight`.

        y = weight * (x - mean) / sqrt(variance + epsilon) + bias

    In training mean and variance are those of the batch, over images and pixels, and the variance is the biased
    one: the mean square of x - mean, divided by all the values. In inference they are running averages, which every
    training step moves once its loss is known to be a number:

        running = momentum * running + (1 - momentum) * the batch's

    The averages are state: in weights files and checkpoints, and no update rule touches them. After a loss that is
    not finite they stay as they were.

    This is Keras's form. PyTorch calls 1 - momentum its momentum (0.1 as it comes), takes the unbiased variance into
    its running average (divided by one value less), and adds 1e-5. All images of a batch count, those without a
    label too. Where the gradients of several batches are added up before an update, each batch has statistics of its
    own, and each moves the averages. A frozen layer normalises by the averages in training too, and leaves them as
    they are. Ioffe and Szegedy (2015).

        >>> y = BatchNorm(epsilon=1)(np.ones((1, 2, 1, 1), np.float32), mean=np.zeros(2), variance=np.array([3, 15.0]))
        >>> np.asarray(y).ravel().tolist(), y.backward(np.ones(y.shape, np.float32)).ravel().tolist()
        ([0.5, 0.25], [0.5, 0.25])
    """

    epsilon: float = 1e-3
    momentum: float = 0.99
    kind: ClassVar[str] = "batchnorm"

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise ValueError(f"batchnorm: epsilon must be above 0, got {self.epsilon}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"batchnorm: momentum must lie between 0 and 1, got {self.momentum}")

    def __call__(
        self,
        x: Array,
        weight: Array | None = None,
        bias: Array | None = None,
        mean: Array | None = None,
        variance: Array | None = None,
        *,
        seed: int = 0,
    ) -> Result:
        """Normalise maps by averages that are given, else 0 and 1; see `WeightedLayer`."""
        return called(self, x, {"weight": weight, "bias": bias, "mean": mean, "variance": variance}, seed)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """Return `weight` and `bias` (channels,): 1 and 0 at first."""
        channels = shape[:1]
        return {
            "weight": Parameter(channels, value=1.0, decay=False),
            "bias": Parameter(channels, decay=False),
        }

    def state(self, shape: Shape) -> dict[str, Parameter]:
        """Return the running `mean` and `variance` (channels,): 0 and 1 at first."""
        return {"mean": Parameter(shape[:1]), "variance": Parameter(shape[:1], value=1.0)}

    def least_batch(self, shape: Shape) -> int:
        """Return 2 where an image has one value a channel: of a single value the variance is 0, and nothing learns."""
        _, rows, columns = shape
        return 2 if rows * columns == 1 else 1

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Normalise: in training by the batch, whose mean and variance are kept, else by the averages."""
        y, engine = build.maps(x.shape, x.towers), build.engine.batchnorm
        reads: Arguments = {"x": x, "weight": build.weight, "bias": build.bias}
        if not (build.training and build.trained):
            averages: Arguments = {"mean": build.state("mean"), "variance": build.state("variance")}
            build.step(engine.infer, reads={**reads, **averages}, writes={"y": y}, epsilon=self.epsilon)
            return y, {}
        statistics = {name: build.per_channel(x, name) for name in ("mean", "variance")}
        build.step(engine.forward, reads=reads, writes={"y": y, **statistics}, epsilon=self.epsilon)
        return y, statistics

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps | None:
        """Write the input's gradient, sink those of weights and biases, and move the running averages."""
        dx, engine = build.gradient(x) if build.wants_gradient(x) else None, build.engine.batchnorm
        numbers: dict[str, Any] = {"epsilon": self.epsilon, "relu": bool(dx and dx.relu_taken)}
        reads: Arguments = {"x": x, "weight": build.weight, "dy": dy}
        if not kept:
            frozen: Arguments = {"variance": build.state("variance")}
            build.step(engine.backward_frozen, reads={**reads, **frozen}, writes={"dx": dx}, **numbers)
            return dx
        sinks = {"sink": "weight", "bias_sink": "bias"}
        build.step(engine.backward, reads={**reads, **kept}, writes={"dx": dx}, sinks=sinks, **numbers)
        build.step(
            engine.average,
            reads={"batch_mean": kept["mean"], "batch_variance": kept["variance"]},
            writes={"mean": build.state("mean"), "variance": build.state("variance")},
            momentum=self.momentum,
            control=build.control,
        )
        return dx
