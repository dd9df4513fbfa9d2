"""Plots of `cualex show` that the program is held against: small versions of each kind, light and dark.

python -m tests.golden.pictures        draws them anew, and the plot of the README; look at each before a commit
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import cualex
from cualex import networks
from cualex.data.sources import imagenet_classes
from cualex.evaluation import Evaluation
from cualex.explain import Dream, Explanation, Strongest, receptive_field
from cualex.plots import (
    activations,
    augment,
    confusion,
    curves,
    dreams,
    filters,
    gallery,
    heat,
    maps,
    neighbours,
    sparsity,
    strongest,
    towers,
)
from cualex.plots.theme import THEMES
from cualex.training.recipes import Recipe
from tests import ROOT

KEPT = ROOT / "tests/golden/show"
README = ROOT / "tests/golden/readme/towers.png"
SMALLER = 4  # pixels of a plot, a side, in one that is kept
LONG = "a class whose name has forty letters yes"


def scene(side):
    """Return an image of a disc before two halves, uint8 (side, side, 3)."""
    rows, columns = np.mgrid[:side, :side] / side
    image = np.stack([0.2 + 0.7 * rows, 0.5 + 0.4 * (columns > 0.5), 0.9 - 0.6 * columns], axis=2)
    image[(rows - 0.45) ** 2 + (columns - 0.4) ** 2 < 0.06] = (0.9, 0.35, 0.1)
    return np.rint(255 * image).astype(np.uint8)


def evaluation(names, counts):
    """Return an evaluation with the confusion matrix `counts`; an image is as sure as its number in its cell says."""
    counts = np.asarray(counts)
    labels, named = (np.repeat(index, counts.ravel()) for index in np.indices(counts.shape).reshape(2, -1))
    sure = np.linspace(0.99, 0.3, len(labels), dtype=np.float32)
    return Evaluation(tuple(names), tuple(f"{i}.png" for i in range(len(labels))), labels, named, sure, 0, 1.0)


def confused(classes, groups):
    """Return counts: 20 right in each class, and some confusions within groups of classes that lie apart."""
    rng = np.random.default_rng(7)
    group = rng.permutation(classes) % groups
    counts = 20 * np.eye(classes, dtype=int)
    for index in range(classes):
        same = np.flatnonzero((group == group[index]) & (np.arange(classes) != index))
        np.add.at(counts[index], rng.choice(same, 6), 1)
    return counts


def run(path, epochs, start):
    """Make the results of a run of twelve classes, in which the rate falls once; return it."""
    path.mkdir(parents=True)
    (path / "classes.txt").write_text("x\n" * 12)
    rows = ["epoch,time,train/loss,val/loss,metrics/accuracy_top1,metrics/accuracy_top5,lr,img/s"]
    for epoch in range(1, epochs + 1):
        loss = start / epoch + 0.2 + 0.02 * (epoch % 3)
        rate = 0.01 if epoch < 6 else 0.001
        rows.append(f"{epoch},1,{0.9 * loss},{loss},{1 - 0.3 * loss},{1 - 0.1 * loss},{rate},10")
    (path / "results.csv").write_text("\n".join(rows) + "\n")
    return cualex.Run(path)


def cards():
    """Return three images: one that is right, one that is wrong under a long name, one without a true class."""
    guesses = [("cat", 0.62), ("dog", 0.3), ("n01440764", 0.0796), (LONG, 0.0004), ("deer", 0.0)]
    wrong = [(LONG, 0.81), *guesses[:4]]
    rows = zip((guesses, wrong, guesses), ("cat", "dog", None), strict=True)
    return [gallery.Card(f"{index}.png", scene(60), each, true) for index, (each, true) in enumerate(rows)]


def weights():
    """Return the weights of 96 filters, stripes and colours."""
    rows, columns = np.mgrid[:11, :11] - 5
    angles = np.arange(96)[:, None, None] * np.pi / 17
    waves = np.cos(0.9 * (rows * np.cos(angles) + columns * np.sin(angles)))
    colours = np.stack([np.cos(np.arange(96) * step) for step in (1, 2, 3)], axis=1)
    return (waves[:, None] * colours[:, :, None, None]).astype(np.float32)


def draw_mistakes(path, theme):
    found = evaluation(("cat", LONG), [[3, 2], [3, 4]])
    gallery.draw_mistakes(found, np.stack(5 * [scene(60)]), path, "set test: 5 of 12 images are wrong.", theme)


def draw_curves(path, theme):
    with tempfile.TemporaryDirectory() as place:
        runs = [run(Path(place) / name, epochs, start) for name, epochs, start in (("one", 8, 1.2), (LONG, 12, 2.0))]
        curves.draw_runs(runs, path, theme)


def draw_one_run(path, theme):
    with tempfile.TemporaryDirectory() as place:
        curves.draw_runs([run(Path(place) / "train", 8, 1.5)], path, theme)


def draw_augment(path, theme):
    network = networks.build("alexnet", crop=67, classes=10)
    augment.draw(scene(network.stored), network, Recipe(), None, path, 5, theme)


def explanations():
    """Return two classes' heat by every method, one of it 0."""
    rows, columns = np.mgrid[:67, :67] / 66
    disc = np.exp(-12 * ((rows - 0.45) ** 2 + (columns - 0.4) ** 2)).astype(np.float32)
    stripes = disc * np.cos(60 * columns) * np.ones((3, 1, 1), np.float32)
    coarse = np.kron(disc[4::8, 4::8], np.ones((8, 8), np.float32))[:67, :67]
    values = {
        "saliency": (stripes, {}),
        "guided-backpropagation": (np.maximum(stripes, 0), {}),
        "grad-cam": (disc**2, {"layer": "relu5", "coarse": coarse[:3, :3]}),
        "integrated-gradients": (disc * stripes, {"steps": 64}),
        "occlusion": (np.pad(coarse, (0, 67 - len(coarse))) - 0.3, {"patch": 16, "stride": 8}),
    }
    return [
        [
            Explanation(method, cls, index, score, scene(67), share * found, settings)
            for method, (found, settings) in values.items()
        ]
        for index, (cls, score, share) in enumerate(((LONG, 4.2, 1), ("dog", -0.3, 0)))
    ]


