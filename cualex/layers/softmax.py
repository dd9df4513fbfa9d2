"""Softmax with cross-entropy, and the counts of top-1 and top-5."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.build import Build
from cualex.layers.layer import Kept, Layer, Then
from cualex.layers.maps import Maps


@dataclass(frozen=True)
class Softmax(Layer):
    """Turn scores into probabilities, and in training into the loss and its gradient.

        p[c] = exp(x[c]) / SUM over j of exp(x[j])
        loss = mean over the counted images of -w[label] log p[label]
        dx = w[label] (p - 1 at the label) / counted images

    w are the class weights of a plan that has some, else 1. Keras divides by the count as well; PyTorch's
    CrossEntropyLoss(weight=w) divides by SUM w[label] over the batch, and two things would be lost: the parts of an
    accumulated batch have other sums than the whole, and batches in which a rare class is missing would count as much
    as those that have it. Balanced weights have a mean of 1 over the training set, so that loss and gradients keep
    their size: guessing still costs log classes.
    An image with label -1 is padding and is not counted. An image counts as right when its class would be named:
    among equal scores the lower class is named first, and a score that is not a number never is.
    """

    kind: ClassVar[str] = "softmax"

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Write probabilities, loss and counts; in training the gradient of the scores, `dx`, as well."""
        y = build.maps(x.shape, x.towers, border=0)
        dx = build.maps(x.shape, x.towers, "gradient", border=0) if build.training else None
        build.step(
            build.engine.softmax.forward,
            reads={"x": x.flatten(), "labels": build.labels, "class_weights": build.class_weights},
            writes={"y": y.flatten(), "dx": dx and dx.flatten(), "sums": build.sums},
            control=build.control,
            parts=build.accumulated,
        )
        return y, {"dx": dx}
