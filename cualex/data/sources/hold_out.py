"""Hold images of train out for validation, by named rules.

A run records its rule in args.json, so that its images stay in their split when new runs get another rule.

`hash-threshold-2`, of new runs: as `hash-threshold-1`, but the number of images that a class of n gives is kept near
its share p: at least floor(p n - s), at most ceil(p n + s), with the slack s = (n - 20) min(0.1, p, 1 - p), 0 up to 20
images. So small classes of one size give as many, to one image: two classes of 10 give 2 and 2, and not 1 and 4, of
which no accuracy could be told. From about 200 images on, where s exceeds three standard deviations, it divides as
`hash-threshold-1` nearly always does. Where the bounds act, the images with the smallest hashes are taken. Either bound
grows by one at the most with every image, so that a new image moves one other at the most, of its own class; it does so
more often where classes are small.

`hash-threshold-1`: an image is in val when the first 64 bits of SHA-256(seed, name), read as a fraction of 2**64, are
below the share. The name is the path below the folder of the classes, in Unicode's form NFC: a folder, its archive, and
either of them inside a wrapping folder or below train/, are divided alike. So the class of an image is part of its name
where classes are folders, and is not where a list names them. The parts are not exact: at a share of 20 % a class of 40
gives 8 images with a standard deviation of 2.5.

A class of two images or more must be in both splits. No rule can do this and never move an image when another is added:
if it never did, each image would have one split, whatever classmates it has; of any three images two would have the
same, and these two alone would be a class in one split. So the threshold has exceptions, and they are kept to these:
where all images of a class lie on one side of it, the image nearest to it goes to the other split; one image alone
stays in train. Hence the promise:

    Adding or removing an image moves no image of another class, and none of its own class as long as the class without
    it has images on both sides of the threshold. Otherwise it moves one image at the most. (An image that changes which
    folders are the classes, such as the first beside a wrapping folder, changes the names of all.)

With a share p and q = 1 - p, the chance that the next image moves one of the n >= 2 that its class has is

    q^n (p + q / (n + 1)) + p^n (q + p / (n + 1))

At 20 % that is 1/3 for n = 2, 11 % for 5, 2.9 % for 10, 0.27 % for 20, 0.003 % for 40; and 1/2 for n = 1. For n = 1 and
n = 2 no rule has less: of the ways to add the last of two images one moves the other, and of the three ways to add the
last of three one or more does. For larger n no rule has less that follows the threshold wherever that leaves both
splits an image: the image on the other side goes back when a new one takes that side, and of n + 1 on one side, it is
one of them, without which another must take its part. A larger share adds images to val and takes none away.

`hash-rank-0`, of cualex 0.1: the nearest whole number of images to the share, those with the smallest
SHA-256(seed, path). That number grows with the class, so about every fifth new image moves another at 20 %.
"""

import hashlib
import math
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

from cualex.data import image_kinds
from cualex.data.sources.classless import Arranged
from cualex.data.sources.listing import File, order
from cualex.errors import UsageError

RULE, FIRST_RULE = "hash-threshold-2", "hash-rank-0"  # of new runs, and of those of cualex 0.1
EVEN = 20  # images of a class up to which the number that is held out is the share's, to one image
SLACK = 0.1  # images more or fewer for each image beyond

# The validation split: the first of these that a set has; without any a part of train, except for "test", which must
# exist.
VALIDATING = {"held-out": ("val",), "test": ("test",), "val-or-test": ("val", "test")}
FIRST_VALIDATING = "val-or-test"  # of cualex 0.1


def of_run(arguments: dict) -> dict:
    """Return a run's arguments of sources.find that divide the set; runs of cualex 0.1 recorded val_split alone."""
    before = {
        "val_split": 0.2,
        "split_rule": FIRST_RULE,
        "val": FIRST_VALIDATING,
        "decoding": image_kinds.FIRST_DECODING,
    }
    return {name: arguments.get(name, default) for name, default in before.items()}


def divide(arranged: Arranged, roots: Sequence[str], share: float, seed: int, rule: str) -> tuple[Arranged, int]:
    """Move a fraction of every class of train to val: return all splits, and the number of images moved.

    roots: the folders of train; only the part of a name below them counts.

    Raise UsageError for an unknown rule.
    """
    if rule not in RULES:
        raise UsageError(
            f"split rule {rule!r}: expected {' or '.join(RULES)}. "
            "Use the version of cualex that has it, or start a new run."
        )
    train: dict[str, list[File]] = {}
    val: dict[str, list[File]] = {}
    for name, files in arranged["train"].items():
        taken = {file.name for file in RULES[rule](files, roots, share, seed)}
        train[name] = [file for file in files if file.name not in taken]
        if taken:
            val[name] = [file for file in files if file.name in taken]
    others = {split: groups for split, groups in arranged.items() if split != "train"}
    divided = {"train": train, "val": val, **others} if val else arranged
    return divided, sum(len(files) for files in val.values())


def _by_threshold(
    bounds: Callable[[int, float], tuple[int, int]], files: list[File], roots: Sequence[str], share: float, seed: int
) -> list[File]:
    """Return the images whose hash is below the share, as many as `bounds` allows.

    Of two images or more it is at least one, but never all.
    """
    below = share * 2**64  # exact: only the exponent changes
    hashes = {file.name: int.from_bytes(_sha256(seed, _inside(file.name, roots))[:8], "big") for file in files}
    # Two spellings of one name have one hash and stay in the order of their bytes.
    ranked = sorted(files, key=lambda file: hashes[file.name])
    least, most = bounds(len(files), share)
    return ranked[: _in_both(min(max(sum(value < below for value in hashes.values()), least), most), len(files))]


def _near_share(count: int, share: float) -> tuple[int, int]:
    """Return how many images a class of `count` gives at least and at most."""
    slack = max(0, count - EVEN) * min(SLACK, share, 1 - share)
    rounding = 1e-9  # 0.2 * 15 is a little more than 3
    return math.floor(share * count - slack + rounding), math.ceil(share * count + slack - rounding)


def _any(count: int, share: float) -> tuple[int, int]:
    """Return that any number of images will do."""
    return 0, count


def _by_rank(files: list[File], _: Sequence[str], share: float, seed: int) -> list[File]:
    """Return the images with the smallest hashes, as many as the share rounds to."""
    ranked = sorted(files, key=lambda file: _sha256(seed, file.name))
    return ranked[: _in_both(math.floor(share * len(files) + 0.5), len(files))]


RULES: dict[str, Callable[[list[File], Sequence[str], float, int], list[File]]] = {
    RULE: partial(_by_threshold, _near_share),
    "hash-threshold-1": partial(_by_threshold, _any),
    FIRST_RULE: _by_rank,
}


def _in_both(count: int, total: int) -> int:
    """Clip the count for val so that both splits have an image where there are two or more; one stays in train."""
    return min(total - 1, max(1, count))


def _sha256(seed: int, name: str) -> bytes:
    return hashlib.sha256(b"%d/" % seed + order(name)).digest()


def _inside(name: str, roots: Sequence[str]) -> str:
    """Return an image's name below the folder of the classes, in Unicode's form NFC."""
    root = next(root for root in roots if name.startswith(root))
    return unicodedata.normalize("NFC", name[len(root) :])
