"""Arguments of a network's function as words: NAME=VALUE, in the type of the argument's own value."""

import inspect
from collections.abc import Callable, Sequence

TRUTHS = {"yes": True, "true": True, "no": False, "false": False}


def defaults(function: Callable) -> dict:
    """Return the arguments of a network's function with their default values."""
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}


def read(function: Callable, words: Sequence[str], said_elsewhere: Sequence[str] = ()) -> dict:
    """Return the arguments that words such as "norm=none" give to a function, whose arguments all have defaults.

    said_elsewhere: arguments that are not given this way. Raise ValueError for another form of word, an argument that
    the function has not or that is given twice, or a value of another type; the function checks the values themselves.
    """
    all_of_them = defaults(function)
    own = {name: value for name, value in all_of_them.items() if name not in said_elsewhere}
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise ValueError(f"{word!r}: expected NAME=VALUE, of {said(own)}")
        if name in all_of_them and name not in own:
            raise ValueError(f"{name} cannot be set here: it has its own option, or follows from the data")
        if name not in own:
            raise ValueError(f"no argument is called {name!r}; there are {said(own)}")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = _value(name, value, type(own[name]))
    return found


def said(arguments: dict) -> str:
    """Write arguments as words; the layers of a network of one's own are counted."""
    if isinstance(layers := arguments.get("layers"), dict):
        return f"{len(layers)} layers"
    return ", ".join(f"{name}={_word(value)}" for name, value in arguments.items())


def _value(name: str, text: str, kind: type):
    if kind is bool:
        if text not in TRUTHS:
            raise ValueError(f"{name}={text}: expected yes or no")
        return TRUTHS[text]
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}={text}: expected {what}") from None


def _word(value) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
