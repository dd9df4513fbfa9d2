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
        if not build.training:
            return self._scaled(build, x)
        y = build.maps(x.shape, x.towers)
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

    @property
    def at_test(self) -> float:
        """Return what each unit is multiplied by at test: what the mask multiplies it by on average."""
        return 1.0 if self.inverted else 1 - self.share

    def _scaled(self, build, x):
        y = build.maps(x.shape, x.towers)
        for place in build.places(y):
            build.step(
                place,
                "dropout.infer",
                reads={"x": x.at(place)},
                writes={"y": y.at(place)},
                factor=self.at_test,
            )
        return y, {}

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


@dataclass(frozen=True)
class MeanDropout(Dropout):
    """Scale in training as at test: no unit is dropped, and as much flows up and down as on average with masks.

        y = x * factor    dx = dy * factor    factor = 1 - share (classic) or 1 (inverted)

    To leave classic dropout out of a network instead lets 1 / (1 - share) times as much into the layer above, whose
    gradient grows as much: with a share of a half twice in fc7 and fc8, so that a rate which suits the network with
    dropout may be too large for the one without.
    """

    def forward(self, build, x, then):
        """Scale in both modes."""
        return self._scaled(build, x)

    def backward(self, build, x, y, kept, dy, then):
        """Scale the gradient as the forward pass scales, in place."""
        for place in build.places(y):
            own = dy.at(place)
            build.step(place, "dropout.infer", reads={"x": own}, writes={"y": own}, factor=self.at_test)
        return dy
