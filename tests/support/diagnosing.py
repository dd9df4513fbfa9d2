"""What each diagnostic says of a set, in a word or two: for the table of diagnostics.csv and for its tests."""

import numpy as np

from cualex.data import check
from cualex.data.decoding import finish
from cualex.errors import Diverged
from cualex.training import finetuning, loop
from cualex.training.debugging import gradient_check, overfit, preprocessing
from cualex.training.records import Epoch, Notice

QUIET = "quiet"


def checked(place, size):
    """Return the kinds of faults that `check` finds in a set on disk."""
    report = finish(check.check(place, size))
    return ", ".join(finding.kind for finding in report.findings if finding.fault) or QUIET


def learned_by_heart(recipe, pack, pictures=32, tries=overfit.TRIES):
    """Return how --overfit ends: quiet where the images are learned."""
    count = min(pictures, len(pack))
    try:
        *_, last = overfit.overfit(overfit.plain(recipe, count), pack, count, tries=tries)
    except Diverged:
        return "not finite"
    return QUIET if last.learned else last.ended


def gradients_checked(recipe, pack, kept=None):
    """Return the first layer that --check-gradients calls wrong."""
    begun = finetuning.begin(recipe, pack, kept)
    rows = gradient_check.check(begun, recipe.stream(pack, begun.network.crop), recipe.seed)
    return next((row.layer for row in rows if not row.right), QUIET)


def preprocessing_compared(kept, pack):
    """Return the change of the preprocessing under which `check --weights` says that the images fit better."""
    chosen = np.linspace(0, len(pack) - 1, min(preprocessing.MOST, len(pack))).astype(int)
    images = np.empty((len(chosen), pack.size, pack.size, 3), np.uint8)
    pack.read(chosen, images)
    better = preprocessing.best(list(preprocessing.fits(kept, images, pack.labels[chosen])))
    return better.change if better else QUIET


NOTICES = {"the loss stays at": "stuck", "the input of the network": "off centre"}


def trained(recipe, pack, validation, run, **settings):
    """Train; return what was said, the best and the last top-1, and what guessing has; the most dead of a layer."""
    said, top1, dead, moved = [], [0.0], {}, []
    try:
        for record in loop.train(recipe, pack, validation, run, watched=True, **settings):
            if isinstance(record, Notice):
                said += [word for start, word in NOTICES.items() if record.text.startswith(start)]
            elif isinstance(record, Epoch):
                top1.append(record.validation.top1)
                dead = record.layers.activity
                sizes = {name: size for name, size in record.layers.sizes.items() if name.endswith("weight")}
                moved += [size.change / size.mean for size in sizes.values()]
    except Diverged:
        said.append("not finite")
    share = np.bincount(validation.labels).max() / len(validation)
    return {
        "training": ", ".join(dict.fromkeys(said)) or QUIET,
        "end": (run.outcome() or {}).get("verdict", ""),
        "best top-1": f"{max(top1):.3f}",
        "last top-1": f"{top1[-1]:.3f}",
        "guessing": f"{share:.3f}",
        "|dw|/|w|": f"{min(moved, default=0):.0e} to {max(moved, default=0):.0e}",
        "dead filters": " ".join(f"{each.dead:.2f}" for each in dead.values()),
        "lost layers": " ".join(name for name, each in dead.items() if each.dead == 1) or QUIET,
    }
