"""How a network's function becomes a network: its name, its arguments, and what it refuses."""

import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.layers import Dense, Dropout, Softmax
from cualex.networks import arguments
from cualex.networks.network import Architecture, network


@network("sketch", smallest=4)
def sketch(classes: int = 3, crop: int = 5, mean_at: str = "crop", dropout: float = 0.0) -> Architecture:
    """Build a small network."""
    drop = Dropout(dropout) if dropout else None
    return Architecture({"drop": drop, "fc": Dense(classes), "softmax": Softmax()}, stored=crop + 1, scale=0.5)


def test_name_and_arguments_come_from_the_function():
    made = sketch(7, dropout=0.5)
    assert (made.name, made.classes, made.crop, made.stored, made.scale) == ("sketch", 7, 5, 6, 0.5)
    assert made.arguments == {"classes": 7, "crop": 5, "mean_at": "crop", "dropout": 0.5}
    assert list(made.arguments) == list(arguments.defaults(sketch))
    assert sketch(**made.arguments) == made
    assert sketch.__doc__ == "Build a small network."


def test_layers_of_none_are_left_out():
    assert list(sketch().layers) == ["fc", "softmax"]


@pytest.mark.parametrize("name", networks.names())
def test_every_network_is_made_again_from_its_arguments(name):
    made = networks.build(name)
    assert made.name == name
    usual = arguments.defaults(networks.find(name))
    assert made.arguments == {each: usual[each] for each in usual if each not in networks.find(name).later}
    assert networks.build(name, **made.arguments) == made


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"^a crop must have at least 4 pixels a side, got 3$"):
        sketch(crop=3)
    with pytest.raises(TypeError, match=r"^sketch\(\) got an unexpected keyword argument 'depth'$"):
        sketch(depth=3)
    with pytest.raises(
        UsageError, match=r"^network lenet5 with depth=3: lenet5\(\) got an unexpected keyword argument"
    ):
        networks.build("lenet5", depth=3)
