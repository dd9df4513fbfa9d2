"""Hold the automatic recipe against a search: `python -m tests.recipe_search SET [--from FILE] --output FILE`.

For a set, the recipe that `cualex train` chooses, and eight others that see as many images at the same crop from the
same start: batch {16, 32} x rate {0.003, 0.01, 0.03} along the same cosine, and rates that fall by ten after 80 % of
the epochs at batch 32 and 16. All run on one seed, the best of them and the automatic one on three. Each is judged by
its best weights, which a fifth of the set has chosen, on 1,000 further images of the same source. A line of JSON a run
goes to --output, and runs that are there are not repeated. With --only automatic that recipe alone is run, on three
seeds: what a set gains by the weights that it begins with.

`python -m tests.recipe_search table --output FILE` prints for each set the automatic recipe beside the best other one:
means over the seeds, and the 95 % interval of their ratio when the further images are drawn again (bootstrap).
"""

import argparse
import json
import sys
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cualex import weights
from cualex.data import colour_noise
from cualex.data import images as pictures
from cualex.evaluation import evaluate
from cualex.model import Model
from cualex.pretrained import located
from cualex.training import automatic_recipe, finetuning
from cualex.training.loop import train
from cualex.training.run import Run

STORED, FURTHER = 76, 1000
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HELD_OUT = ["automobile", "cat", "dog", "ship"]  # that the twin of the bundled network has not seen


class Images:
    """Images in memory, read as a pack is."""

    size, skipped = STORED, ()

    def __init__(self, images, labels, classes, name):
        self.images = np.stack([pictures.square(image, STORED) for image in images])
        self.labels = np.array(labels, np.int32)
        self.classes = tuple(classes)
        self.names = tuple(f"{name}/{number}" for number in range(len(labels)))
        self.mean = self.images.mean(axis=0, dtype=np.float64).astype(np.float32)
        pixels = self.images.reshape(-1, 3).astype(np.int64)
        self.covariance = colour_noise.covariance(len(pixels), pixels.sum(axis=0), pixels.T @ pixels)
        self.components = colour_noise.components(self.covariance)

    def __len__(self):
        return len(self.labels)

    def read(self, indices, out):
        out[:] = self.images[indices]


