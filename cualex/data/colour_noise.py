"""Colour noise (section 4.1 of the paper), and the principal components of a training set's colours that it needs.

The noise of an image is one shift of red, green and blue along the principal components p_i of the RGB values of all
training pixels:

    shift = SUM_i a_i sqrt(l_i) p_i,      a_i normal with deviation 0.1,      l_i the variance along p_i

The paper has l_i instead of sqrt(l_i); read literally that shifts by hundreds of grey levels. The code of 2012
takes the root (convdata_jpeg.py), and so does this. That code then divides image and noise by 1.1, which the paper
does not mention and is not done here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cualex.random import philox
from cualex.random.normals import normals

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

DEVIATION = 0.1  # of the numbers a_i, in the paper


@dataclass(frozen=True)
class Components:
    """The principal components of RGB (0-255): `variances`, the largest first, and `directions`, rows of (R, G, B).

    The directions are orthonormal; their signs are arbitrary.
    """

    variances: Vector
    directions: Matrix


@dataclass(frozen=True)
class Noise:
    """Colour noise of standard deviation `deviation`, relative to the spread of the set's colours.

    epochs: the number of epochs, from the first, that have noise; None for all.
    """

    components: Components
    deviation: float = DEVIATION
    epochs: int | None = None

    def draw(self, seed: int, epoch: int, chosen: np.ndarray) -> np.ndarray:
        """Draw the shifts of the images `chosen` (k,) in an epoch: float32 (k, 3), added to red, green and blue.

        The bits of a shift depend on (seed, epoch, image) alone.
        """
        if self.epochs is not None and epoch >= self.epochs:
            return np.zeros((len(chosen), 3), np.float32)
        drawn = normals(philox.blocks(seed, philox.COLOURS, 0, epoch, chosen))
        shifts = np.zeros((len(chosen), 3))
        # No matrix product: its order of summation would depend on the number of images.
        for numbers, variance, direction in zip(
            drawn, self.components.variances, self.components.directions, strict=False
        ):
            shifts += (self.deviation * math.sqrt(variance)) * numbers[:, None] * np.array(direction)
        return shifts.astype(np.float32)


def products(image: np.ndarray) -> np.ndarray:
    """Sum the products of colours over the pixels of an image (rows, columns, 3) uint8: int64 (3, 3), exact.

    In floating point, which is faster, with partial sums small enough to be exact in any order.
    """
    single = image.shape[1] * 255**2 <= 2**24
    planes = np.moveaxis(image, 2, 0).astype(np.float32 if single else np.float64, order="C")
    sums = np.empty((3, 3), np.int64)
    for i in range(3):
        for j in range(i + 1):  # not by BLAS, which would take all cores
            sums[i, j] = sums[j, i] = np.einsum("rc,rc->r", planes[i], planes[j]).sum(dtype=np.float64)
    return sums


def covariance(count: int, total: np.ndarray, squares: np.ndarray) -> Matrix:
    """Return the covariance of RGB over `count` pixels, correctly rounded.

    total: sum of the pixels, integers (3,).  squares: sums of their products, integers (3, 3).
    """
    sums, products = [int(number) for number in total], squares.tolist()
    return matrix([[(count * products[i][j] - sums[i] * sums[j]) / count**2 for j in range(3)] for i in range(3)])


def vector(numbers: Sequence[float]) -> Vector:
    """Return three numbers as a tuple."""
    first, second, third = numbers
    return first, second, third


def matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    """Return three rows of three numbers as tuples."""
    first, second, third = map(vector, rows)
    return first, second, third


def components(covariances: Matrix) -> Components:
    """Return the principal components of a covariance matrix, the same bits on every machine.

    Jacobi's method: rotate two axes at a time until no covariance is left. Variances that can be rounding errors are
    zero. The largest element of a direction is positive.
    """
    a = [[float(number) for number in row] for row in covariances]
    v = [[float(i == j) for j in range(3)] for i in range(3)]  # a column a direction
    for _ in range(12):  # about five are needed
        for p, q in ((0, 1), (0, 2), (1, 2)):
            _rotate(a, v, p, q)
    least = 16 * 2.0**-52 * sum(a[i][i] for i in range(3))
    order = sorted(range(3), key=lambda i: -a[i][i])
    return Components(
        vector([a[i][i] if a[i][i] > least else 0.0 for i in order]),
        matrix([_upright([v[row][i] for row in range(3)]) for i in order]),
    )


def _rotate(a: list[list[float]], v: list[list[float]], p: int, q: int) -> None:
    """Rotate axes p and q of the symmetric matrix `a` so that a[p][q] is zero; `v` accumulates the rotations."""
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
    return vector([sign * part for part in direction])


# The training images of ILSVRC-2012, as the authors' data set had them (key `color_pca` of its input_meta).
ILSVRC2012 = Components(
    (121.78006099**2, 37.09388853**2, 19.72083305**2),
    (
        (-0.56351045, -0.57618440, -0.59200296),
        (-0.71257945, -0.02354167, 0.70119634),
        (0.41795513, -0.81698062, 0.39731118),
    ),
)
