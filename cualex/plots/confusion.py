"""Plot of the confusion matrix."""

import warnings
from pathlib import Path

import numpy as np

from cualex.data.sources import imagenet_classes
from cualex.evaluation import Evaluation
from cualex.plots.figure import figure

LONGEST = 30  # letters of a name
MOST = 50  # classes drawn; of more, those that are confused most


def draw(evaluation: Evaluation, path: str | Path) -> None:
    """Draw the matrix: rows are true classes, columns predicted ones, in fractions of the row."""
    matrix, names = evaluation.confusion, [_label(name) for name in evaluation.classes]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    if len(names) > MOST:
        wrong = matrix - np.diag(np.diag(matrix))
        chosen = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST])
        part = np.ix_(chosen, chosen)
        matrix, shares, names = matrix[part], shares[part], [names[index] for index in chosen]
    side = max(4.0, 1.8 + 0.32 * len(names))
    with warnings.catch_warnings(), figure(path, size=(side + 1, side)) as (drawn, axes):
        # A letter that the font lacks is drawn as a box; the CSV has it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        drawn.colorbar(image, label="share of the true class", shrink=0.8)
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.set(xlabel="named", ylabel="true")
        if len(names) <= 20:
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    dark = shares[row, column] > 0.5
                    axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")


def _label(name: str) -> str:
    """Shorten a name, in English for a WordNet number, without line breaks and bytes that a folder's name may have."""
    name = imagenet_classes.english(name)
    name = " ".join(name.encode("utf-8", "replace").decode().split())
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
