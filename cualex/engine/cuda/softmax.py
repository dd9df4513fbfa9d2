"""Softmax, cross-entropy, and the counts of top-1 and top-5."""

import numpy as np

from cualex.engine.cuda.launching import THREADS, storage

FIGURES = 4  # of an image: loss, top-1, top-5, counted
SHARED = 8 * THREADS


def forward(device, x, labels, y, dx, sums, *, control, parts=1, class_weights=None) -> None:
    """Write probabilities `y`, sums (loss, top-1, top-5, counted images) and, unless None, the gradient `dx`.

        y = exp(x - max x) / SUM exp(x - max x)       dx = w[label] (y - 1 at the label) / counted images / parts

    x, y and dx are (1, images, classes), labels int32 (2, images), a row for each input slot, with -1 where an
    image is not counted, sums float64 (4,). `class_weights` float32 (classes,) are the w of dx, and of the loss
    -w[label] log y[label]; None: all are 1. With `dx`, the device's copy of `control`
    records whether the loss is finite, and was in the earlier of the `parts` micro-batches.
    """
    images, classes = x.shape[-2:]
    figures = device.scratch("softmax figures", (images, FIGURES), np.float64)
    device.launch(
        "softmax",
        (x, labels, device.control, y, dx, figures, class_weights),
        grid=(images,),
        block=THREADS,
        shared=SHARED,
        BATCH=images,
        CLASSES=classes,
        PARTS=parts,
        WEIGHTED=class_weights is not None,
        PRECISION=storage(device),
    )
    device.launch(
        "softmax_sums",
        (figures, sums, None if dx is None else device.control),
        grid=(1,),
        block=THREADS,
        shared=SHARED,
        BATCH=images,
    )
