"""The engine for GPUs: a file an operation, whose functions launch the kernels of kernels/.

Names and signatures are those of the host engine. The functions describe launches and wait for nothing. Maps have
no border here: a convolution is told its padding.
"""

import numpy as np

from cualex.devices.cuda import CudaDevice
from cualex.engine.contract import Engine, Saved
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
    layout,
    lrn,
    maxpool,
    relu,
    softmax,
    spatial_lrn,
    statistics,
    update,
)

ENGINE: Engine[CudaDevice] = Engine(
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
        "maxpool": Saved("choice", like="output", dtype=np.uint8),
        "lrn+maxpool": Saved("choice", like="output", dtype=np.uint8),
    },
    borders=False,
    slots=2,  # a batch is loaded while another is computed
)
