"""Colour of the filters of both towers: a number for figure 3 of the paper."""

import numpy as np

SPLITS = 2000  # random divisions into halves that the towers are compared with
COLUMNS = ("colour, greyer tower", "colour, other tower", "difference", "random halves as far apart, %")


def colour(weights: np.ndarray) -> np.ndarray:
    """Return the fraction of the energy of filters (n, 3, rows, columns) that is not grey: (n,), from 0 to 1.

        1 - 3 SUM mean^2 / SUM w^2          mean: of red, green and blue at a pixel

    0 for a filter that is equal in red, green and blue, or all zero; 2/3 on average for a random one; 1 if the three
    add up to zero.
    """
    weights = weights.astype(np.float64)
    grey = 3 * np.square(weights.mean(axis=1)).sum(axis=(1, 2))
    total = np.square(weights).sum(axis=(1, 2, 3))
    return 1 - np.divide(grey, total, out=np.ones_like(total), where=total > 0)


def figures(weights: np.ndarray) -> dict[str, float | None]:
    """Compare the filters (2n, 3, rows, columns) of two towers with random halves of all of them.

    The towers have no order: the greyer comes first. If random halves are often as far apart, the towers differ no more
    than by chance. The halves are drawn from a fixed seed.
    """
    colours = colour(weights)
    towers = sorted(colours.reshape(2, -1).mean(axis=1))
    apart = towers[1] - towers[0]
    rng, half = np.random.default_rng(2012), len(colours) // 2
    mixed = rng.permuted(np.tile(colours, (SPLITS, 1)), axis=1)
    found = np.abs(mixed[:, :half].mean(axis=1) - mixed[:, half:].mean(axis=1))
    share = 100 * float((found >= apart - 1e-12).mean())
    return dict(zip(COLUMNS, map(float, (*towers, apart, share)), strict=True))
