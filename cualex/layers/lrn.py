"""Local response normalisation across channels: section 3.3 of the paper."""

from dataclasses import dataclass
from typing import Any, ClassVar

from cualex.engine.contract import Engine
from cualex.engine.map_ops import NormaliseOps
from cualex.layers.build import Build
from cualex.layers.calls import MapLayer
from cualex.layers.layer import Kept, Then
from cualex.layers.maps import Maps
from cualex.layers.maxpool import MaxPool


@dataclass(frozen=True)
class LRN(MapLayer):
    """Divide each activity by the strength of its neighbours at the same pixel.

        y[c] = x[c] / (k + alpha * SUM over j of x[j]^2)^beta,    c - n//2 <= j <= c + n//2

    Channels beyond either end count as absent, and a tower sees only its own. An even n means n + 1 channels, as the
    formula says. Where k = 0 and the window is all zero, y is 0, and so is its gradient; and where the sum of squares
    overflows, but y of a channel whose own square does is NaN, so that the loss shows it. NaN reaches the channels
    whose windows hold it, and no others.

    What goes wrong when weights come from elsewhere: as in the paper the sum is not divided by n, but Caffe, PyTorch,
    ONNX and the code of 2012 divide it, so their alpha is n times ours (Chainer and TensorFlow do not). Caffe's
    networks have k = 1 and the paper's k = 2, which alone is a factor of 2^0.75. PyTorch has, for an even n, one
    channel less on one side. Caffe's windows reach across what would be two towers.
    """

    n: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    kind: ClassVar[str] = "lrn"

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Normalise, and pool in the same step where the engine can."""
        pool = _pool(then)
        y = build.maps(pool.output_shape(x.shape) if pool else x.shape, x.towers)
        saved = build.saved(x, y)
        build.step(
            build.engine.lrn.forward_pooled if pool else self._alone(build.engine).forward,
            reads={"x": x},
            writes={"y": y, "saved": saved},
            **self._numbers(pool),
        )
        return y, {"saved": saved}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Take the gradient back through the normalisation, and through the pooling above it."""
        dx, pool = build.gradient(x), _pool(then)
        build.step(
            build.engine.lrn.backward_pooled if pool else self._alone(build.engine).backward,
            reads={"x": x, "saved": kept["saved"], "dy": dy} | ({"y": y} if pool else {}),
            writes={"dx": dx},
            relu=dx.relu_taken,
            **self._numbers(pool),
        )
        return dx

    def _alone(self, engine: Engine[Any]) -> NormaliseOps[Any]:
        """Return the engine's functions for this layer without a pool."""
        return engine.lrn

    def _numbers(self, pool: MaxPool | None) -> dict[str, Any]:
        numbers = {"n": self.n, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return numbers | pool.window() if pool else numbers


def _pool(then: Then) -> MaxPool | None:
    """Return the pooling that the engine does in the same step."""
    return next((layer for layer in then if isinstance(layer, MaxPool)), None)
