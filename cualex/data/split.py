"""What training and evaluation read from: a pack, a split decoded on the fly, or a view of either."""

from typing import Protocol

import numpy as np

from cualex.data.colour_noise import Components, Matrix


class Split(Protocol):
    """Images of one split of a data set, with labels.

    size: rows and columns of an image.  labels: int32 (n,).  names: n names.  classes: the class names, by label.
    skipped: (name, reason) of the images that could not be read and are not among the n.
    mean: the mean image, float32 (size, size, 3), RGB 0-255.  covariance, components: of RGB over all pixels.
    These three are None except for train.
    """

    @property
    def size(self) -> int: ...  # noqa: D102 (the class describes it)

    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]: ...  # noqa: D102

    @property
    def mean(self) -> np.ndarray | None: ...  # noqa: D102

    @property
    def covariance(self) -> Matrix | None: ...  # noqa: D102

    @property
    def components(self) -> Components | None: ...  # noqa: D102

    def __len__(self) -> int:
        """Count the images."""

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the images `indices` (k,) into `out`, uint8 (k, size, size, 3)."""


def centre(size: int, crop: int) -> slice:
    """Return the rows, and the columns, of the centre crop; one between two pixels is rounded up and left."""
    first = (size - crop) // 2
    return slice(first, first + crop)
