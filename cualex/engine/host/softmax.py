"""Softmax, cross-entropy, and the counts of top-1 and top-5."""

import numpy as np

from cualex.devices.control import Control
from cualex.devices.host import HostDevice
from cualex.engine.contract import rank


def forward(
    device: HostDevice,
    x: np.ndarray,
    labels: np.ndarray,
    y: np.ndarray,
    dx: np.ndarray | None,
    sums: np.ndarray,
    *,
    control: Control,
    parts: int = 1,
    class_weights: np.ndarray | None = None,
) -> None:
    """Write probabilities `y`, sums (loss, top-1, top-5, counted images) and, unless None, the gradient `dx`.

        y = exp(x - max x) / SUM exp(x - max x)       dx = w[label] (y - 1 at the label) / counted images / parts

    x, y and dx are (1, images, classes), labels (images,) with -1 where an image is not counted, sums (4,)
    in float64. `class_weights` (classes,) are the w of dx, and of the loss -w[label] log y[label]; None: all are 1.
    `control.finite` becomes false when the loss is not finite; in the later of a batch's `parts` it stays so.
    """
    scores, probabilities = x[0], y[0]
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf: the loss says so
        np.subtract(scores, scores.max(axis=1, keepdims=True), out=probabilities)
    counted = np.flatnonzero(labels >= 0)
    own = labels[counted]
    shifted = probabilities[counted, own].astype(np.float64)
    np.exp(probabilities, out=probabilities)
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities /= total
    place = rank(scores[counted], own)
    losses = np.log(total[counted, 0].astype(np.float64)) - shifted
    weights = (labels >= 0).astype(np.float64)
    if class_weights is not None:
        weights *= class_weights[labels]
    sums[0] = (losses * weights[counted]).sum()
    sums[1], sums[2], sums[3] = (place < 1).sum(), (place < 5).sum(), len(counted)
    if dx is not None:
        control.finite = bool(np.isfinite(sums[0])) and (control.turn == 0 or control.finite)
        np.copyto(dx[0], probabilities)
        dx[0, counted, own] -= 1
        dx[0] *= weights[:, None] / (max(len(counted), 1) * parts)
