"""What a reader has found in a file."""

from dataclasses import dataclass, field

from cualex.formats.reading.tensors import Tensor


@dataclass
class Found:
    """Hold a file's tensors by name, not yet read, and what else it says of its network.

    format: caffe, onnx, torch, safetensors or numpy.  kind: what the file is, in words.
    layers: (name, type) in the order of computing, where the file has them.
    numbers: (kind of layer, name, numbers as our layers have them), in that order too.  notes: text by name.
    sums: whether a changed byte of a tensor would be noticed.
    """

    format: str
    kind: str
    tensors: dict[str, Tensor]
    layers: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[tuple[str, str, dict]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    sums: bool = False
