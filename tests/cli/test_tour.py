"""`cualex tour`: a file for images that can be read, and a line for what cannot."""

import json
import re
import subprocess
import sys

import pytest

from cualex import weights as weights_file
from cualex.data import images
from tests.support import json_keys, page_networks
from tests.support.colour_network import run


@pytest.fixture
def here(tmp_path):
    """A folder with weights, two images and a file that is none."""
    weights = page_networks.weights("lenet5")
    weights_file.save(tmp_path / "lenet5.safetensors", weights)
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        image = images.encoded(page_networks.image(weights.network, seed))
        (tmp_path / "photos" / f"cat {seed}.png").write_bytes(image)
    (tmp_path / "broken.png").write_bytes(b"none")
    return tmp_path


def test_a_folder_becomes_one_file(here):
    output = here / "lesson.html"
    result = run("tour", here / "photos", "-w", here / "lenet5.safetensors", "-o", output)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        rf"{re.escape(str(output))}: 2 images, and the network, which computes in the browser; \d\.\d MB\n",
        result.stdout,
    )
    held = json.loads(re.search(r'id="tour">(.*?)</script>', output.read_text("utf-8"))[1])
    assert [each["name"] for each in held["examples"]] == ["cat 0", "cat 1"]
    assert len({each["id"] for each in held["examples"]}) == 2


def test_images_that_cannot_be_read_are_skipped_and_named(here):
    output = here / "lesson.html"
    result = run(
        "tour", here / "broken.png", here / "photos", "-w", here / "lenet5.safetensors", "-o", output, "--json"
    )
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert json_keys.faults(["tour"], document) == []
    assert (document["images"], document["computes"], document["network"]) == (2, True, "lenet5")
    assert document["bytes"] == output.stat().st_size
    assert [each["picture"] for each in document["skipped"]] == [str(here / "broken.png")]


def test_without_an_image_nothing_is_written(here):
    output = here / "lesson.html"
    result = run("tour", here / "broken.png", "-w", here / "lenet5.safetensors", "-o", output)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {here / 'broken.png'}: ")
    assert not output.exists()
    assert run("tour", here / "photos", "-w", here / "none.safetensors", "-o", output).exit_code != 0
    assert not output.exists()


def test_it_needs_no_package_of_the_server(here):
    """As the extra `page` may not be installed."""
    script = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None; from cualex.cli import main; "
        f"main(['tour', {str(here / 'photos')!r}, '-w', {str(here / 'lenet5.safetensors')!r}, "
        f"'-o', {str(here / 'lesson.html')!r}])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).returncode == 0
    assert (here / "lesson.html").exists()
