"""What the tests of ranks share."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Write 63 images of three colours."""
    place, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(63):
        pixels = rng.integers(0, 100, (16, 16, 3), np.uint8)
        pixels[..., number % 3] += 100
        folder = place / f"colour {number % 3}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return place
