"""Local response normalisation across channels: section 3.3 of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.layer import Layer


@dataclass(frozen=True)
class LRN(Layer):
    """Divide each activity by the strength of its neighbours at the same pixel.

        y[c] = x[c] / (k + alpha * SUM over j of x[j]^2)^beta,    c - n//2 <= j <= c + n//2

    Channels beyond either end count as absent, and a tower sees only its own. An even n means n + 1 channels, as the
    formula says. Where k = 0 and the window is all zero, y is 0, and so is its gradient.

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

    def _numbers(self):
        return {"n": self.n, "k": self.k, "alpha": self.alpha, "beta": self.beta}

    def forward(self, build, x, then):
        """Normalise, and pool in the same step where the engine can."""
        pool = then[0] if then else None
        y = build.maps(pool.output_shape(x.shape) if pool else x.shape, x.towers)
        saved = build.saved(x, y)
        function, numbers = ("forward_pooled", pool.window()) if pool else ("forward", {})
        for place in build.places(y):
            build.step(
                place,
                f"{self.kind}.{function}",
                reads={"x": x.at(place)},
                writes={"y": y.at(place), "saved": saved.at(place) if saved else None},
                **self._numbers(),
                **numbers,
            )
        return y, {"saved": saved}

    def backward(self, build, x, y, kept, dy, then):
        """Take the gradient back through the normalisation, and through the pooling above it."""
        dx = build.gradient(x)
        saved, pool = kept["saved"], then[0] if then else None
        function, numbers = ("backward_pooled", pool.window()) if pool else ("backward", {})
        for place in build.places(y):
            pooled = {"y": y.at(place)} if pool else {}
            build.step(
                place,
                f"{self.kind}.{function}",
                reads={
                    "x": x.at(place),
                    "saved": saved.at(place) if saved else None,
                    "dy": dy.at(place),
                    **pooled,
                },
                writes={"dx": dx.at(place)},
                relu=dx.relu_taken,
                **self._numbers(),
                **numbers,
            )
        return dx
