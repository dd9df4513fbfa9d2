"""What the tests of ranks share."""

import pytest

from tests.support import data_sets, launches


@pytest.fixture(autouse=True)
def clean_shared_memory():
    """Remove what ranks that are killed or aborted leave in shared memory."""
    before = launches.shared_memory()
    yield
    for each in launches.shared_memory() - before:
        each.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Write images of three colours."""
    return data_sets.three_colours(tmp_path_factory.mktemp("data"))
