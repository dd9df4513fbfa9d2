"""A network of two towers with every kind of layer that has a gradient to check."""

from cualex.layers import LRN, Conv, Dense, Dropout, Exchange, Join, MaxPool, ReLU, Softmax
from cualex.networks import Network

LAYERS = {
    "conv1": Conv(4, size=3, std=0.3),
    "relu1": ReLU(),
    "norm1": LRN(alpha=1.0),
    "pool1": MaxPool(size=3, stride=2),
    "conv2": Conv(6, size=3, pad=1, std=0.3, bias=0.1),
    "relu2": ReLU(),
    "pool2": MaxPool(size=2, stride=2),
    "exchange3": Exchange(),
    "fc3": Dense(8, std=0.3),
    "relu3": ReLU(),
    "drop3": Dropout(0.5),
    "join4": Join(),
    "fc4": Dense(3, std=0.3),
    "softmax": Softmax(),
}
NETWORK = Network("all", LAYERS, 2, 3, 11, stored=16, scale=1 / 16)