def stripes(generator, label):
    """Two classes: stripes along rows, or along columns."""
    y, x = np.mgrid[:80, :80]
    period, phase = generator.uniform(8, 16), generator.uniform(0, 6.28)
    along, across = (x, y) if label else (y, x)
    wave = 128 + 60 * np.sin(2 * np.pi * (along + generator.uniform(-0.25, 0.25) * across) / period + phase)
    image = wave[..., None] * generator.uniform(0.5, 1, 3) + generator.normal(0, 25, (80, 80, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def drawings(generator, label):
    """Two classes: houses, or trees, in a shaky line on white."""
    image = Image.new("RGB", (160, 160), "white")
    draw = ImageDraw.Draw(image)
    width, height = generator.uniform(40, 90), generator.uniform(40, 90)
    left, top = generator.uniform(10, 150 - width), generator.uniform(10, 150 - height)
    if label:  # a stem and a crown
        crown = [(0.45, 0.6), (0.1, 0.45), (0.2, 0.1), (0.5, 0), (0.8, 0.1), (0.9, 0.45), (0.55, 0.6)]
        corners = [(0.45, 1), *crown, (0.55, 1)]
    else:
        door = [(0.6, 1), (0.6, 0.7), (0.4, 0.7), (0.4, 1)]
        corners = [(0, 1), (0, 0.4), (0.5, 0), (1, 0.4), (1, 1), *door, (0, 1)]
    points = [
        (left + width * x + generator.normal(0, 2), top + height * y + generator.normal(0, 2)) for x, y in corners
    ]
    ink = tuple(generator.integers(0, 120, 3).tolist())
    draw.line(points, fill=ink, width=int(generator.integers(2, 5)))
    for _ in range(int(generator.integers(0, 5))):  # strokes that mean nothing
        draw.line(generator.uniform(0, 160, 4).tolist(), fill=ink, width=2)
    return np.asarray(image)


def textures(generator, label):
    """Fifty classes: noise of a band of scales and directions, in three colours, turned and scaled by chance."""
    own = np.random.default_rng(1000 + label)
    scale, direction, spread = own.uniform(3, 14), own.uniform(0, np.pi), own.choice([0.15, 0.5, 3.0])
    colour = own.uniform(0, 255, (3, 3))
    scale, direction = scale * generator.uniform(0.85, 1.18), direction + generator.normal(0, 0.12)
    v, u = np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96), indexing="ij")
    radius, angle = np.hypot(u, v) + 1e-9, np.arctan2(v, u)
    off = np.abs((angle - direction + np.pi / 2) % np.pi - np.pi / 2)
    band = np.exp(-((np.log(radius * scale)) ** 2) / 0.18) * np.exp(-((off / spread) ** 2))
    wave = np.fft.ifft2(np.fft.fft2(generator.standard_normal((96, 96))) * band).real
    wave = np.clip(wave / wave.std() / 4 + 0.5, 0, 1)[..., None]
    low = colour[0] + (colour[1] - colour[0]) * 2 * wave
    high = colour[1] + (colour[2] - colour[1]) * (2 * wave - 1)
    image = np.where(wave < 0.5, low, high) * generator.uniform(0.8, 1.2) + generator.normal(0, 12, (96, 96, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def made(draw, classes, count):
    """Draw a set of `count` images, and the further ones that judge."""
    generator = np.random.default_rng(7)
    labels = [np.arange(number) % classes for number in (count, FURTHER)]
    names = [f"class {number:02}" for number in range(classes)]
    return [(([draw(generator, label) for label in part]), part, names) for part in labels]


def cifar(archive, classes, count, test_only=False):
    """Take the first images of classes of CIFAR-10, and further ones of its test images."""
    parts = (("test" if test_only else "train", 0, count), ("test", count if test_only else 0, FURTHER))
    found = []
    with zipfile.ZipFile(archive) as opened:
        for split, first, wanted in parts:
            share, images, labels = wanted // len(classes), [], []
            for label, name in enumerate(classes):
                names = sorted(n for n in opened.namelist() if f"/{split}/{name}/" in n and n.endswith(".jpg"))
                start = first // len(classes)
                for each in names[start : start + share]:
                    images.append(np.asarray(Image.open(BytesIO(opened.read(each))).convert("RGB")))
                    labels.append(label)
            found.append((images, np.array(labels), classes))
    return found


def photo_crops(folder, classes, count):
    """Draw crops of photographs, whose class is the photograph: of 0.4 to 0.7 of its shorter side, anywhere."""
    paths = sorted(Path(folder).glob("*.JPEG"))[:: 100 // classes][:classes]
    photographs = [pictures.decode(path.read_bytes(), path.name) for path in paths]

    def crop(generator, label):
        whole = photographs[label]
        side = int(generator.uniform(0.4, 0.7) * min(whole.shape[:2]))
        top, left = (int(generator.integers(0, extent - side + 1)) for extent in whole.shape[:2])
        return whole[top : top + side, left : left + side]

    return made(crop, classes, count)


SETS = {
    "photo-crops": lambda given: photo_crops(given.photos, 20, 200),
    "stripes": lambda given: made(stripes, 2, 200),
    "drawings": lambda given: made(drawings, 2, 60),
    "cifar-300": lambda given: cifar(given.cifar, [CIFAR[i] for i in (0, 2, 3, 7, 8)], 300),
    "cifar-1000": lambda given: cifar(given.cifar, CIFAR, 1000),
    "textures": lambda given: made(textures, 50, 500),
    "cifar-10000": lambda given: cifar(given.cifar, CIFAR, 10_000),
    "four-80": lambda given: cifar(given.cifar, HELD_OUT, 80),
    "four-400": lambda given: cifar(given.cifar, HELD_OUT, 400),
    "four-2000": lambda given: cifar(given.cifar, HELD_OUT, 2000),
}


def divided(whole):
    """Hold a fifth of each class back, drawn with a seed; return the two sets, one after the other."""
    images, labels, classes = whole
    generator = np.random.default_rng(11)
    held = np.zeros(len(labels), bool)
    for label in range(len(classes)):
        own = np.flatnonzero(labels == label)
        held[generator.permutation(own)[: max(1, round(0.2 * len(own)))]] = True
    parts = []
    for name, mask in (("train", ~held), ("val", held)):
        chosen = np.flatnonzero(mask)
        parts.append(Images([images[i] for i in chosen], labels[chosen], classes, name))
    return parts


def arms(given, images):
    """Name the recipes: the automatic one, and the others with as many images to see."""
    found = weights.load(located(given.start)) if given.start else None
    network = found.network.name if found else "alexnet"
    auto = automatic_recipe.choose(network, images, cuda=False, tuned=found is not None)
    auto = finetuning.recipe(found, auto) if found else auto
    listed = {"automatic": auto}
    for batch in (16, 32):
        for rate in (0.003, 0.01, 0.03):
            listed[f"batch {batch}, rate {rate}"] = auto.but(batch=batch, rate=rate)
        drop = max(1, round(0.8 * auto.epochs))
        steps = auto.but(batch=batch, rate=0.01, schedule="steps", drop_epochs=(drop,), head_rate=1.0)
        listed[f"batch {batch}, rate 0.01, falls at 80 %"] = steps
    same = [name for name, recipe in listed.items() if name != "automatic" and recipe == auto]
    for name in same:
        del listed[name]
    return found, listed


def run(recipe, found, parts, further):
    """Train, and return what the best weights get right of the further images."""
    trained, validation = parts
    start = finetuning.start(found, recipe, list(trained.classes)) if found else None
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        made = Run.create(directory, "run")
        records = train(recipe, trained, validation, made, save_every=1e9, start=start)
        for _ in records:
            pass
        outcome = made.outcome()
        model = Model(weights.load(made.path / "best.safetensors"))
        judged = evaluate(model, further)
    right = (judged.named == judged.labels).astype(int).tolist()
    return {
        "validation": outcome["top1"],
        "right": judged.top1,
        "each": "".join(map(str, right)),
        "updates": outcome["updates"],
        "seconds": round(time.monotonic() - began, 1),
    }


def table(rows):
    """Print a line a set and start: the automatic recipe, the best other, and the ratio."""
    generator = np.random.default_rng(0)
    for name, start in dict.fromkeys((row["set"], row["start"]) for row in rows):
        own = [row for row in rows if (row["set"], row["start"]) == (name, start) and "each" in row]
        right = {}
        for row in own:
            each = np.frombuffer(row["each"].encode(), np.uint8) - ord("0")
            right.setdefault(row["arm"], []).append(each)
        best = max((arm for arm in right if arm != "automatic"), default=None, key=lambda arm: right[arm][0].mean())
        said = f"{name} from {start}: automatic {spread(right['automatic'])}"
        if best:
            ratio = [
                np.stack(right["automatic"])[:, drawn].mean() / np.stack(right[best])[:, drawn].mean()
                for drawn in generator.integers(0, FURTHER, (2000, FURTHER))
            ]
            low, high = np.quantile(ratio, [0.025, 0.975])
            whole = np.stack(right["automatic"]).mean() / np.stack(right[best]).mean()
            said += f"; {best} {spread(right[best])}; ratio {whole:.3f} ({low:.3f} to {high:.3f})"
        print(f"{said}; {len(own)} runs, {sum(row['seconds'] for row in own) / 60:.0f} minutes")


def spread(parts):
    """Write the mean over seeds, and each."""
    means = [100 * part.mean() for part in parts]
    return f"{np.mean(means):.1f} % ({', '.join(f'{mean:.1f}' for mean in means)})"


def main():
    """Run what is not there yet, the cheapest decisions first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=[*SETS, "table"])
    parser.add_argument("--from", dest="start", help="weights to begin with")
    parser.add_argument("--cifar", default="../shared/data/cifar10.zip", help="the archive of CIFAR-10")
    parser.add_argument("--output", type=Path, required=True, help="where lines of JSON are added")
    parser.add_argument("--photos", default="../shared/data/photos", help="the folder of photographs")
    parser.add_argument("--only", help="this recipe alone, on three seeds")
    given = parser.parse_args()
    if given.set == "table":
        table([json.loads(line) for line in given.output.read_text().splitlines()])
        return
    whole, judging = SETS[given.set](given)
    parts, further = divided(whole), Images(*judging, "further")
    found, listed = arms(given, len(parts[0]))
    known = {}
    if given.output.exists():
        for line in given.output.read_text().splitlines():
            row = json.loads(line)
            if (row["set"], row["start"]) == (given.set, given.start or "scratch"):
                known[row["arm"], row["seed"]] = row

    def result(arm, seed):
        if (arm, seed) not in known:
            recipe = listed[arm].but(seed=seed)
            try:
                row = run(recipe, found, parts, further)
            except Exception as error:
                row = {"right": 0.0, "error": str(error)[:80]}
            row = {"set": given.set, "start": given.start or "scratch", "arm": arm, "seed": seed} | row
            row |= {"batch": recipe.batch, "rate": recipe.rate, "epochs": recipe.epochs, "head_rate": recipe.head_rate}
            known[arm, seed] = row
            with given.output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print({k: v for k, v in row.items() if k != "each"}, file=sys.stderr)
        return known[arm, seed]["right"]

    if given.only:
        for seed in (0, 1, 2):
            result(given.only, seed)
        return
    first = {arm: result(arm, 0) for arm in listed}
    best = max((arm for arm in first if arm != "automatic"), key=first.get)
    for arm in ("automatic", best):
        for seed in (1, 2):
            result(arm, seed)


if __name__ == "__main__":
    main()
