"""The options of a training, for `cualex train` and `cualex.train` alike; imports nothing heavy."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

from cualex.errors import UsageError

OPTIMIZERS, SCHEDULES = ("momentum", "adam", "lars"), ("plateau", "steps", "cosine", "poly", "2012")
AUTO = "auto"
RECIPES = ("paper", "demo", "cifar", "lenet", "batchnorm", "2012", "caffe", "torchvision", "lars")
CLASS_WEIGHTS = {"balanced": "balanced", "none": ""}  # as given, and in the recipe
NEWEST = ""  # resume: the newest unfinished run

CHOICES: dict[str, tuple[str, ...]] = {
    "recipe": (AUTO, *RECIPES),
    "precision": ("fp32", "tf32", "bf16"),
    "val": ("held-out", "test"),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "class_weights": (*CLASS_WEIGHTS,),
    "colour_components": ("data", "2012"),
    "mean_at": ("crop", "centre"),
}
PATHS, TEXTS = ("data", "output", "weights", "names", "cache", "config"), ("network", "name", "device")
FLAGS = ("paper", "pretrained", "scratch", "watch", "keep", "no_pack", "no_report", "tensorboard", "augment")


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes; whole: only integers; `above` and `below`: without the bounds themselves."""

    whole: bool
    least: float
    most: float | None = None
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        low = f"above {self.least:g}" if self.above else f"of at least {self.least:g}"
        high = "" if self.most is None else f" {'below' if self.below else 'and at most'} {self.most:,g}"
        return f"a {'whole ' if self.whole else ''}number {low}{' and' if high and self.below else ''}{high}"

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        try:
            value = float(value)
        except OverflowError:  # a whole number beyond all floats
            return False
        low = value > self.least if self.above else value >= self.least
        high = self.most is None or (value < self.most if self.below else value <= self.most)
        return low and high and math.isfinite(value)


@dataclass(frozen=True)
class Form:
    """The values, other than numbers, that an option takes; said: in the words of an error."""

    said: str
    accepts: Callable[[Any], bool]

    def __str__(self) -> str:
        return self.said

    def __contains__(self, value: object) -> bool:
        return self.accepts(value)


def path(value: Any) -> bool:
    """Return whether a value is a path that a system can have."""
    return isinstance(value, str | os.PathLike) and "\0" not in str(value)


def one_of(choices: Sequence[str]) -> Form:
    """Return the form of some texts."""
    return Form(", ".join(each or '""' for each in choices), lambda value: isinstance(value, str) and value in choices)


def texts(value: Any) -> bool:
    """Return whether a value is a text, or several."""
    return isinstance(value, Sequence) and all(isinstance(each, str) for each in value)


def whole_numbers(value: Any) -> bool:
    """Return whether a value is a sequence of whole numbers."""
    return isinstance(value, Sequence) and all(each in Range(True, -math.inf) for each in value)


def table(value: Any) -> bool:
    """Return whether a value is a mapping from texts."""
    return isinstance(value, Mapping) and texts(list(value))


_COUNT, _RATE = Range(True, 1), Range(False, 0, above=True)
_SHARE, _POSITIVE = Range(False, 0, 1, below=True), Range(False, 0)
RANGES: dict[str, Range] = {
    **dict.fromkeys(("crop", "epochs", "batch_size", "accumulate", "workers"), _COUNT),
    **dict.fromkeys(("lr", "bias_lr", "head_lr", "trust"), _RATE),
    **dict.fromkeys(("momentum", "dropout", "val_split"), _SHARE),
    **dict.fromkeys(("weight_decay", "colour_noise", "save_every", "warmup"), _POSITIVE),
    **dict.fromkeys(("plain_epochs", "stop_after"), Range(True, 0)),
    "seed": Range(True, 0, 2**40 - 1),
}
VALUES: dict[str, Range | Form] = {
    **RANGES,
    **{name: one_of(choices) for name, choices in CHOICES.items()},
    **dict.fromkeys(TEXTS, Form("a text", lambda value: isinstance(value, str))),
    **dict.fromkeys(PATHS, Form("a path", path)),
    **dict.fromkeys(FLAGS, Form("true or false", lambda value: value in (True, False))),
    "variant": Form("texts such as norm=none, or a table", lambda value: texts(value) or table(value)),
    "freeze": Form("a text such as conv1,conv2, or a list of texts", texts),
    "multipliers": Form(
        "a text such as conv1.lr=0.1, or a table", lambda value: isinstance(value, str) or table(value)
    ),
    "drop_epochs": Form(
        "a text such as 6,8, or a list of whole numbers", lambda value: isinstance(value, str) or whole_numbers(value)
    ),
}


