"""The meaning of tensors in the files of other programs: a table for every source, data and not code.

For every source: the network that computes the same, the names of its tensors, the order of axes and of colours, the
mean that is subtracted, and remarks for the user.
"""

from dataclasses import dataclass

from cualex.networks import Network

# Names of the metadata in files that cualex exports, and of their mean image.
NETWORK, CLASSES, CHANNEL_MEAN = "cualex.network", "cualex.classes", "cualex.mean"
MEAN = "preprocessing.mean"

CAFFE_MEAN = (122.67891, 116.66877, 104.00699)  # RGB: ilsvrc_2012_mean.npy, averaged over the image
TORCH_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@dataclass(frozen=True)
class Convention:
    """The layout of an AlexNet in one source.

    formats: the file formats it comes in.  network: the name of the same network here.  names: canonical name -> name
    in the file.  conv: the order of a filter's axes, of O (filters), I (channels), H, W.  dense: OI or IO.
    flatten: the order of maps before the first dense layer, CHW or HWC.  colours: RGB or BGR.  mean: RGB, unless
    another is given; None where the file has one.  order: LRN and pooling in sequence, where that distinguishes two
    networks.  plain: dropout is inverted and inputs are in the order of the towers, whatever the network has.
    resized: the graph in the file has maps of other sizes.  remarks: sentences for the user.
    """

    title: str
    formats: tuple[str, ...]
    network: str
    names: dict[str, str]
    conv: str = "OIHW"
    dense: str = "OI"
    flatten: str = "CHW"
    colours: str = "RGB"
    mean: tuple[float, float, float] | None = None
    order: tuple[str, ...] = ()
    plain: bool = False
    resized: bool = False
    remarks: tuple[str, ...] = ()


def _numbered(form: str, weight: str, bias: str) -> dict[str, str]:
    """Return the names of weight and bias of the eight layers, by a pattern."""
    kinds = {"weight": weight, "bias": bias}
    return {f"{layer}.{kind}": form.format(layer, last) for layer in LAYERS for kind, last in kinds.items()}


_BLOBS = _numbered("{}.{}", "0", "1")
_ZOO = _numbered("{}_{}_0", "w", "b")
_MODULES = dict(zip(LAYERS, ("features.0", "features.3", "features.6", "features.8", "features.10"), strict=False)) | {
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
_TORCHVISION = {f"{layer}.{last}": f"{_MODULES[layer]}.{last}" for layer in LAYERS for last in ("weight", "bias")}

_KERNEL, _GAMMA = {"weight": "kernel", "bias": "bias"}, {"weight": "gamma", "bias": "beta"}
_KERAS = {
    f"{ours}{number + add}.{last}": f"{theirs}.{number}.{part}"
    for ours, theirs, count, add, parts in (
        ("conv", "conv", 5, 0, _KERNEL),
        ("norm", "norm", 8, 0, _GAMMA),
        ("fc", "dense", 4, 5, _KERNEL),
        ("norm", "norm", 8, 0, {"mean": "mean", "variance": "variance"}),
    )
    for number in range(1, count + 1)
    for last, part in parts.items()
}

_WARPED = (
    "squeezed: Caffe squeezes them to 256x256 whatever their sides; here the shorter side becomes 256 and the middle "
    "square is kept."
)
_ZOO_SIZE = (
    "geometry: the zoo's graph reads 224 pixels and has maps of 54, 26 and 12; its weights were trained at 227 with "
    "55, 27 and 13, and so they run here: the answers of the zoo's own graph differ."
)
_SMALLER = "squeezed: that script squeezes them to 227x227; here the shorter side becomes 256 and the middle is seen."
_DIVIDED = (
    "assumed: images were divided by 255 and no mean was subtracted, as in the lectures; --mean gives another mean."
)

_NORMALISED_FIRST = ("LRN", "pooling", "LRN", "pooling", "pooling")
_POOLED_FIRST = ("pooling", "LRN", "pooling", "LRN", "pooling")

CONVENTIONS = (
    Convention(
        title="Caffe's AlexNet (bvlc_alexnet)",
        formats=("caffe",),
        network="alexnet-caffe",
        names=_BLOBS,
        colours="BGR",
        mean=CAFFE_MEAN,
        order=_NORMALISED_FIRST,
        remarks=(_WARPED,),
    ),
    Convention(
        title="Caffe's reference network (bvlc_reference_caffenet)",
        formats=("caffe",),
        network="caffenet",
        names=_BLOBS,
        colours="BGR",
        mean=CAFFE_MEAN,
        order=_POOLED_FIRST,
        remarks=(_WARPED,),
    ),
    Convention(
        title="the ONNX zoo's bvlcalexnet",
        formats=("onnx",),
        network="alexnet-caffe",
        names=_ZOO,
        colours="BGR",
        mean=CAFFE_MEAN,
        order=_NORMALISED_FIRST,
        resized=True,
        remarks=(_ZOO_SIZE, _WARPED),
    ),
    Convention(
        title="the ONNX zoo's bvlcreference_caffenet",
        formats=("onnx",),
        network="caffenet",
        names=_ZOO,
        colours="BGR",
        mean=CAFFE_MEAN,
        order=_POOLED_FIRST,
        resized=True,
        remarks=(_ZOO_SIZE, _WARPED),
    ),
    Convention(
        title="torchvision's AlexNet",
        formats=("torch", "safetensors", "onnx"),
        network="alexnet-torchvision",
        names=_TORCHVISION,
        mean=TORCH_MEAN,
    ),
    Convention(
        title="Caffe's AlexNet as a NumPy dictionary for TensorFlow (bvlc_alexnet.npy)",
        formats=("numpy",),
        network="alexnet-caffe",
        names=_BLOBS,
        conv="HWIO",
        dense="IO",
        flatten="HWC",
        colours="BGR",
        mean=CAFFE_MEAN,
        remarks=(_SMALLER,),
    ),
    Convention(
        title="the AlexNet of the Keras lectures",
        formats=("keras",),
        network="alexnet-batchnorm",
        names=_KERAS,
        conv="HWIO",
        dense="IO",
        flatten="HWC",
        mean=(0.0, 0.0, 0.0),
        remarks=(_DIVIDED,),
    ),
)


def cualex_names(network: str, names: list[str]) -> Convention:
    """Return the convention of files with cualex's names, from `cualex export` or PyTorch."""
    return Convention(
        title="cualex's own names",
        formats=("torch", "safetensors", "onnx"),
        network=network,
        names={name: name for name in names},
        plain=True,
    )


def torch_names(network: Network) -> dict[str, str]:
    """Return canonical name -> name in a PyTorch module's state_dict."""
    if network.name == "alexnet-torchvision":
        return _TORCHVISION
    return {name: name for name in network.tensors()}
