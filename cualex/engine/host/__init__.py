"""The engine for CPUs, in NumPy: a file an operation.

`FUSES` names the neighbours that one step of this engine can do together, forward and backward; `SAVES` what a
step of these kinds keeps for its backward pass; `BORDERS` says that maps lie with the zeros of a padded convolution
around them.
"""

from cualex.engine import Saved
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
    lrn,
    maxpool,
    relu,
    softmax,
    spatial_lrn,
    statistics,
    update,
)

FUSES = {("conv", "relu"), ("dense", "relu"), ("lrn", "maxpool")}
# Whose backward step can take the ReLU below it as well.
TAKES_RELU = {"batchnorm", "conv", "lrn", "maxpool", "spatial_lrn"}
SAVES = {
    "lrn": Saved("scale", like="input"),
    "lrn+maxpool": Saved("scale", like="input"),
    "spatial_lrn": Saved("scale", like="input"),
    "dropout": Saved("mask", like="input", dtype=bool),
}
BORDERS = True
SLOTS: tuple[int, ...] = ()  # the axes that inputs have before their own: room for batches that are loaded ahead

__all__ = [
    "BORDERS",
    "FUSES",
    "SAVES",
    "SLOTS",
    "TAKES_RELU",
    "activation",
    "averagepool",
    "batchnorm",
    "conv",
    "crop",
    "dense",
    "dropout",
    "exchange",
    "grey",
    "lrn",
    "maxpool",
    "relu",
    "softmax",
    "spatial_lrn",
    "statistics",
    "update",
]
