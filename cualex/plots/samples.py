"""Sample images of a set as files, to predict after training on generated images."""

from pathlib import Path

import numpy as np
from PIL import Image

from cualex.data.split import Split
from cualex.system import files


def write(pack: Split, directory: str | Path) -> list[Path]:
    """Write the first image of every class as `CLASS.png` into a new directory; return the paths."""
    directory = Path(directory)
    written: list[Path] = []
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise files.cannot_write(directory, error) from error
    image = np.empty((1, pack.size, pack.size, 3), np.uint8)
    for label, index in zip(*np.unique(pack.labels, return_index=True), strict=True):
        pack.read(np.array([index]), image)
        path = directory / f"{pack.classes[label]}.png"
        files.replace(path, lambda part: Image.fromarray(image[0]).save(part, "PNG"))
        written.append(path)
    return written
