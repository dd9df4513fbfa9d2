"""Receptive fields: which pixels a unit of a layer sees, from the network's numbers alone."""

from dataclasses import dataclass

from cualex.layers import SpatialLRN
from cualex.layers.pool import Pool
from cualex.networks import Network


@dataclass(frozen=True)
class ReceptiveField:
    """The square of pixels that a unit of a layer can see.

    size: its side in pixels.  stride: pixels from one unit's to the next one's.  start: the first row, and column, of
    that of unit (0, 0); negative where it begins in the padding.  crop: pixels of the image's side.
    """

    size: int
    stride: int
    start: int
    crop: int

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return (top, left, bottom, right) of the pixels that unit (row, column) sees, cut at the image's edges."""
        first = [self.start + place * self.stride for place in (row, column)]
        top, left = (min(max(each, 0), self.crop) for each in first)
        bottom, right = (min(max(each + self.size, 0), self.crop) for each in first)
        return top, left, bottom, right


def receptive_field(network: Network, layer: str) -> ReceptiveField:
    """Return the receptive field of a layer's units, in the pixels of the crop.

        size <- size + (window - 1) * stride    start <- start - pad * stride    stride <- stride * the layer's

    layer by layer from size 1, stride 1, start 0; a dense layer sees all. Those of alexnet's conv5 are 163 pixels wide.
    Raise UsageError for a layer that does not exist.
    """
    network.require([layer])
    size, stride, start = 1, 1, 0
    for stage in network.stages():
        own = stage.layer
        if own.kind == "dense":
            return ReceptiveField(network.crop, network.crop, 0, network.crop)
        window, step, pad = 1, 1, 0
        if isinstance(own, Pool):
            window, step = own.size, own.stride
        elif isinstance(own, SpatialLRN):
            pad = own.n // 2
            window = 2 * pad + 1
        elif own.kind == "conv":
            window, step, pad = own.size, own.stride, own.pad  # type: ignore[attr-defined]
        size, start, stride = size + (window - 1) * stride, start - pad * stride, stride * step
        if stage.name == layer:
            break
    return ReceptiveField(size, stride, start, network.crop)
