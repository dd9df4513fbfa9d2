"""Options of a training from a file (--config): the args.json of a run, or TOML or JSON with the options by name."""

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from cualex.errors import UsageError
from cualex.training import options
from cualex.training.options import Options
from cualex.training.recipes import Recipe

# Fields without an option of their own in a file; `recipe` is a name as --recipe takes it, or the table of args.json.
APART = {"config", "resume", "given", "lost", "described"}
NAMES = {"from": "weights", "start": "weights", "set": "multipliers"}  # as the command and args.json have them
RULES = ("split_rule", "decoding")  # of args.json: how the set was read and divided
RESULTS = ("colours", "pictures")  # of args.json: what follows from the data set
CLOSE = 0.8  # similarity of a typing error; with difflib's 0.6 learning-rate is mean-at

Given = TypeVar("Given", bound=Options)  # or the command's


def merged(given: Given, aliases: Mapping[str, str] | None = None) -> Given:
    """Return the options with those of their config file where none was given; the same without a file.

    aliases: other tools' names of options, and the options, for the answer to such a name.

    A run's args.json has the run's recipe, so that the same training begins again, from the same seed. Raise UsageError
    for a file that cannot be read, an option that does not exist, and a value that it does not take.
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
    changed = {name: getattr(values, name) for name in values.given if name not in given.given}
    if given.given & {"recipe", "paper"}:  # another recipe than the file's
        described = None
    return given.but(**rules, **changed, described=described, given=given.given | values.given)


def _read(path: Path) -> dict[str, Any]:
    """Read a file: JSON by its name, else TOML."""
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}); --config takes a run's args.json, or TOML") from None
    except ValueError as error:
        raise UsageError(f"not {kind} ({error}); --config takes a run's args.json, or TOML") from None
    if not isinstance(found, dict):
        raise UsageError(f"expected options by name, got {type(found).__name__}")
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
        if value is not None and key not in RESULTS:
            values[name] = value
    return values


def _recipe(described: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's table; raise UsageError for a hyperparameter that there is none of."""
    known = [field.name for field in fields(Recipe)]
    for key in described:
        if key not in known:
            raise _unknown("hyperparameter of a recipe", key, {name: name for name in known}, key)
    return described


def _unknown(what: str, key: str, known: Mapping[str, str], spelled: str) -> UsageError:
    near = difflib.get_close_matches(spelled, known, 1, CLOSE)
    hint = f"Did you mean {known[near[0]]!r}?" if near else f"There are {', '.join(sorted(set(known.values())))}."
    return UsageError(f"no {what} is called {key!r}. {hint}")
