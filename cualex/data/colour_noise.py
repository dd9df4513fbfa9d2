"""How the colours of a training set vary, and the colour noise of section 4.1 of the paper that follows from it.

The noise of an image is one shift of its red, green and blue, along the principal components p_i of the RGB values
of all training pixels:

    shift = SUM_i a_i sqrt(l_i) p_i,      a_i normal with deviation 0.1,      l_i the variance along p_i

The paper writes l_i in place of sqrt(l_i); read literally that shifts by hundreds of grey levels. The code of 2012
takes the root (convdata_jpeg.py), and so does this. That code then divides image and noise by 1.1, which the paper
does not mention and is not done here.
"""

import math
from dataclasses import dataclass

import numpy as np

from cualex.random import philox
from cualex.random.normals import normals

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

DEVIATION = 0.1  # of the numbers a_i, in the paper


@dataclass(frozen=True)
class Components:
    """Hold the principal components of RGB: `variances`, the largest first, and `directions`, a row (R, G, B) each.

    Levels count from 0 to 255. The directions are orthonormal. The sign of a direction means nothing.
    """

    variances: Vector
    directions: Matrix


@dataclass(frozen=True)
class Noise:
    """Shift the colours of each image by `deviation` times what the set's own colours vary.

    epochs: how many epochs, from the first, have noise; None for all.
    """

    components: Components
    deviation: float = DEVIATION
    epochs: int | None = None

    def draw(self, seed: int, epoch: int, chosen: np.ndarray) -> np.ndarray:
        """Draw the shifts of the images `chosen` (k,) in an epoch: float32 (k, 3), added to red, green and blue.

        An image's shift follows from (seed, epoch, image) alone, to the bit.
        """
        if self.epochs is not None and epoch >= self.epochs:
            return np.zeros((len(chosen), 3), np.float32)
        drawn = normals(philox.blocks(seed, philox.COLOURS, 0, epoch, chosen))
        shifts = np.zeros((len(chosen), 3))
        # No matrix product: its order of sums would depend on the number of images.
        for numbers, variance, direction in zip(
            drawn, self.components.variances, self.components.directions, strict=False
        ):
            shifts += (self.deviation * math.sqrt(variance)) * numbers[:, None] * np.array(direction)
        return shifts.astype(np.float32)


def products(image: np.ndarray) -> np.ndarray:
    """Sum the products of colours over the pixels of an image (rows, columns, 3) uint8: int64 (3, 3), exact.

    In floating point, which is faster, but with partial sums that it holds whole, so that no order rounds.
    """
    single = image.shape[1] * 255**2 <= 2**24
    planes = np.moveaxis(image, 2, 0).astype(np.float32 if single else np.float64, order="C")
    sums = np.empty((3, 3), np.int64)
    for i in range(3):
        for j in range(i + 1):  # not by BLAS, which would take all cores
            sums[i, j] = sums[j, i] = np.einsum("rc,rc->r", planes[i], planes[j]).sum(dtype=np.float64)
    return sums


def covariance(count: int, total: np.ndarray, squares: np.ndarray) -> Matrix:
    """Return the covariance of RGB over `count` pixels, each entry the exact one rounded once.

    total: their sum, (3,).  squares: the sums of their products, (3, 3).  Whole numbers, both.
    """
    total, squares = [int(number) for number in total], squares.tolist()
    return tuple(tuple((count * squares[i][j] - total[i] * total[j]) / count**2 for j in range(3)) for i in range(3))


def components(matrix: Matrix) -> Components:
    """Find the principal components of a covariance, the same bits on every machine.

    Jacobi's method: turn two axes at a time so that their covariance is gone, until all are. Variances that rounding
    alone could have made are zero. Each direction has its largest part positive.
    """
    a = [[float(number) for number in row] for row in matrix]
    v = [[float(i == j) for j in range(3)] for i in range(3)]  # a column a direction
    for _ in range(12):  # about five are needed
        for p, q in ((0, 1), (0, 2), (1, 2)):
            _rotate(a, v, p, q)
    least = 16 * 2.0**-52 * sum(a[i][i] for i in range(3))
    order = sorted(range(3), key=lambda i: -a[i][i])
    return Components(
        tuple(a[i][i] if a[i][i] > least else 0.0 for i in order),
        tuple(_upright([v[row][i] for row in range(3)]) for i in order),
    )


def _rotate(a: list[list[float]], v: list[list[float]], p: int, q: int) -> None:
    """Turn axes p and q of the symmetric matrix `a` so that a[p][q] is zero; `v` collects the turns."""
    if a[p][q] == 0:
        return
    slope = (a[q][q] - a[p][p]) / (2 * a[p][q])
    tangent = math.copysign(1.0, slope) / (abs(slope) + math.sqrt(slope * slope + 1))
    cosine = 1 / math.sqrt(tangent * tangent + 1)
    sine = tangent * cosine
    for k in range(3):
        a[k][p], a[k][q] = cosine * a[k][p] - sine * a[k][q], sine * a[k][p] + cosine * a[k][q]
    for k in range(3):
        a[p][k], a[q][k] = cosine * a[p][k] - sine * a[q][k], sine * a[p][k] + cosine * a[q][k]
    a[p][q] = a[q][p] = 0.0
    for k in range(3):
        v[k][p], v[k][q] = cosine * v[k][p] - sine * v[k][q], sine * v[k][p] + cosine * v[k][q]


def _upright(direction: list[float]) -> Vector:
    sign = math.copysign(1.0, max(direction, key=abs))
    return tuple(sign * part for part in direction)


# The training images of ILSVRC-2012, as the authors' data set had them (key `color_pca` of its input_meta).
ILSVRC2012 = Components(
    (121.78006099**2, 37.09388853**2, 19.72083305**2),
    (
        (-0.56351045, -0.57618440, -0.59200296),
        (-0.71257945, -0.02354167, 0.70119634),
        (0.41795513, -0.81698062, 0.39731118),
    ),
)
