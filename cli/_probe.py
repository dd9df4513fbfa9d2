"""`cualex features --probe`: a linear classifier on a layer's features of a data set."""

from pathlib import Path

import click

from cualex.cli import _model, _output, _packing
from cualex.errors import DataError, Unreadable

AT_ONCE = 256  # images whose features are computed between two signs of progress


def run(data: str, layer: str | None, weights: Path | None, device: str, precision: str | None, as_json: bool) -> None:
    """Probe a layer with the training images of a data set, judge on the held-out ones, and print the result."""
    import numpy as np

    from cualex.data import sources
    from cualex.explain import probe

    source = sources.find(data)
    for note in source.notes:
        _output.say(f"Note: {note}")
    held_out = source.validation or ("test" if "test" in source.splits else None)
    if held_out is None or "train" not in source.splits:
        raise DataError(f"{source.name} has no {'training' if held_out else 'held-out'} images: a probe needs both")
    path, model = _model.load(weights, device, precision, bundled=True)
    layer = layer or model.hidden
    model.network.require([layer])
    packs = _packing.packs(source, ["train", held_out], model.network.stored, keep=False)
    features, labels = {}, {}
    for name, pack in packs.items():
        parts = []
        with _output.Progress(f"Computing {name}", len(pack)) as progress:
            for first in range(0, len(pack), AT_ONCE):
                indices = np.arange(first, min(first + AT_ONCE, len(pack)))
                images = np.empty((len(indices), pack.size, pack.size, 3), np.uint8)
                pack.read(indices, images)
                parts.append(model.features(images, layer))
                progress(int(indices[-1]) + 1)
        features[name] = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        labels[name] = np.asarray(pack.labels)
    found = probe(features["train"], labels["train"], features[held_out], labels[held_out], len(source.classes))
    skipped = [each for pack in packs.values() for each in pack.skipped]
    _show(found, source, held_out, layer, path, skipped, as_json)
    if not found.converged:
        _output.say(f"Note: the fit ended after {found.steps} steps with a gradient of {found.gradient:.1g}.")
    if skipped:
        total = found.images + found.held_out + len(skipped)
        raise Unreadable(f"{len(skipped):,} of {total:,} images could not be read; the others are probed.")


def _show(found, source, held_out: str, layer: str, weights: Path, skipped, as_json: bool) -> None:
    """Print the result as a line, or as JSON."""
    low, high = found.interval
    if not as_json:
        click.echo(
            f"{source.name}: a linear classifier on {layer} ({found.features:,} features) of {found.images:,} images "
            f"has {found.accuracy:.1%} of {found.held_out:,} held-out images right (95 % interval {low:.1%} to "
            f"{high:.1%}), {found.fitted:.1%} of those that it was fitted to"
        )
        return
    counts = {"features": found.features, "images": found.images, "held_out": found.held_out, "right": found.right}
    shares = {"accuracy": found.accuracy, "interval": [low, high], "fitted_accuracy": found.fitted}
    fit = {"steps": found.steps, "gradient": found.gradient, "converged": found.converged}
    head = {"data": source.name, "split": held_out, "weights": weights, "layer": layer, "classes": len(source.classes)}
    left_out = [{"name": name, "reason": reason} for name, reason in skipped]
    _output.document(head | counts | shares | fit | {"skipped": left_out})
