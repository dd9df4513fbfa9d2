"""Names of splits: `train`, `Training`, `seg_train`, `training_set`, `test1`, `val2017`, `t10k`."""

import functools
import re
from collections.abc import Iterable

WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "pred", "prediction", "t10k", "eval", "evaluation"), "test"),
}
# Those that are splits on their own, in any capitals; `dev`, `pred` and the like are so beside another split only.
SURE = ("train", "training", "trainset", "val", "valid", "validation", "valset", "test", "testing", "testset")
# What programs put beside the word, which says nothing.
DECORATION = (
    *("set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "folder", "dir", "split", "resized"),
)


def bare(name: str) -> str | None:
    """Return the split that a single word names, in any capitals: "val" for `Valid`; None for another word."""
    return WORDS.get(name.strip().lower())


@functools.lru_cache(maxsize=10_000)
def sure(name: str) -> str | None:
    """Return the split of a folder that needs no other beside it: `Train`, `training_set`, `test1`."""
    words = parts(name)
    named = [word for word in words if word in SURE]
    if len(named) == 1 and all(word in DECORATION or word.isdigit() for word in words if word != named[0]):
        return WORDS[named[0]]
    return None


def found(names: Iterable[str]) -> dict[str, str]:
    """Return which of the folders that lie side by side are splits: {folder: split}.

    `seg_train` and `seg_test` are two, since they differ by the word alone; `train station` and `test tube` are none.
    """
    names = list(names)
    splits = {name: split for name in names if (split := sure(name))}
    common: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        words = parts(name)
        for index, word in enumerate(words):
            if word in WORDS:
                rest = tuple(part for part in (*words[:index], "*", *words[index + 1 :]) if not part.isdigit())
                common.setdefault(rest, {})[name] = WORDS[word]
    for group in common.values():
        if len(set(group.values())) > 1:
            splits = group | splits
    return {name: splits[name] for name in names if name in splits}


def parts(name: str) -> list[str]:
    """Return the words and numbers of a name in lower case: `trainingSet_2` is training, set, 2; `t10k` stays whole."""
    if name.lower() in WORDS:
        return [name.lower()]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"t10k|[^\W\d_]+|\d+", spaced.lower())
