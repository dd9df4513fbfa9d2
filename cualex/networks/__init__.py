"""Architectures as data, by name."""

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from cualex.errors import UsageError
from cualex.networks import arguments as words
from cualex.networks import own
from cualex.networks.alexnet import alexnet, alexnet_one_tower
from cualex.networks.alexnet_2012 import alexnet_2012
from cualex.networks.alexnet_batchnorm import alexnet_batchnorm
from cualex.networks.alexnet_tanh import alexnet_tanh
from cualex.networks.caffe import alexnet_caffe, caffenet
from cualex.networks.cifar import cifar_relu, cifar_tanh
from cualex.networks.from_file import File
from cualex.networks.lenet5 import lenet5
from cualex.networks.network import Network, Stage
from cualex.networks.torchvision import alexnet_torchvision

_NETWORKS: dict[str, Callable[..., Network]] = {
    network.name: network
    for network in (
        alexnet,
        alexnet_one_tower,
        alexnet_2012,
        alexnet_caffe,
        caffenet,
        alexnet_torchvision,
        alexnet_tanh,
        alexnet_batchnorm,
        cifar_relu,
        cifar_tanh,
        lenet5,
    )
}

ELSEWHERE = ("classes", "crop")  # arguments that follow from the data or have an option, in every command

__all__ = ["Network", "Stage", "build", "find", "named", "names", "read_variant"]


def names() -> list[str]:
    """Return the names of all networks."""
    return list(_NETWORKS)


def find(name: str) -> Callable[..., Network]:
    """Return the function that builds the network of that name.

    Of a network of one's own, FILE.py:FUNCTION, that is the function which builds it from its layers as plain values,
    and never the file.
    """
    if own.is_own(name):
        return own.builder(name)
    if name not in _NETWORKS:
        close = difflib.get_close_matches(name, _NETWORKS, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        if name.endswith(".py"):
            hint = f" For one of your own give the function too, {name}:FUNCTION."
        raise UsageError(f"no network is called {name!r}; there are {', '.join(_NETWORKS)}.{hint}")
    return _NETWORKS[name]


def build(name: str, **arguments: Any) -> Network:
    """Build a network by name; say it in one line where an argument does not fit."""
    function = find(name)
    try:
        return function(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"network {name} with {words.said(arguments)}: {error}") from error


def named(name: str, variant: Mapping[str, object] | Sequence[str] = (), **given: Any) -> Network:
    """Build the network that a user names: one of `names`, or FILE.py:FUNCTION, whose file is run.

    variant: other arguments of its function, as `--variant` has them.  given: `classes`, `crop`; not given for None.
    """
    given = {key: value for key, value in given.items() if value is not None}
    if own.is_own(name):
        return File(name).network(variant, **given)
    return build(name, **given, **read_variant(name, variant))


def read_variant(
    name: str, variant: Mapping[str, object] | Sequence[str], elsewhere: Sequence[str] = ELSEWHERE
) -> dict[str, Any]:
    """Return the arguments that a variant gives to a network: a mapping, or words such as "norm=none".

    elsewhere: arguments that are not given this way. Raise UsageError for one that the network does not take.
    """
    if own.is_own(name) and isinstance(variant, Mapping):
        return dict(variant)  # the layers, from `own.described`
    if isinstance(variant, Mapping):
        variant = [words.said({key: value}) for key, value in variant.items()]
    try:
        return words.read(find(name), [variant] if isinstance(variant, str) else variant, elsewhere)
    except ValueError as error:
        raise UsageError(f"--variant, network {name}: {error}") from None


class Networks(ModuleType):
    """This package, which can be called: `cualex.networks()` names the architectures."""

    if TYPE_CHECKING:  # mypy finds the functions of a module, but calls none: `cualex.networks` has this type
        build = staticmethod(build)
        find = staticmethod(find)
        named = staticmethod(named)
        names = staticmethod(names)
        read_variant = staticmethod(read_variant)

    def __call__(self) -> list[str]:
        """Return the names of the architectures, as `cualex.summary`, `cualex.train` and commands take them.

        >>> cualex.networks()[:3]
        ['alexnet', 'alexnet-one-tower', 'alexnet-2012']
        """
        return list(_NETWORKS)


package = cast(Networks, sys.modules[__name__])
package.__class__ = Networks
