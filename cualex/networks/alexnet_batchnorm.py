"""The AlexNet of the Keras lectures: one tower, batch normalisation in place of LRN, and a dense layer more.

    picture 224x224  conv1 54  pool1 27  conv2 17  pool2 8  conv3 6  conv4 4  conv5 2  pool5 1  fc6 fc7 fc8 fc9

Nothing is padded, so conv2's filters of 11x11 and the small maps above it leave 256 features. The order is that of
the lectures: ReLU, pooling or dropout, and the norm last; dropout is inverted, as Keras has it. Initial weights are
Glorot's. The lectures divide pictures by 255; here the mean picture is taken away before. The running averages move
by a hundredth an update, and need some hundred to forget what they began with: until then validation lags behind.
"""

from cualex.layers import BatchNorm, Conv, Dense, Dropout, MaxPool, ReLU, Softmax
from cualex.networks.network import Network
from cualex.networks.variants import scaled

SMALLEST = 215  # of the crops that leave one value a map after the last pool


def alexnet_batchnorm(
    classes: int = 17, crop: int = 224, dropout: float = 0.4, width: float = 1.0, mean_at: str = "crop"
) -> Network:
    """Build the network; `dropout` is the share dropped after the hidden dense layers, 0 for none.

    `width` scales the filters and units of all layers but the last.
    """
    if crop < SMALLEST:
        raise ValueError(f"a crop must have at least {SMALLEST} pixels a side, got {crop}")

    def convolution(number: int, filters: int, size: int, stride: int = 1, pool: bool = True):
        return {
            f"conv{number}": Conv(scaled(filters, width), size=size, stride=stride, std=None),
            f"relu{number}": ReLU(),
            **({f"pool{number}": MaxPool(size=2, stride=2)} if pool else {}),
            f"norm{number}": BatchNorm(),
        }

    def dense(number: int, outputs: int):
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
    arguments = {"classes": classes, "crop": crop, "dropout": dropout, "width": width, "mean_at": mean_at}
    return Network(
        "alexnet-batchnorm",
        layers,
        1,
        classes,
        crop,
        stored=round(crop * 256 / 224),
        scale=1 / 255,
        mean_at=mean_at,
        arguments=arguments,
    )
