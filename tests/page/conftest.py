"""Chromium, for tests of the page."""

import pytest

from tests.support.chromium import NEEDED, PROGRAM


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason=NEEDED)
    if PROGRAM is None:
        pytest.skip(NEEDED)
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield opened
        opened.close()
