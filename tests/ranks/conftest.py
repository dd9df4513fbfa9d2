"""What the tests of ranks share."""

import numpy as np
import pytest
from PIL import Image

from tests.support import launches


@pytest.fixture(autouse=True)
def clean_shared_memory():
    """Remove what ranks that are killed or aborted leave in shared memory."""
    before = launches.shared_memory()
    yield
    for each in launches.shared_memory() - before:
        each.unlink(missing_ok=True)


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
