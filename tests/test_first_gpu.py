"""first_gpu.sh on the CUDA that runs on this CPU: every step is there on its page, and a failure is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
STEPS = [
    "doctor",
    "primitives",
    "profile-tf32",
    "profile-bf16",
    "benchmark-tf32",
    "benchmark-bf16",
    "self-test",
    "tests",
]


def page(folder, **settings):
    """Run the script with small products and the smallest network; return its page."""
    given = {"PYTHON": sys.executable, "EMULATED": "1", "NETWORK": "lenet5", "BATCH": "1", "WORKERS": "1"}
    environment = {**os.environ, **given, "TESTS": "tests/engine/cuda/test_update.py", **settings}
    done = subprocess.run(
        ["bash", TESTS / "first_gpu.sh", folder], env=environment, capture_output=True, text=True, check=False
    )
    text = (folder / "page.txt").read_text()
    assert done.stdout == text, done.stderr
    return text


def test_long_lines_are_cut_between_letters():
    (function,) = (line for line in (TESTS / "first_gpu.sh").read_text().splitlines() if line.startswith("shorten()"))
    words = {"input": "\u2500" * 200 + "\nshort\n", "capture_output": True, "encoding": "utf-8", "check": True}
    done = subprocess.run(["bash", "-c", f"{function}; shorten"], **words)
    assert done.stdout.splitlines() == ["    " + "\u2500" * 118, "    short"]


@pytest.mark.slow
def test_the_page_has_every_step(cuda_child, tmp_path):
    text = page(tmp_path / "out")
    for name in STEPS:
        assert f"\n{name}: ok, " in text, text
    assert text.count(" of the roofline (") == 16
    assert text.count("of the rate of a large product") == 6
    assert " passed in " in text
    assert len(text.splitlines()) < 80


@pytest.mark.slow
def test_it_says_what_failed_and_goes_on(cuda_child, tmp_path):
    text = page(tmp_path / "out", CUDART_DEVICES="0", NETWORK="none-such")
    assert "\nprofile-tf32: FAILED with exit code " in text
    assert "\ntests: " in text
    assert "in all. Send back " in text


@pytest.mark.slow
def test_steps_that_come_too_late_are_not_begun(tmp_path):
    text = page(tmp_path / "out", SECONDS_IN_ALL="0")
    assert text.count(": not run, the 0 seconds are over") == len(STEPS)
