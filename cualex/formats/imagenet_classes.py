"""The names of ImageNet's 1000 classes, in the order of their WordNet numbers (n01440764 first).

That is the order of Caffe, PyTorch, TensorFlow and the ONNX zoo. The challenge's devkit numbers them otherwise.
"""

from importlib import resources

COUNT = 1000


def classes() -> list[str]:
    """Return unique class names: the first word; all words where two classes share it; and the number if needed."""
    words = [line.split(" ", 1)[1] for line in _lines()]
    first = [word.split(", ")[0] for word in words]
    names = [short if first.count(short) == 1 else full for short, full in zip(first, words, strict=True)]
    return [
        name if names.count(name) == 1 else f"{name} ({number})" for name, number in zip(names, numbers(), strict=True)
    ]


def numbers() -> list[str]:
    """Return the WordNet numbers of the classes, which are the names of ImageNet's folders."""
    return [line.split(" ", 1)[0] for line in _lines()]


def _lines() -> list[str]:
    """Return the lines of the list: number, blank, words."""
    text = resources.files(__package__).joinpath("imagenet_classes.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
