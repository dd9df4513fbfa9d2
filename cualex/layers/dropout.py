"""Dropout: section 4.2 of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.layer import Layer


@dataclass(frozen=True)
class Dropout(Layer):
    """Set a share of the units to zero in training, others in each picture and step.

        classic    training y = x * mask             test y = x * (1 - share)      as in 2012
        inverted   training y = x * mask / (1 - share)    test y = x               as in Caffe and PyTorch

    The mask comes from Philox, keyed by (seed, dropout, layer) and counted by (step, element); the elements are
    numbered over the whole batch and both towers, so every placement drops the same units.
    """

    share: float = 0.5
    inverted: bool = False
    kind: ClassVar[str] = "dropout"

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ValueError(f"dropout: the share dropped must lie between 0 and 1, got {self.share}")

    def forward(self, build, x, then):
        """Drop units in training; scale them at test where dropout is classic."""
        y = build.maps(x.shape, x.towers)
        keep = 1 - self.share
        if not build.training:
            for place in build.places(y):
                build.step(
                    place,
                    "dropout.infer",
                    reads={"x": x.at(place)},
                    writes={"y": y.at(place)},
                    factor=1.0 if self.inverted else keep,
                )
            return y, {}
        mask = build.maps(x.shape, x.towers, "mask", dtype=bool, border=0)
        for place in build.places(y):
            build.step(
                place,
                "dropout.forward",
                reads={"x": x.at(place)},
                writes={"y": y.at(place), "mask": mask.at(place)},
                keep=keep,
                factor=1 / keep if self.inverted else 1.0,
                layer=build.index,
                towers=x.towers,
                first_tower=build.towers_of(place)[0],
                control=build.control,
            )
        return y, {"mask": mask}

    def backward(self, build, x, y, kept, dy, then):
        """Pass the gradient of what was not dropped, in place."""
        for place in build.places(y):
            own = dy.at(place)
            build.step(
                place,
                "dropout.backward",
                reads={"mask": kept["mask"].at(place), "dy": own},
                writes={"dx": own},
                factor=1 / (1 - self.share) if self.inverted else 1.0,
            )
        return dy