@dataclass(frozen=True)
class Options:
    """The options of a training, named as the keywords of `cualex.train`; None where a recipe or a run decides.

    save_every: minutes.  given: the names of those that the user gave, which go before the run's own on resume.
    split_rule, decoding, lost: no options; a resumed run keeps the rule that it was divided by, the version of
    decoding, and the names of the images that it could not read, which divide the set still if they were removed.
    described: no option; the recipe to begin with, of the args.json that --config names.
    """

    data: str = "demo"
    resume: str | None = None
    network: str = "alexnet"
    recipe: str = AUTO
    config: Path | None = None
    paper: bool = False
    weights: Path | None = None
    pretrained: bool = False
    scratch: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str | None = None
    output: Path = Path("runs")
    name: str = "train"
    save_every: float = 10.0
    watch: bool = False
    keep: bool = False
    tensorboard: bool = False
    no_report: bool = False
    val_split: float = 0.2
    val: str = "held-out"
    names: Path | None = None
    no_pack: bool = False
    cache: Path | None = None
    workers: int | None = None
    variant: Mapping[str, object] | Sequence[str] = ()
    crop: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    optimizer: str | None = None
    lr: float | None = None
    bias_lr: float | None = None
    head_lr: float | None = None
    warmup: float | None = None
    trust: float | None = None
    freeze: str | Sequence[str] | None = None
    multipliers: str | Mapping[str, float] | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    class_weights: str | None = None
    schedule: str | None = None
    drop_epochs: str | Sequence[int] | None = None
    plain_epochs: int | None = None
    stop_after: int | None = None
    augment: bool | None = None
    colour_noise: float | None = None
    colour_components: str | None = None
    mean_at: str | None = None
    split_rule: str | None = None
    decoding: int | None = None
    lost: tuple[str, ...] = ()
    described: Mapping[str, Any] | None = None
    given: frozenset[str] = field(default=frozenset(), kw_only=True)

    def but(self, **changed: Any) -> Self:
        """Return these options with some replaced."""
        return replace(self, **changed)

    @property
    def division(self) -> dict[str, Any]:
        """How a set is read and divided, as `sources.find` takes it."""
        from cualex.data import image_kinds
        from cualex.data.sources import hold_out

        return {
            "val_split": self.val_split,
            "split_rule": self.split_rule or hold_out.RULE,
            "val": self.val,
            "decoding": self.decoding or image_kinds.DECODING,
        }


def of(**given: Any) -> Options:
    """Return the options that were given as keywords; None is not given.

    Raise UsageError for a value that is not in `VALUES`.
    """
    given = {name: value for name, value in given.items() if value is not None}
    given |= {name: check(name, given[name], VALUES[name]) for name in given if name in VALUES}
    given |= {name: Path(given[name]) for name in PATHS if name in given}
    if "data" in given:
        given["data"] = str(given["data"])
    if resume := given.pop("resume", False):
        if resume is not True and not isinstance(resume, str | os.PathLike):
            raise UsageError(f"resume={resume!r}: expected the path of a run, or True for the newest unfinished one")
        given["resume"] = NEWEST if resume is True else os.fspath(resume)
    return Options(**given, given=frozenset(given))


def check(name: str, value: Any, expected: Range | Form) -> Any:
    """Return a value as the command reads it; raise UsageError, with the name, for one that is not expected."""
    if value not in expected:
        raise UsageError(f"{name}={value!r}: expected {expected}")
    if isinstance(expected, Range):
        return int(value) if expected.whole else float(value)
    return value
