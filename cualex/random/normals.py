"""Normal numbers from random words, the same bits on every machine.

A library's logarithm and sine differ in their last bits from machine to machine, NumPy's even from processor to
processor. Here are only sums, products, quotients and square roots of float64, which IEEE 754 rounds in one way, one
operation at a time.
"""

import math

import numpy as np

# ln m = 2 (s + s^3/3 + s^5/5 + ...), s = (m - 1) / (m + 1). For m from sqrt(1/2) to sqrt(2) less than a part of 2^-57
# is cut off.
_LOGARITHM = [2.0 / (2 * k + 1) for k in range(11)]
# Up to an eighth of half a turn less than 2^-54 is cut off of these.
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(7)]
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(7)]


def normals(words: np.ndarray) -> np.ndarray:
    """Turn words into independent standard normal numbers: uint32 (2 k, n) to float64 (2 k, n).

    A pair of rows a, b gives the pair sqrt(-2 ln u) cos(t) and sqrt(-2 ln u) sin(t), with u = (a + 1/2) / 2^32
    and t = 2 pi ((b + 1/2) / 2^32 - 1/2). No number is beyond 6.8. Source: Box and Muller, 1958.
    """
    uniform = (words + 0.5) * 2.0**-32
    radius = np.sqrt(-2.0 * _logarithm(uniform[0::2]))
    cosine, sine = _turn(uniform[1::2] - 0.5)
    numbers = np.empty(words.shape)
    np.multiply(radius, cosine, out=numbers[0::2])
    np.multiply(radius, sine, out=numbers[1::2])
    return numbers


def _logarithm(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of positive numbers."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < math.sqrt(0.5)
    mantissa = np.where(low, 2 * mantissa, mantissa)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return s * _polynomial(_LOGARITHM, s * s) + (exponent - low) * math.log(2.0)


def _turn(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and sine of a part of a full turn, from -1/2 to 1/2: of an eighth of it, doubled three times."""
    x = part * (math.pi / 4)
    square = x * x
    cosine, sine = _polynomial(_COSINE, square), x * _polynomial(_SINE, square)
    for _ in range(3):
        cosine, sine = cosine * cosine - sine * sine, 2.0 * cosine * sine
    return cosine, sine


def _polynomial(coefficients: list[float], x: np.ndarray) -> np.ndarray:
    """Return c0 + c1 x + c2 x^2 + ..."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total
