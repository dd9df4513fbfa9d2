"""The page as one file: what is in it, and that it asks for nothing else."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from cualex.data import images
from cualex.errors import UsageError
from cualex.page import tour
from cualex.page.gallery import Example
from cualex.page.seeing import Seer
from cualex.weights.quantisation import restored
from tests.support import page_networks


def examples(seer, count=2, name="a <b>&\"</script> 'image'"):
    network = seer.weights.network
    return [Example(f"{name} {seed}", images.encoded(page_networks.image(network, seed))) for seed in range(count)]


def parts(text):
    """Return what the file holds: its own data, and the bytes of its arrays."""
    block = re.search(r'id="tour">(.*?)</script>', text, re.S)[1]
    data = re.search(r'id="arrays">(.*?)</script>', text, re.S)[1]
    return json.loads(block), base64.b64decode(data)


def arrays(text):
    held, data = parts(text)
    return {
        name: np.frombuffer(data, f"<{kind}", count, offset) for name, (kind, offset, count) in held["arrays"].items()
    }


@pytest.fixture(scope="module")
def alive():
    seer = page_networks.seer()
    return tour.tour(seer, examples(seer))


@pytest.fixture
def still(monkeypatch):
    monkeypatch.setattr(tour, "MOST", 1000)
    seer = page_networks.seer()
    return tour.tour(seer, examples(seer, 1))


def addresses(text):
    """List what a browser would fetch: attributes and style sheets of the file without its data and scripts."""
    page = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.S)
    found = re.findall(r"""(?:src|href|action|poster|data)\s*=\s*["']?([^"'>\s]+)""", page)
    return [each for each in found + re.findall(r"url\(([^)]*)\)|@import", page) if not each.startswith("data:")]


@pytest.mark.parametrize("kind", ["alive", "still"])
def test_it_asks_for_nothing_else(kind, request):
    text = re.sub('(id="arrays">)[^<]*', r"\1", request.getfixturevalue(kind).text)
    assert addresses(text) == []
    known = {"http://www.w3.org/2000/svg"}  # a name, which no browser fetches
    assert set(re.findall(r"https?://[^\s\"'`)<]+", text)) <= known
    assert "fetch(" not in text
    assert not re.search(r"\bimport\s*[({\"*]", text)


def test_addresses_are_found_where_they_are():
    planted = (
        '<link href="a.css"><img src=b.png><style>p { background: url(c.png) }</style><script src="d.js"></script>'
    )
    assert addresses(planted) == ["a.css", "b.png", "d.js", "c.png"]


@pytest.mark.parametrize("kind", ["alive", "still"])
def test_its_policy_allows_its_own_script_and_style_alone(kind, request):
    text = request.getfixturevalue(kind).text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert text.index("Content-Security-Policy") < text.index("<style")
    script = re.search(r'<script type="module">(.*?)</script>', text, re.S)[1]
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    for name, body in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_names_of_images_and_classes_cannot_end_a_script(alive):
    held, _ = parts(alive.text)
    assert [each["name"] for each in held["examples"]] == [each.name for each in examples(page_networks.seer())]
    scripts = re.findall(r"<script\b", alive.text)
    assert len(scripts) == alive.text.count("</script>") == 4


def test_the_weights_are_those_of_the_network_within_their_integers():
    for seer, exact in ((Seer(page_networks.weights()), False), (_quantised(), True)):
        network, made = seer.weights.network, arrays(tour.tour(seer, examples(seer, 1)).text)
        stages = {stage.name: stage for stage in network.stages()}
        for name, tensor in seer.weights.tensors.items():
            if tensor.ndim == 1:
                np.testing.assert_array_equal(made[name], tensor)
                continue
            turned = stages[name.rpartition(".")[0]].turned("weight", tensor)
            scale = made[f"{name}.scale"].reshape(-1, *[1] * (tensor.ndim - 1))
            assert made[name].dtype == (np.int8 if exact else np.int16)
            # Half a step, and the rounding of three float32 operations.
            error = np.abs(made[name].reshape(tensor.shape) * scale - turned)
            assert np.all(error <= (1e-6 * np.abs(turned) if exact else 0.51 * scale))


def _quantised():
    from dataclasses import replace

    from cualex.weights.quantisation import quantised

    weights = page_networks.weights()
    return Seer(replace(weights, tensors=restored(quantised(weights.tensors))))


def test_a_larger_network_leaves_its_answers(still):
    seer = page_networks.seer()
    held, _ = parts(still.text)
    made, image = arrays(still.text), page_networks.image(seer.weights.network, 0)
    (identity,) = held["answers"]
    answer, layers = held["answers"][identity], seer.maps(image)
    assert not still.computes
    assert held["networks"][0]["parts"] == {}
    assert "conv2.weight" not in made
    assert 'id="engine"' not in still.text
    np.testing.assert_allclose(answer["probabilities"], seer.name(image), rtol=1e-6)
    np.testing.assert_allclose(answer["without"]["tower2"], seer.name(image, ["tower2"]), rtol=1e-6)
    np.testing.assert_allclose(answer["heat"], list(seer.heat(image, int(seer.name(image).argmax()))), atol=1e-6)
    assert answer["scales"]
    for name, maps in layers.items():
        values, scale = made[f"{identity}.{name}"], answer["scales"].get(name, {"middle": 0, "step": 1})
        step = scale["step"] if name in answer["scales"] else 1e-6
        found = (values.astype(float) - scale["middle"]) * scale["step"]
        assert np.abs(found - maps.ravel()).max() <= 0.5001 * step, name
        assert np.all(found[maps.ravel() == 0] == 0)


@pytest.mark.parametrize("kind", ["alive", "still"])
def test_heat_maps_by_gradients_are_those_of_the_likeliest_class(kind, request):
    seer, text = page_networks.seer(), request.getfixturevalue(kind).text
    example, image = parts(text)[0]["examples"][0], page_networks.image(seer.weights.network, 0)
    assert example["likeliest"] == seer.name(image).argmax()
    for method in ("grad-cam", "saliency"):
        heat = seer.model.explain(image, method=method).heat
        np.testing.assert_allclose(
            arrays(text)[f"{example['id']}.{method}"] / 255, heat.ravel(), atol=0.51 / 255 + 5e-4
        )


def test_the_file_says_its_size_and_what_stays_alive(alive, still):
    for made, words in ((alive, "It holds the network"), (still, "It holds answers for 1 image")):
        held, _ = parts(made.text)
        size = float(re.search(r"This file \((\d+\.\d) MB\) needs no net", held["kept"])[1])
        assert abs(size - len(made.text.encode()) / 1e6) <= 0.06
        assert words in held["kept"]
    assert (alive.images, alive.computes) == (2, True)


def test_the_same_image_twice_is_in_it_once():
    seer = page_networks.seer("lenet5")
    made = tour.tour(seer, [*examples(seer, 1), *examples(seer, 1, "again")])
    assert made.images == len(parts(made.text)[0]["examples"]) == 1


def test_what_the_browser_does_not_compute_leaves_its_answers():
    seer = Seer(page_networks.weights("lenet5", function="gelu"))
    assert not tour.tour(seer, examples(seer, 1)).computes


def test_a_network_that_has_diverged_is_no_tour():
    seer = page_networks.diverged()
    one = [Example("one", images.encoded(page_networks.image(seer.weights.network)))]
    with pytest.raises(
        UsageError, match=r"^one: from conv2 on the network gives NaN or Inf, so there is no tour of it"
    ):
        tour.tour(seer, one)
