"""Max-pooling, overlapping where the stride is smaller than the window: section 3.4 of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.pool import Pool


@dataclass(frozen=True)
class MaxPool(Pool):
    """Take the largest value of each window; the gradient goes to the first maximum in the order of reading."""

    kind: ClassVar[str] = "maxpool"

    def forward(self, build, x, then):
        """Pool."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        saved = build.saved(x, y)
        for place in build.places(y):
            build.step(
                place,
                "maxpool.forward",
                reads={"x": x.at(place)},
                writes={"y": y.at(place), "saved": saved.at(place) if saved else None},
                **self.window(),
            )
        return y, {"saved": saved}

    def backward(self, build, x, y, kept, dy, then):
        """Give each maximum the gradient of its windows."""
        dx, saved = build.gradient(x), kept["saved"]
        for place in build.places(y):
            build.step(
                place,
                "maxpool.backward",
                reads={
                    "x": x.at(place),
                    "saved": saved.at(place) if saved else None,
                    "y": y.at(place),
                    "dy": dy.at(place),
                },
                writes={"dx": dx.at(place)},
                relu=dx.relu_taken,
                **self.window(),
            )
        return dx
