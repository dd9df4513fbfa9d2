"""The engine for GPUs: a file an operation, whose functions launch the kernels of kernels/.

Names and signatures are those of the host engine. The functions describe launches and wait for nothing. Maps have
no border here: a convolution is told its padding.
"""

from cualex.engine.cuda import update

FUSES = {("conv", "relu"), ("dense", "relu"), ("lrn", "maxpool")}
TAKES_RELU = {"conv", "lrn", "maxpool"}  # whose backward step can take the ReLU below it as well
BORDERS = False  # whether maps are stored inside a border of zeros

__all__ = ["BORDERS", "FUSES", "TAKES_RELU", "update"]
