"""Layers as frozen numbers: shapes, parameters and the engine functions that make them.

They can be called with arrays (calls.py): `y = LRN()(x)`, `y = Conv(8, size=3)(x, weight, bias)`, `y.backward(dy)`.
"""

from cualex.layers.activation import Activation, activation
from cualex.layers.averagepool import AveragePool
from cualex.layers.batchnorm import BatchNorm
from cualex.layers.conv import Conv
from cualex.layers.dense import Dense
from cualex.layers.dropout import Dropout, MeanDropout
from cualex.layers.grey import Grey
from cualex.layers.layer import Layer, Parameter, Reading
from cualex.layers.lrn import LRN
from cualex.layers.maps import Shape
from cualex.layers.maxpool import MaxPool
from cualex.layers.relu import ReLU
from cualex.layers.softmax import Softmax
from cualex.layers.spatial_lrn import SpatialLRN
from cualex.layers.towers import Exchange, Join

__all__ = [
    "LRN",
    "Activation",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Exchange",
    "Grey",
    "Join",
    "Layer",
    "MaxPool",
    "MeanDropout",
    "Parameter",
    "ReLU",
    "Reading",
    "Shape",
    "Softmax",
    "SpatialLRN",
    "activation",
]
