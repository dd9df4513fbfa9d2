"""The engine for CPUs, in NumPy: a file an operation. Its functions compute, and are done when they return."""

from cualex.devices.host import HostDevice
from cualex.engine.contract import Engine, Saved
from cualex.engine.host import (
    activation,
    averagepool,
    batchnorm,
    conv,
    crop,
    dense,
    dropout,
    exchange,
    grey,
    layout,
    lrn,
    maxpool,
    relu,
    softmax,
    spatial_lrn,
    statistics,
    tree,
    update,
)

ENGINE: Engine[HostDevice] = Engine(
    activation=activation,
    averagepool=averagepool,
    batchnorm=batchnorm,
    conv=conv,
    crop=crop,
    dense=dense,
    dropout=dropout,
    exchange=exchange,
    grey=grey,
    layout=layout,
    lrn=lrn,
    maxpool=maxpool,
    relu=relu,
    softmax=softmax,
    spatial_lrn=spatial_lrn,
    statistics=statistics,
    update=update,
    saves={
        "lrn": Saved("scale", like="input"),
        "lrn+maxpool": Saved("scale", like="input"),
        "spatial_lrn": Saved("scale", like="input"),
        "dropout": Saved("mask", like="input", dtype=bool),
    },
    borders=True,
    slots=0,
    tree=tree,
)
