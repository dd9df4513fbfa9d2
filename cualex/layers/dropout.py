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
        if not build.training:
            for place in build.places(y):
                build.step(
                    place,
                    "dropout.infer",
                    reads={"x": x.at(place)},
                    writes={"y": y.at(place)},
                    factor=1.0 if self.inverted else 1 - self.share,
                )
            return y, {}
        mask = build.saved(x, y)
        for place in build.places(y):
            build.step(
                place,
                "dropout.forward",
                reads={"x": x.at(place)},
                writes={"y": y.at(place), "mask": mask.at(place) if mask else None},
                **self._drawing(build, place, x.towers),
            )
        return y, {"mask": mask}

    def backward(self, build, x, y, kept, dy, then):
        """Pass the gradient of what was not dropped, in place."""
        mask = kept["mask"]
        for place in build.places(y):
            own = dy.at(place)
            build.step(
                place,
                "dropout.backward",
                reads={"mask": mask.at(place) if mask else None, "dy": own},
                writes={"dx": own},
                **self._drawing(build, place, x.towers),
            )
        return dy

    def _drawing(self, build, place, towers):
        """Say which units to keep: an engine may draw them in both passes, or keep the mask."""
        keep = 1 - self.share
        return {
            "keep": keep,
            "factor": 1 / keep if self.inverted else 1.0,
            "layer": build.index,
            "towers": towers,
            "first_tower": build.towers_of(place)[0],
            "control": build.control,
        }
