"""A few pictures of a set as files, so that there is something to name after training on generated ones."""

from pathlib import Path

import numpy as np
from PIL import Image

from cualex.system import files


def write(pack, directory: str | Path) -> list[Path]:
    """Write the first picture of each class as `CLASS.png` into a new directory, and return the files."""
    directory, written = Path(directory), []
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise files.cannot_write(directory, error) from error
    picture = np.empty((1, pack.size, pack.size, 3), np.uint8)
    for label, index in zip(*np.unique(pack.labels, return_index=True), strict=True):
        pack.read(np.array([index]), picture)
        path = directory / f"{pack.classes[label]}.png"
        files.replace(path, lambda part: Image.fromarray(picture[0]).save(part, "PNG"))
        written.append(path)
    return written
