"""Dropout: section 4.2 of the paper."""

from dataclasses import dataclass
from typing import Any, ClassVar

from cualex.layers.build import Build
from cualex.layers.calls import MapLayer
from cualex.layers.layer import Kept, Then
from cualex.layers.maps import Maps


@dataclass(frozen=True)
class Dropout(MapLayer):
    """Set a fraction `share` of the units to zero in training, others in each image and step.

        classic    training y = x * mask             test y = x * (1 - share)      as in 2012
        inverted   training y = x * mask / (1 - share)    test y = x               as in Caffe and PyTorch

    The mask comes from Philox, keyed by (seed, dropout, layer) and counted by (step, element); the elements are
    numbered over the whole batch and both towers, so every placement drops the same units.
    """

    share: float = 0.5
    inverted: bool = False
    kind: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"dropout: the share dropped must lie between 0 and 1, got {self.share}")

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Drop units in training; scale them at test where dropout is classic."""
        if not build.training:
            return self._scaled(build, x)
        y = build.maps(x.shape, x.towers)
        mask = build.saved(x, y)
        step = build.engine.dropout.forward
        build.step(step, reads={"x": x}, writes={"y": y, "mask": mask}, **self._drawing(build, x.towers))
        return y, {"mask": mask}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Pass the gradient of what was not dropped, in place; where nothing was, scale it as the forward pass did."""
        if not build.training:
            return self._scaled_back(build, dy)
        step, drawing = build.engine.dropout.backward, self._drawing(build, x.towers)
        build.step(step, reads={"mask": kept["mask"], "dy": dy}, writes={"dx": dy}, **drawing)
        return dy

    @property
    def at_test(self) -> float:
        """Return what each unit is multiplied by at test: what the mask multiplies it by on average."""
        return 1.0 if self.inverted else 1 - self.share

    def _scaled(self, build: Build, x: Maps) -> tuple[Maps, Kept]:
        y = build.maps(x.shape, x.towers)
        build.step(build.engine.dropout.infer, reads={"x": x}, writes={"y": y}, factor=self.at_test)
        return y, {}

    def _scaled_back(self, build: Build, dy: Maps) -> Maps:
        build.step(build.engine.dropout.infer, reads={"x": dy}, writes={"y": dy}, factor=self.at_test)
        return dy

    def _drawing(self, build: Build, towers: int) -> dict[str, Any]:
        """Return which units to keep: an engine may draw them in both passes, or keep the mask."""
        keep = 1 - self.share
        return {
            "keep": keep,
            "factor": 1 / keep if self.inverted else 1.0,
            "layer": build.index,
            "towers": towers,
            "first_tower": build.first_tower,
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

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Scale in both modes."""
        return self._scaled(build, x)

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Scale the gradient as the forward pass scales, in place."""
        return self._scaled_back(build, dy)
