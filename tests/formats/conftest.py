"""What tests of imports share."""

import pytest

from cualex.formats import load as loading


@pytest.fixture
def imported(tmp_path):
    """Import a file: the weights, and the lines as a dictionary."""

    def load(data, **options):
        (tmp_path / "file").write_bytes(data)
        held, lines = loading.load(tmp_path / "file", **options)
        return held, dict(lines)

    return load
