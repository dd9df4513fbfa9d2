"""Options of a training from a file (--config): the args.json of a run, or TOML or JSON with the options by name."""

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from cualex import networks
from cualex.data import image_kinds
from cualex.data.sources import hold_out
from cualex.errors import UsageError
from cualex.plan.update_rule import ORDERS
from cualex.training import finetuning, options, recipe_choice, recipes
from cualex.training.options import Form, Options, Range
from cualex.training.recipes import Recipe

# Fields without an option of their own in a file; `recipe` is a name as --recipe takes it, or the table of args.json.
APART = {"config", "resume", "given", "lost", "described"}
NAMES = {"from": "weights", "start": "weights", "set": "multipliers"}  # as the command and args.json have them
RULES: dict[str, Range | Form] = {  # of args.json: how the set was read and divided
    "split_rule": options.one_of((*hold_out.RULES,)),
    "decoding": Range(True, image_kinds.FIRST_DECODING, image_kinds.DECODING),
}
RECORDED = {"val": options.one_of((*hold_out.VALIDATING,))}  # of args.json, where a run of 0.1 has another value
RESULTS = ("colours", "pictures")  # of args.json: what follows from the data set
# Fields of a recipe that options call otherwise, and those that have other values, or no option.
OPTIONS = {"batch": "batch_size", "rate": "lr", "bias_rate": "bias_lr", "head_rate": "head_lr", "decay": "weight_decay"}
FIELDS: dict[str, Range | Form] = {
    **{
        each.name: options.VALUES[name]
        for each in fields(Recipe)
        if (name := OPTIONS.get(each.name, each.name)) in options.VALUES
    },
    "schedule": options.one_of(("", *recipes.SCHEDULES)),
    "class_weights": options.one_of(recipes.CLASS_WEIGHTS),
    "ties": options.one_of(recipes.TIES),
    "patience": Range(True, 1),
    "accumulate_order": options.one_of(ORDERS),
    "freeze": Form("a list of texts", lambda value: not isinstance(value, str) and options.texts(value)),
    "drop_epochs": Form(
        "a list of whole numbers", lambda value: not isinstance(value, str) and options.whole_numbers(value)
    ),
    "variant": Form("a table", options.table),
    "multipliers": Form("a table such as {conv1.lr: 0.1}", options.table),
}
# Options with a value, and those of a file that then do not count, since the two exclude each other.
OVERRULED: tuple[tuple[str, Callable[[Any], object], tuple[str, ...]], ...] = (
    ("weights", bool, ("pretrained", "scratch", *finetuning.OF_NETWORK)),
    ("pretrained", bool, ("weights", "scratch", *finetuning.OF_NETWORK)),
    ("scratch", bool, ("weights", "pretrained")),
    ("recipe", bool, ("paper",)),
    ("paper", bool, ("recipe",)),
    ("network", bool, ("variant",)),
    ("network", lambda value: value not in recipes.DROPPING, ("dropout",)),
    ("schedule", lambda value: value != "steps", ("drop_epochs",)),
    ("schedule", lambda value: value == "2012", ("plain_epochs",)),
    ("drop_epochs", bool, ("schedule",)),
    ("optimizer", lambda value: value == "adam", ("momentum",)),
    ("optimizer", lambda value: value != "lars", ("trust",)),
    ("augment", lambda value: not value, ("colour_noise",)),
    ("find_lr", bool, ("lr",)),
)
CLOSE = 0.8  # similarity of a typing error; with difflib's 0.6 learning-rate is mean-at

Given = TypeVar("Given", bound=Options)  # or the command's


