"""How coloured the filters of either tower are: a number for what figure 3 of the paper shows."""

import numpy as np

FILE = "filters.npy"  # conv1's, in the directory of a run
SPLITS = 2000  # random halves that the towers are compared with
COLUMNS = ("colour, greyer tower", "colour, other tower", "difference", "random halves as far apart, %")


def colour(weights: np.ndarray) -> np.ndarray:
    """Return for filters (n, 3, rows, columns) the share of their square that is not grey: (n,), from 0 to 1.

        1 - 3 SUM mean^2 / SUM w^2          mean: of red, green and blue at a pixel

    0 for a filter that is the same in red, green and blue, or is nothing at all; 2/3 on average for one that is drawn
    at random; 1 where the three add up to nothing.
    """
    weights = weights.astype(np.float64)
    grey = 3 * np.square(weights.mean(axis=1)).sum(axis=(1, 2))
    total = np.square(weights).sum(axis=(1, 2, 3))
    return 1 - np.divide(grey, total, out=np.ones_like(total), where=total > 0)


def figures(weights: np.ndarray) -> dict[str, float]:
    """Compare two towers, whose filters (2n, 3, rows, columns) lie side by side, with random halves of all of them.

    The towers have no order: the greyer comes first. Where random halves are often as far apart, the towers are no
    more different than chance makes them. The halves are drawn from a fixed seed.
    """
    each = colour(weights)
    towers = sorted(each.reshape(2, -1).mean(axis=1))
    apart = towers[1] - towers[0]
    rng, half = np.random.default_rng(2012), len(each) // 2
    mixed = rng.permuted(np.tile(each, (SPLITS, 1)), axis=1)
    found = np.abs(mixed[:, :half].mean(axis=1) - mixed[:, half:].mean(axis=1))
    share = 100 * float((found >= apart - 1e-12).mean())
    return dict(zip(COLUMNS, map(float, (*towers, apart, share)), strict=True))
