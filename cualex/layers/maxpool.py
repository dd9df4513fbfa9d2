"""Max-pooling, overlapping where the stride is smaller than the window: section 3.4 of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.build import Build
from cualex.layers.layer import Kept, Then
from cualex.layers.maps import Maps
from cualex.layers.pool import Pool


@dataclass(frozen=True)
class MaxPool(Pool):
    """Take the largest value of each window; the gradient goes to the first maximum in the order of reading."""

    kind: ClassVar[str] = "maxpool"

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Pool."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        saved = build.saved(x, y)
        step = build.engine.maxpool.forward
        build.step(step, reads={"x": x}, writes={"y": y, "saved": saved}, **self.window())
        return y, {"saved": saved}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Give each maximum the gradient of its windows."""
        dx = build.gradient(x)
        build.step(
            build.engine.maxpool.backward,
            reads={"x": x, "saved": kept["saved"], "y": y, "dy": dy},
            writes={"dx": dx},
            relu=dx.relu_taken,
            **self.window(),
        )
        return dx
