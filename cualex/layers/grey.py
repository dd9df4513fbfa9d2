"""Grey pictures for networks that see no colour."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.layer import Layer


@dataclass(frozen=True)
class Grey(Layer):
    """Turn the picture grey: y = 0.299 red + 0.587 green + 0.114 blue, the luminance of ITU-R BT.601.

    It stands first in a network and has no gradient: nothing below it learns. Pillow's mode L has the same weights.
    """

    kind: ClassVar[str] = "grey"

    def output_shape(self, shape):
        """Return one channel."""
        return (1, *shape[1:])

    def forward(self, build, x, then):
        """Add the colours up."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        for place in build.places(y):
            (picture,) = x.reads(place)
            build.step(place, "grey.forward", reads={"x": picture}, writes={"y": y.at(place)})
        return y, {}
