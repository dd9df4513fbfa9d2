"""The confusion matrix as a picture."""

from pathlib import Path

import numpy as np

from cualex.evaluation import Evaluation
from cualex.pictures.figure import figure

MOST = 50  # classes drawn in full; beyond, those that are confused most


def draw(found: Evaluation, path: str | Path) -> None:
    """Draw the matrix: a row a true class, a column a named one, each row in shares of its class."""
    matrix, names = found.confusion, list(found.classes)
    if len(names) > MOST:
        wrong = matrix - np.diag(np.diag(matrix))
        chosen = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST])
        matrix, names = matrix[np.ix_(chosen, chosen)], [names[index] for index in chosen]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 1.8 + 0.32 * len(names))
    with figure(path, size=(side + 1, side)) as (drawn, axes):
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        drawn.colorbar(image, label="share of the true class", shrink=0.8)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="named", ylabel="true")
        if len(names) <= 20:
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    dark = shares[row, column] > 0.5
                    axes.text(
                        column, row, str(count), ha="center", va="center", color="white" if dark else "black"
                    )