def merged(given: Given, aliases: Mapping[str, str] | None = None) -> Given:
    """Return the options with those of their config file where none was given; the same without a file.

    aliases: other tools' names of options, and the options, for the answer to such a name.

    A run's args.json has the run's recipe, so that the same training begins again, from the same seed; other weights to
    start from than the file's have their own network, crop and mean. A given option goes before the file's options that
    it excludes, too. Raise UsageError for a file that cannot be read, an option that does not exist, and a value that
    it does not take.
    """
    if given.config is None:
        return given
    path = given.config / "args.json" if given.config.is_dir() else given.config
    try:
        found = _options(_read(path), aliases or {})
        described = found.pop("recipe") if isinstance(found.get("recipe"), dict) else None
        if described is not None:
            described = _recipe(described)
            found.setdefault("seed", described.get("seed"))
        rules = {name: found.pop(name) for name in RULES if name in found}
        values = options.of(**found)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    own = values.given - _overruled(given)
    changed = {name: getattr(values, name) for name in own if name not in given.given}
    if given.given & {"recipe", "paper"}:  # another recipe than the file's
        described = None
    if described and (given.weights or given.pretrained):
        described = {name: value for name, value in described.items() if name not in finetuning.OF_NETWORK}
    return given.but(**rules, **changed, described=described, given=given.given | own)


def _overruled(given: Options) -> set[str]:
    """Return the options of a file that given ones exclude."""
    found: set[str] = set()
    for name, overrules, others in OVERRULED:
        if name in given.given and overrules(getattr(given, name)):
            found.update(others)
    return found


def _read(path: Path) -> dict[str, Any]:
    """Read a file: JSON by its name, else TOML."""
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}); --config takes a run's args.json, or TOML") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not {kind} ({error}); --config takes a run's args.json, or TOML") from None
    if not isinstance(found, dict):
        raise UsageError(f"expected options by name, got {type(found).__name__}")
    if not found:
        raise UsageError("no option in it; --config takes a run's args.json, or TOML such as `epochs = 30`")
    return found


def _options(found: dict[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a file by the names of `Options`, without those that it leaves open."""
    own = {field.name for field in fields(Options)} - APART
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = NAMES.get(key, key.replace("-", "_"))
        if name not in own and key not in RESULTS:
            names = {each.replace("_", "-") for each in (*own.difference(RULES), *NAMES)}
            raise _unknown("option", key, {**aliases, **{each: each for each in names}}, key.replace("_", "-"))
        if name in values:
            raise UsageError(f"{key}: the same option is given twice")
        if value is None or key in RESULTS:
            continue
        expected = RULES.get(name) or options.VALUES.get(name)
        table = name == "recipe" and isinstance(value, dict)
        values[name] = options.check(key, value, expected) if expected and not table else value
    return values


def recorded(found: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a run's args.json, which a resumed run goes on with; raise UsageError for a value that no run records.

    names: the options in it that are read.
    """
    if not isinstance(found, dict):
        raise UsageError(f"expected a run's options by name, got {type(found).__name__}")
    for key in names:
        name = NAMES.get(key, key)
        expected = RECORDED.get(name) or RULES.get(name) or options.VALUES.get(name)
        if expected is not None and found.get(key) is not None:
            options.check(key, found[key], expected)
    described = found.get("recipe")
    if described is not None and not isinstance(described, dict):
        raise UsageError(f"recipe={described!r}: expected a table")
    if described:
        _recipe({key: value for key, value in described.items() if key in FIELDS})
    counts = found.get("pictures")
    if counts is not None and not (isinstance(counts, dict) and {"train", "validation"} <= counts.keys()):
        raise UsageError(f"pictures={counts!r}: expected the numbers of images")
    return found


def _recipe(described: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's table; raise UsageError for a hyperparameter that does not exist, or a value out of range."""
    checked: dict[str, Any] = {}
    for key, value in described.items():
        if key not in FIELDS:
            raise _unknown("hyperparameter of a recipe", key, {name: name for name in FIELDS}, key)
        unset = value is None and key == "bias_rate"
        checked[key] = value if unset else options.check(f"recipe.{key}", value, FIELDS[key])
    if "variant" in checked:
        network = checked.get("network", Recipe.network)
        checked["variant"] = networks.read_variant(network, checked["variant"], recipe_choice.ELSEWHERE)
    if "multipliers" in checked:
        checked["multipliers"] = recipe_choice.multipliers(checked["multipliers"])
    return checked


def _unknown(what: str, key: str, known: Mapping[str, str], spelled: str) -> UsageError:
    near = difflib.get_close_matches(spelled, known, 1, CLOSE)
    hint = f"Did you mean {known[near[0]]!r}?" if near else f"There are {', '.join(sorted(set(known.values())))}."
    return UsageError(f"no {what} is called {key!r}. {hint}")