def draw_dreams(path, theme):
    course = np.array([-0.25, 30])
    made = [dreams.Dreamt(name, Dream(scene(60), course), colour) for name, colour in ((LONG, None), ("b", "#b3590f"))]
    dreams.draw(made, path, "What excites conv4", "alexnet; 128 steps.", theme)


def draw_strongest(layer, path, theme):
    """Draw three images for each of two filters, of which one is cut by the image's edge."""
    net = networks.build("alexnet", crop=67, classes=10)
    field, crop = receptive_field(net, layer), scene(67)
    found = [
        Strongest(at, (f"{at}.png", cls), 9.5 - at, at, 2, field.box(at, 2), crop)
        for at, cls in enumerate(("cat", LONG, None))
    ]
    filters = [strongest.Excited(3, 0, 2, found), strongest.Excited(130, 1, 2, found[:2])]
    strongest.draw(net, layer, filters, path, f"set test. {strongest.legend(net, layer)}", theme)


def draw_neighbours(path, theme):
    near = [neighbours.Shown(f"{at}.png", scene(60), cls, at + 0.5) for at, cls in enumerate(("cat", LONG, None))]
    rows = [[neighbours.Shown("a.png", scene(60), "cat"), *near], [neighbours.Shown("b.png", scene(60)), *near[:2]]]
    neighbours.draw(rows, path, "set test, 9 images.", theme)


PLOTS = {  # by name: what draws it, and the theme
    "activations": (lambda path, theme: activations.draw(path, theme), "light"),
    "augment": (draw_augment, "dark"),
    "confusion-2": (
        lambda path, theme: confusion.draw(evaluation(("cat", LONG), [[9, 2], [3, 4]]), path, theme),
        "light",
    ),
    "confusion-30": (
        lambda path, theme: confusion.draw(evaluation([f"class {i}" for i in range(30)], confused(30, 6)), path, theme),
        "dark",
    ),
    "confusion-1000": (
        lambda path, theme: confusion.draw(evaluation(imagenet_classes.numbers(), confused(1000, 50)), path, theme),
        "light",
    ),
    "curves": (draw_one_run, "dark"),
    "curves-of-two": (draw_curves, "light"),
    "dream": (draw_dreams, "dark"),
    "filters": (lambda path, theme: filters.draw(networks.build("alexnet"), weights(), path, theme), "light"),
    "filters-grey": (
        lambda path, theme: filters.draw(networks.build("lenet5"), weights()[:6, :1, :5, :5], path, theme),
        "dark",
    ),
    "heat": (lambda path, theme: heat.draw(explanations(), (0.62, 0.0004), path, "a.png.", theme), "light"),
    "maps": (lambda path, theme: maps.draw(bundled(), scene(76), "relu1", path, theme), "light"),
    "maps-signed": (lambda path, theme: maps.draw(bundled(), scene(76), "fc6", path, theme), "dark"),
    "mistakes": (draw_mistakes, "dark"),
    "network": (lambda path, theme: towers.draw(networks.build("alexnet"), path, theme), "dark"),
    "network-one-tower": (lambda path, theme: towers.draw(networks.build("lenet5"), path, theme), "light"),
    "neighbours": (draw_neighbours, "light"),
    "predictions": (lambda path, theme: gallery.draw_predictions(cards(), path, "set test", theme), "light"),
    "sparsity": (lambda path, theme: sparsity.draw(bundled(), scene(76), path, theme), "light"),
    "strongest": (lambda path, theme: draw_strongest("conv2", path, theme), "light"),
    "strongest-whole": (lambda path, theme: draw_strongest("relu5", path, theme), "dark"),
}


def bundled():
    """Return the network that comes with cualex."""
    return cualex.load("cifar10", device="cpu")


def drawn(name, place):
    """Draw a plot, and return its small version, uint8 (rows, columns, 3)."""
    draw, theme = PLOTS[name]
    path = Path(place) / f"{name}.png"
    draw(path, THEMES[theme])
    return smaller(path)


def smaller(path):
    """Return the small version of a picture: means of squares of pixels."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").reduce(SMALLER))


def versions():
    """Return what the pixels of a plot depend on, besides what is drawn."""
    import matplotlib
    from matplotlib import ft2font

    return {"matplotlib": matplotlib.__version__, "freetype": ft2font.__freetype_version__}


def main():
    with tempfile.TemporaryDirectory() as place:
        for name in PLOTS:
            Image.fromarray(drawn(name, place)).save(KEPT / f"{name}.png", optimize=True)
        towers.draw(networks.build("alexnet"), Path(place) / "towers.png")
        with Image.open(Path(place) / "towers.png") as image:  # the README is read over slow lines too
            image.convert("RGB").quantize(256).save(README, optimize=True)
    (KEPT / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")


if __name__ == "__main__":
    main()
