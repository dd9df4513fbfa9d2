"""The engine for GPUs: a file an operation, whose functions launch the kernels of kernels/.

Names and signatures are those of the host engine. The functions describe launches and wait for nothing. Maps have
no border here: a convolution is told its padding.
"""

import numpy as np

from cualex.engine import Saved
from cualex.engine.cuda import (
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
    "maxpool": Saved("choice", like="output", dtype=np.uint8),
    "lrn+maxpool": Saved("choice", like="output", dtype=np.uint8),
}
BORDERS = False  # whether maps are stored inside a border of zeros
SLOTS = (2,)  # the axes that inputs have before their own: a batch is loaded while another is computed

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
