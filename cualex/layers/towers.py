"""Where the towers meet: the only layers that may cause a link between devices. Sections 3.2 and 3.5 of the paper.

The split over two GPUs, whole:

- A network is one list of layers for both towers, with the layers of this file where they meet: before conv3, fc6, fc7
  and fc8 (networks/alexnet.py).
- Tower 1 is on the first device of `--device cuda:0,cuda:1`, tower 2 on the second; fc8 and softmax, which have one
  tower, on the first (devices/placement.py). Parameters lie with their tower.
- Every other layer is one step a device, which knows nothing of the other device.
- The layers of this file put copies into the plan (`gather` and `scatter` of plan/links.py). Forward, each device gets
  the maps of the other tower; before fc8 the first alone. Backward, it gets the gradient of its own maps from the other
  tower, and adds both. On one device they copy nothing.
- A copy follows what both devices have queued before it, and comes before what they queue next; both directions of an
  exchange run at once, on streams of their own (`CudaDevice.link` of devices/cuda.py).

`cualex summary alexnet --device cuda:0,cuda:1` prints which device computes a layer, and what crosses.
"""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.build import Build
from cualex.layers.layer import Kept, Layer, Then
from cualex.layers.maps import Maps, Shape


@dataclass(frozen=True)
class Exchange(Layer):
    """Give every tower the maps of all of them, side by side along the channels.

    Between towers of one device this copies nothing: each reads both arrays. What crosses between devices is copied
    once in each direction: the maps forward, and backward the gradient of the other's maps.

    With `own_first` the canonical weights of what reads them are, in each tower, those for its own maps first and for
    those of the towers after it then, as fc7's in the 2012 code; else all towers have the order of the towers. The
    engine's order is always that of the towers, so that this is a matter of how weights are written down.
    """

    towers: int = 2
    own_first: bool = False
    kind: ClassVar[str] = "exchange"

    def readers(self, towers: int) -> int:
        """Return the towers that go on: all."""
        return towers

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape with the channels of all towers."""
        channels, rows, columns = shape
        return channels * self.towers, rows, columns

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Copy what lies on another device than its reader."""
        return build.gather(x, self.readers(x.towers)), {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Bring back the gradients of what others read, and add them to the tower's own."""
        return build.scatter(x, dy)


@dataclass(frozen=True)
class Join(Exchange):
    """Bring the maps of all towers to the first, which goes on alone."""

    kind: ClassVar[str] = "join"

    def readers(self, towers: int) -> int:
        """Return the towers that go on: the first."""
        return 1
