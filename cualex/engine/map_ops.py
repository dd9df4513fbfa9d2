"""What both engines offer, function by function, for layers without weights: a protocol an operation.

A module of each engine implements each (engine/host/relu.py, engine/cuda/relu.py); weight_ops.py has the others.

*Maps* and their gradients are (towers, images, rows, columns, channels), of the device's `dtype`. Windows of `size` x
`size` pixels lie `stride` apart; y says how many there are. What works "in place" may get `dy` as `dx`; with `relu` it
also takes the derivative of the ReLU that made x. `saved`, or None, is kept for the backward pass (`Engine.saves`).
"""

from typing import Protocol, TypeVar

from cualex.devices.control import Control
from cualex.devices.runtime import Array

D = TypeVar("D", contravariant=True)
Maps = Array

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # of a grey value: the luminance of ITU-R BT.601


class CropOps(Protocol[D]):
    """From stored images to what the first layer reads."""

    def forward(
        self,
        device: D,
        pictures: Array,
        views: Array,
        colours: Array,
        mean: Array,
        y: Array,
        *,
        crop: int,
        pad: int = ...,
        scale: float | tuple[float, float, float] = ...,
        centred: bool = ...,
        control: Control | None = ...,
    ) -> None:
        """Write y = scale * crop of ((image - mean) + colour), mirrored left to right where a view says so.

        pictures (images, rows, columns, 3) uint8; views (images, 3) int32: row, column, mirror; colours (images, 3)
        float32; mean (rows, columns, 3) float32, RGB from 0 to 255; y (images, crop, crop, 3), or as `ConvOps.picture`
        has it. Of an engine with slots, inputs have that axis before their own. centred: the mean's centre is taken
        for every view, and is not mirrored.
        """


class GreyOps(Protocol[D]):
    """Grey images."""

    def forward(self, device: D, x: Array, y: Maps) -> None:
        """Write y = 0.299 red + 0.587 green + 0.114 blue; x (images, rows, columns, 3), y of one channel."""

    def backward(self, device: D, dy: Maps, dx: Array) -> None:
        """Write dx (images, rows, columns, 3): each colour's share of dy, summed over the towers."""


class ReLUOps(Protocol[D]):
    """Rectified linear units."""

    def forward(self, device: D, x: Maps, y: Maps) -> None:
        """Write y = max(x, 0)."""

    def backward(self, device: D, y: Maps, dy: Maps, dx: Maps) -> None:
        """Write dx = dy where y > 0, else 0; in place."""


class ActivationOps(Protocol[D]):
    """Other activations, by name: engine/activations.py has the table."""

    def forward(self, device: D, x: Maps, y: Maps, *, function: str) -> None:
        """Write y = f(x)."""

    def backward(self, device: D, kept: Maps, dy: Maps, dx: Maps, *, function: str) -> None:
        """Write dx = dy f'(x), the derivative computed from `kept`, y or x as the function says; in place."""


class NormaliseOps(Protocol[D]):
    """Local response normalisation: y = x / (k + alpha * SUM of squares of n neighbours)^beta."""

    def forward(
        self, device: D, x: Maps, y: Maps, saved: Maps | None, *, n: int, k: float, alpha: float, beta: float
    ) -> None:
        """Write y and `saved`."""

    def backward(
        self,
        device: D,
        x: Maps,
        saved: Maps,
        dy: Maps,
        dx: Maps,
        *,
        n: int,
        k: float,
        alpha: float,
        beta: float,
        relu: bool = ...,
    ) -> None:
        """Write dx; in place."""


class LRNOps(NormaliseOps[D], Protocol[D]):
    """Local response normalisation across channels, alone and together with the max-pooling above it."""

    def forward_pooled(
        self,
        device: D,
        x: Maps,
        y: Maps,
        saved: Maps | None,
        *,
        n: int,
        k: float,
        alpha: float,
        beta: float,
        size: int,
        stride: int,
    ) -> None:
        """Write y, the pooled maps, and `saved`; the bits are those of the two functions."""

    def backward_pooled(
        self,
        device: D,
        x: Maps,
        saved: Maps,
        y: Maps,
        dy: Maps,
        dx: Maps,
        *,
        n: int,
        k: float,
        alpha: float,
        beta: float,
        size: int,
        stride: int,
        relu: bool = ...,
    ) -> None:
        """Write dx from y and dy, the pooled maps and their gradient."""


class MaxPoolOps(Protocol[D]):
    """Max-pooling; among equal values the first in the order of reading is the maximum."""

    def forward(self, device: D, x: Maps, y: Maps, saved: Maps | None, *, size: int, stride: int) -> None:
        """Write the maximum of each window, and `saved`."""

    def backward(
        self,
        device: D,
        x: Maps,
        saved: Maps,
        y: Maps,
        dy: Maps,
        dx: Maps,
        *,
        size: int,
        stride: int,
        relu: bool = ...,
    ) -> None:
        """Write dx: each maximum gets the gradient of its windows."""


class AveragePoolOps(Protocol[D]):
    """Average pooling; a window cut off at the end of x is divided by the values that it has."""

    def forward(self, device: D, x: Maps, y: Maps, *, size: int, stride: int) -> None:
        """Write the mean of each window."""

    def backward(self, device: D, dy: Maps, dx: Maps, *, size: int, stride: int) -> None:
        """Write dx: each value gets an equal share of the gradients of its windows."""


class DropoutOps(Protocol[D]):
    """Dropout: a mask of 0 and 1 from Philox, numbered (image, tower, feature) over the batch and all `towers`."""

    def forward(
        self,
        device: D,
        x: Maps,
        y: Maps,
        mask: Maps,
        *,
        keep: float,
        factor: float,
        layer: int,
        towers: int,
        first_tower: int,
        control: Control,
    ) -> None:
        """Write y = x * mask * factor, and the mask unless None; a unit is kept with the probability `keep`."""

    def backward(
        self,
        device: D,
        mask: Maps,
        dy: Maps,
        dx: Maps,
        *,
        keep: float,
        factor: float,
        layer: int,
        towers: int,
        first_tower: int,
        control: Control,
    ) -> None:
        """Write dx = dy * mask * factor; in place."""

    def infer(self, device: D, x: Maps, y: Maps, *, factor: float) -> None:
        """Write y = x * factor; in place."""


class SoftmaxOps(Protocol[D]):
    """Softmax with cross-entropy."""

    def forward(
        self,
        device: D,
        x: Array,
        labels: Array,
        y: Array,
        dx: Array | None,
        sums: Array,
        *,
        control: Control,
        parts: int = ...,
        class_weights: Array | None = ...,
    ) -> None:
        """Write probabilities, the sums and, unless None, the gradient of the mean loss divided by `parts`.

        x, y, dx (1, images, classes); labels (images,) int32, -1 for an image that is not counted; sums (4,) float64:
        loss, top-1, top-5, counted images; class_weights (classes,). A loss of NaN or Inf makes `control.finite` false.
        """


class ExchangeOps(Protocol[D]):
    """Gradients that come from several devices."""

    def add(self, device: D, x: Maps, y: Maps) -> None:
        """Add x to y."""
