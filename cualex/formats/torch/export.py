"""Write a network as safetensors with the names and shapes of a PyTorch module's state_dict.

torchvision's AlexNet has torchvision's names, and loads into its module; the others have cualex's (conv1.weight). A
constant mean is three numbers in the metadata; a mean image is one more tensor.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from cualex.formats import conventions, plain_weights
from cualex.formats.conventions import CHANNEL_MEAN, CLASSES, MEAN, NETWORK
from cualex.system import files
from cualex.weights import Weights


def save(path: str | Path, weights: Weights) -> list[Path]:
    """Write the tensors, whole or not at all; return the files.

    Dropout becomes inverted, as in PyTorch, and the inputs of weights are in the order of the towers.
    """
    network = weights.network
    tensors = plain_weights.plain(network, weights.tensors)
    named = conventions.torch_names(network)
    tensors = {named[name]: np.ascontiguousarray(values) for name, values in tensors.items()}
    metadata = {
        NETWORK: json.dumps({"name": network.name, "arguments": network.arguments}),
        CLASSES: json.dumps(list(weights.classes)),
    }
    colour = weights.mean[0, 0]
    if np.all(weights.mean == colour):
        metadata[CHANNEL_MEAN] = json.dumps([float(number) for number in colour])
    else:
        tensors[MEAN] = np.ascontiguousarray(weights.mean)
    files.replace(path, lambda part: save_file(tensors, part, metadata))
    return [Path(path)]
