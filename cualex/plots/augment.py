"""Plot of what a network is shown of one image in training: crops, mirror images and colour noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex.data import batches
from cualex.data.colour_noise import ILSVRC2012, Components, Matrix, matrix, vector
from cualex.data.opening import run_of
from cualex.networks import Network
from cualex.plots import blocks
from cualex.plots.figure import figure, place
from cualex.plots.theme import LIGHT, Theme
from cualex.training.recipes import Recipe
from cualex.training.run import restore

STORED, SIDE, GAP, ROW, ACROSS = 3.0, 1.55, 0.22, 2.0, 4  # inches: images, between them, a row; and how many in it


@dataclass(frozen=True)
class OneImage:
    """A split of one image, uint8 (size, size, 3)."""

    image: np.ndarray
    components: Components | None
    names: tuple[str, ...] = ("",)
    classes: tuple[str, ...] = ("",)
    skipped: tuple[tuple[str, str], ...] = ()
    mean: np.ndarray | None = None
    covariance: Matrix | None = None

    @property
    def size(self) -> int:
        """Rows and columns."""
        return len(self.image)

    @property
    def labels(self) -> np.ndarray:
        """Label of the image, 0."""
        return np.zeros(1, np.int32)

    def __len__(self) -> int:
        """Count the images."""
        return 1

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the image into `out`, for each of the indices, which are 0."""
        out[:] = self.image


@dataclass(frozen=True)
class Shown:
    """What a network is shown of an image in n epochs, without the mean image.

    images: uint8 (n, crop, crop, 3).  views: int32 (n, 3), the row and column of the crop, and 1 for a mirror image.
    colours: float32 (n, 3), the noise added to red, green and blue.
    """

    images: np.ndarray
    views: np.ndarray
    colours: np.ndarray


def shown(image: np.ndarray, network: Network, recipe: Recipe, components: Components | None, count: int) -> Shown:
    """Return what a training by a recipe shows of an image (stored, stored, 3) in its first `count` epochs.

    As `Stream` draws it for an image with index 0.  components: of the colours of the training images; None for
    ImageNet's.
    """
    components = components or ILSVRC2012
    stream = recipe.stream(OneImage(image, components), network.crop, noisy=count)
    stored = np.empty((count, *image.shape), np.uint8)
    views, labels = np.empty((count, 3), np.int32), np.empty(count, np.int32)
    colours = np.empty((count, 3), np.float32)
    stream.fill(0, stored, views, labels, colours)
    crops = np.empty((count, network.crop, network.crop, 3), np.uint8)
    for index, (row, column, mirror) in enumerate(views):
        seen = stored[index, row : row + network.crop, column : column + network.crop]
        crops[index] = np.clip(np.rint((seen[:, ::-1] if mirror else seen) + colours[index]), 0, 255)
    return Shown(crops, views, colours)


def draw(
    image: np.ndarray,
    network: Network,
    recipe: Recipe,
    components: Components | None,
    path: str | Path,
    count: int = 12,
    theme: Theme = LIGHT,
) -> np.ndarray:
    """Draw an image (stored, stored, 3) beside what a training shows of it in `count` epochs; return these images."""
    from matplotlib.patches import Rectangle

    found = shown(image, network, recipe, components, count)
    crop, stored = network.crop, network.stored
    said = f"{network.name}: a crop of {crop}×{crop} out of {stored}×{stored}, at another place in every epoch and "
    said += f"mirrored half of the time: {batches.views(stored, crop):,} views. "
    noise = f"PCA colour noise of deviation {recipe.colour_noise:g}."
    said += noise if recipe.colour_noise else "No colour noise."
    said += " Below each: epoch, first row and column of the crop, and what is added to R, G and B of 0 to 255."
    if not recipe.augment:
        said = f"{network.name}: the centre crop of {crop}×{crop} in every epoch, as the recipe does not augment."
    across = min(ACROSS, count)
    wide, tall = STORED + 0.4 + across * (SIDE + GAP) - GAP, max(STORED + 0.3, -(-count // across) * ROW) + 0.1
    with figure(path, (wide, tall), "What the network is shown", said, theme) as drawn:
        axes = place(drawn, 0, 0.1, STORED, STORED)
        axes.imshow(image, aspect="auto", interpolation="antialiased")
        row, column, _ = found.views[0]
        for colour, width in ((theme.ink, 3.0), (theme.ground, 1.3)):
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, crop, crop, fill=False, edgecolor=colour, linewidth=width))
        blocks.note(axes, f"the image, {stored}×{stored}, and the crop of epoch 1", (0, 0), (0, -5), va="top")
        for index in range(count):
            left, top = STORED + 0.4 + index % across * (SIDE + GAP), 0.1 + index // across * ROW
            axes = place(drawn, left, top, SIDE, SIDE)
            axes.imshow(found.images[index], aspect="auto", interpolation="antialiased")
            row, column, mirror = found.views[index]
            words = f"{index + 1}: from {row}, {column}{', mirrored' if mirror else ''}"
            blocks.note(axes, words, (0, 0), (0, -5), va="top")
            if recipe.augment and recipe.colour_noise:
                shift = " ".join(f"{round(float(part)):+d}" for part in found.colours[index]).replace("-", "−")
                blocks.note(axes, f"R G B {shift}", (0, 0), (0, -16), va="top")
    return found.images


def recipe_of(weights: str | Path | None) -> tuple[Recipe, Components | None]:
    """Return the recipe of the run that weights are in, and the components of its training images' colours.

    For other weights the paper's recipe, and None.
    """
    run = run_of(weights)
    if "recipe" not in run:
        return Recipe(), None
    colours = run.get("colours")
    components = Components(vector(colours["variances"]), matrix(colours["directions"])) if colours else None
    return restore.recipe(run["recipe"]), components
