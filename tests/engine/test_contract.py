"""The two engines are held to their contract: the same operations, by the same names and with the same arguments."""

import inspect
import typing

import pytest

from cualex import engine
from cualex.engine.contract import Engine

ORDERED, NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
HINTS = {name: typing.get_origin(hint) or hint for name, hint in typing.get_type_hints(Engine).items()}
OPERATIONS = {name: hint for name, hint in HINTS.items() if getattr(hint, "_is_protocol", False)}
FUNCTIONS = [
    (operation, name)
    for operation, protocol in OPERATIONS.items()
    for name in dir(protocol)
    if inspect.isfunction(getattr(protocol, name)) and not name.startswith("_")
]


def test_an_engine_is_a_module_an_operation():
    for name in ("host", "cuda"):
        modules = {getattr(engine.find(name), operation).__name__ for operation in OPERATIONS}
        assert modules == {f"cualex.engine.{name}.{operation}" for operation in OPERATIONS}
    assert len(FUNCTIONS) > 30


@pytest.mark.parametrize("name", ["host", "cuda"])
@pytest.mark.parametrize(("operation", "function"), FUNCTIONS)
def test_engines_take_the_arguments_of_the_contract(name, operation, function):
    wanted = list(inspect.signature(getattr(OPERATIONS[operation], function)).parameters.values())[1:]
    given = list(inspect.signature(getattr(getattr(engine.find(name), operation), function)).parameters.values())
    assert {each.kind for each in (*wanted, *given)} <= {ORDERED, NAMED}
    assert [each.name for each in given if each.kind == ORDERED] == [
        each.name for each in wanted if each.kind == ORDERED
    ]
    named = {each.name: each for each in given if each.kind == NAMED}
    assert named.keys() == {each.name for each in wanted if each.kind == NAMED}
    needed = {each.name for each in given if each.default is each.empty}
    assert needed <= {each.name for each in wanted if each.default is each.empty}


def test_engines_differ_in_what_they_say_of_themselves_alone():
    host, cuda = engine.find("host"), engine.find("cuda")
    assert (host.fuses, host.takes_relu) == (cuda.fuses, cuda.takes_relu)
    assert (host.borders, host.slots) == (True, 0)
    assert (cuda.borders, cuda.slots) == (False, 2)
    kinds = {kind for saves in (host.saves, cuda.saves) for kinds in saves for kind in kinds.split("+")}
    assert kinds <= OPERATIONS.keys()
