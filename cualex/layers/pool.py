"""What all pooling shares: windows over the rows and columns of each map."""

from dataclasses import dataclass
from typing import Any

from cualex.layers.calls import MapLayer
from cualex.layers.layer import windows
from cualex.layers.maps import Shape


@dataclass(frozen=True)
class Pool(MapLayer):
    """Slide windows of `size` by `stride`: they overlap where the stride is smaller.

    Rows and columns that are left over at the end are not seen. With `round_up` they are, by windows that are cut off
    there, as in cuda-convnet and Caffe; PyTorch calls that ceil_mode.
    """

    size: int = 3
    stride: int = 2
    round_up: bool = False

    def window(self) -> dict[str, Any]:
        """Return the numbers that the engine needs; how many windows there are it reads off the output."""
        return {"size": self.size, "stride": self.stride}

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, rows, columns)."""
        channels, *lengths = shape
        rows, columns = (windows(length, self.size, self.stride, 0, "a pool", self.round_up) for length in lengths)
        return channels, rows, columns
