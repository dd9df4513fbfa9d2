"""Architectures as data, by name."""

import difflib
from collections.abc import Callable
from typing import Any

from cualex.errors import UsageError
from cualex.networks.alexnet import alexnet, alexnet_one_tower
from cualex.networks.alexnet_2012 import alexnet_2012
from cualex.networks.alexnet_batchnorm import alexnet_batchnorm
from cualex.networks.alexnet_tanh import alexnet_tanh
from cualex.networks.caffe import alexnet_caffe, caffenet
from cualex.networks.cifar import cifar_relu, cifar_tanh
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

__all__ = ["Network", "Stage", "build", "find", "names"]


def names() -> list[str]:
    """Return the names of all networks."""
    return list(_NETWORKS)


def find(name: str) -> Callable[..., Network]:
    """Return the function that builds the network of that name."""
    if name not in _NETWORKS:
        close = difflib.get_close_matches(name, _NETWORKS, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(f"no network is called {name!r}; there are {', '.join(_NETWORKS)}.{hint}")
    return _NETWORKS[name]


def build(name: str, **arguments: Any) -> Network:
    """Build a network by name; say it in one line where an argument does not fit."""
    function = find(name)
    try:
        return function(**arguments)
    except (TypeError, ValueError) as error:
        said = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise UsageError(f"network {name} with {said}: {error}") from error
