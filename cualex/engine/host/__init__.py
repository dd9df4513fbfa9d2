"""The engine for CPUs, in NumPy: a file an operation.

`FUSES` names the neighbours that one step of this engine can do together, forward and backward.
"""

from cualex.engine.host import conv, crop, dense, dropout, exchange, lrn, maxpool, relu, softmax, update

FUSES = {("conv", "relu"), ("dense", "relu"), ("lrn", "maxpool")}
TAKES_RELU = {"conv", "lrn", "maxpool"}  # whose backward step can take the ReLU below it as well

__all__ = [
    "FUSES",
    "TAKES_RELU",
    "conv",
    "crop",
    "dense",
    "dropout",
    "exchange",
    "lrn",
    "maxpool",
    "relu",
    "softmax",
    "update",
]
