"""What the tests of training share."""

import pytest

from tests.support import data_sets


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write images of three colours."""
    return data_sets.three_colours(tmp_path_factory.mktemp("data"))
