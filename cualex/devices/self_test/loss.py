"""What softmax and its loss must give, in float64; tolerances are in units of float32 (UNIT)."""

import numpy as np

from cualex.devices.self_test.trial import UNIT, Trial


def softmax(t: Trial) -> None:
    """Probabilities, the gradient of the loss, and each image's loss, top-1, top-5 and count."""
    images, classes = t["BATCH"], t["CLASSES"]
    start = t.read_last_slot("labels", images) * images
    t.read_control()
    labels = t.read("labels", -1, classes - 1)
    counted = int((labels.at(start + np.arange(images)) >= 0).sum())
    own = t.some(images, 20)
    label = labels.at(start + own).astype(np.int64)
    at = own[:, None] * classes + np.arange(classes)
    x = t.read("x", -8, 8).at(at)
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    y = exponentials / exponentials.sum(axis=1, keepdims=True)
    exact = 12 * UNIT * y  # expf 4, its sum 4 and a rounding, the division 1, one in reserve
    t.expect("y", at, y, exact)
    weight = np.ones(own.shape)
    if t["WEIGHTED"]:
        weight = np.where(label < 0, 1, t.read("class_weights", 1, 4).at(np.maximum(label, 0)))
    right = np.arange(classes) == label[:, None]
    if t.has("dx"):
        divisor = max(counted, 1) * t["PARTS"] / weight[:, None]
        dx = np.where(label[:, None] < 0, 0, (y - right) / divisor)
        t.expect("dx", at, dx, (exact + 2 * UNIT * np.abs(y - right)) / divisor + 2 * UNIT * np.abs(dx))
    score = x[np.arange(own.size), np.maximum(label, 0)]
    before = np.arange(classes) < label[:, None]
    ahead = ((x > score[:, None]) | ((x == score[:, None]) & before)).sum(axis=1)
    loss = np.where(label < 0, 0, weight * (np.log(exponentials.sum(axis=1)) - (score - x.max(axis=1))))
    figures = own * 4
    t.expect("figures", figures, loss, 6 * UNIT * weight)
    for index, values in enumerate(((label >= 0) & (ahead < 1), (label >= 0) & (ahead < 5), label >= 0), 1):
        t.expect("figures", figures + index, values)


def softmax_sums(t: Trial) -> None:
    """The sums of each figure over the images, and whether the loss is finite."""
    images = np.arange(t["BATCH"])[:, None]
    t.expect("sums", np.arange(4), t.read("figures", 0, 9).at(images * 4 + np.arange(4)).sum(axis=0))
    if t.has("control"):
        t.read_control()
        t.expect("control", [12], [1])
