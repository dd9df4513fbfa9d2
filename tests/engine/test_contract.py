"""The two engines are held together: the same operations, by the same names and with the same arguments."""

import inspect

import pytest

from cualex import engine

HOST, CUDA = engine.find("host"), engine.find("cuda")
MODULES = [name for name in HOST.__all__ if inspect.ismodule(getattr(HOST, name))]
# What a plan calls by name, and what plans read of an engine.
CALLED = {
    "activation": {"forward", "backward"},
    "averagepool": {"forward", "backward"},
    "batchnorm": {"forward", "infer", "backward", "backward_frozen", "average"},
    "conv": {"forward", "weight_gradient", "input_gradient", "pack", "unpack", "picture"},
    "crop": {"forward"},
    "dense": {"forward", "backward", "pack", "unpack"},
    "dropout": {"forward", "backward", "infer"},
    "exchange": {"add"},
    "grey": {"forward"},
    "lrn": {"forward", "backward", "forward_pooled", "backward_pooled"},
    "maxpool": {"forward", "backward"},
    "relu": {"forward", "backward"},
    "softmax": {"forward"},
    "spatial_lrn": {"forward", "backward"},
    "statistics": {"absolute_sums", "count_positive"},
    "update": {"Keep", "Sum", "Momentum", "Adam", "apply"},
}


def test_they_have_the_same_parts():
    assert set(HOST.__all__) == set(CUDA.__all__)
    assert set(MODULES) == set(CALLED)


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in CALLED for name in sorted(CALLED[module])])
def test_they_take_the_same_arguments(module, name):
    host, cuda = (inspect.signature(getattr(getattr(each, module), name)) for each in (HOST, CUDA))
    ordered, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    for signature in (host, cuda):
        assert {each.kind for each in signature.parameters.values()} <= {ordered, named}
    for kind, collect in ((ordered, list), (named, set)):
        ours, theirs = (
            collect(each.name for each in signature.parameters.values() if each.kind == kind)
            for signature in (host, cuda)
        )
        assert ours == theirs
