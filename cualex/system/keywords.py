"""Keywords of the public functions: one that does not exist is an error in one line, which names the nearest."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from cualex.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


def known(function: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Raise UsageError unless all given keywords are among the names that a function has."""
    names = list(names)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"{function}() has no keyword {name!r}; there are {', '.join(names)}.{hint}")


def checked(**former: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a public function, so that a wrong keyword is a UsageError; former: old names of its keywords."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters.values()
        names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD and each.name != "self"]

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given: Any = {former.get(name, name): value for name, value in kwargs.items()}
            known(function.__name__, given, names)
            return function(*args, **given)

        return call

    return decorate
