"""Sums whose order is fixed, so that they have the same bits on any number of workers."""

import numpy as np

LANES = 8  # partial sums of a weight gradient; a fixed number, so that the order of the sum is fixed too


def add_product(a, b, total, first, scratch) -> None:
    """Add a @ b to the total, or begin it."""
    if first:
        np.matmul(a, b, out=total)
    else:
        total += np.matmul(a, b, out=scratch("addend", total.shape, total.dtype))


def add_in_order(parts) -> np.ndarray:
    """Add partial sums, first to last, in place of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
