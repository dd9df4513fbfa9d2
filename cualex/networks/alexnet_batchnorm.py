"""The AlexNet of the Keras lectures: one tower, batch normalisation in place of LRN, and a dense layer more.

    image 224x224  conv1 54  pool1 27  conv2 17  pool2 8  conv3 6  conv4 4  conv5 2  pool5 1  fc6 fc7 fc8 fc9

Nothing is padded, so conv2's filters of 11x11 and the small maps above it leave 256 features. The order is that of
the lectures: ReLU, pooling or dropout, and the norm last; dropout is inverted, as Keras has it. Initial weights are
Glorot's. The lectures divide images by 255; here the mean image is taken away before. The running averages move
by a hundredth an update, and need some hundred to forget what they began with: until then validation lags behind.
"""

from cualex.layers import BatchNorm, Conv, Dense, Dropout, Layer, MaxPool, ReLU, Softmax
from cualex.networks.network import Architecture, network
from cualex.networks.variants import scaled


@network("alexnet-batchnorm", smallest=215)
def alexnet_batchnorm(
    classes: int = 17, crop: int = 224, dropout: float = 0.4, width: float = 1.0, mean_at: str = "crop"
) -> Architecture:
    """Build the network; `dropout` is the share dropped after the hidden dense layers, 0 for none.

    `width` scales the filters and units of all layers but the last.
    """

    def convolution(number: int, filters: int, size: int, stride: int = 1, pool: bool = True) -> dict[str, Layer]:
        return {
            f"conv{number}": Conv(scaled(filters, width), size=size, stride=stride, std=None),
            f"relu{number}": ReLU(),
            **({f"pool{number}": MaxPool(size=2, stride=2)} if pool else {}),
            f"norm{number}": BatchNorm(),
        }

    def dense(number: int, outputs: int) -> dict[str, Layer]:
        return {
            f"fc{number}": Dense(scaled(outputs, width), std=None),
            f"relu{number}": ReLU(),
            **({f"drop{number}": Dropout(dropout, inverted=True)} if dropout else {}),
            f"norm{number}": BatchNorm(),
        }

    layers = {
        **convolution(1, 96, size=11, stride=4),
        **convolution(2, 256, size=11),
        **convolution(3, 384, size=3, pool=False),
        **convolution(4, 384, size=3, pool=False),
        **convolution(5, 256, size=3),
        **dense(6, 4096),
        **dense(7, 4096),
        **dense(8, 1000),
        "fc9": Dense(classes, std=None),
        "softmax": Softmax(),
    }
    return Architecture(layers, stored=round(crop * 256 / 224), scale=1 / 255)
