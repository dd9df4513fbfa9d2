"""What the page is told of an image: cualex's own maps, and arithmetic that adds up to them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cualex.errors import UsageError
from cualex.layers import Dense, Softmax
from cualex.networks import Network
from cualex.page import charts, notebook, report, sections
from cualex.page.gallery import Strongest
from cualex.page.seeing import GRID, KEPT, Seer, check_alike
from cualex.weights import Weights
from tests.support import page_networks, tiny_runs


@pytest.fixture(params=page_networks.EACH)
def seer(request):
    return page_networks.seer(request.param)


@pytest.fixture
def image(seer):
    return page_networks.image(seer.weights.network)


def test_maps_and_probabilities_are_those_of_the_model(seer, image):
    names = [name for name in seer.description["layers"] if name != "image"]
    seen = seer.see(image, names)
    np.testing.assert_allclose(seen.probabilities, seer.model.probabilities(image[None])[0], rtol=1e-5, atol=1e-7)
    for block in seer.description["blocks"]:
        found = seer.model.features(image[None], block["shown"])[0].reshape(seen.layers[block["shown"]].shape)
        np.testing.assert_allclose(seen.layers[block["shown"]], found, rtol=1e-4, atol=1e-4)


def test_each_value_is_the_sum_that_the_page_works_out(seer, image):
    """z = b + sum w x, from the filter, the layer below, the factor, window, groups and towers of the description."""
    layers = seer.description["layers"]
    rng = np.random.default_rng(0)
    for block in seer.description["blocks"]:
        seen = seer.see(image, [block["below"], block["name"]]).layers
        below, found = seen[block["below"]] * block["factor"], seen[block["name"]]
        maps = layers[block["name"]]["maps"]
        index = int(rng.integers(maps))
        row, column = rng.integers(layers[block["name"]]["rows"]), rng.integers(layers[block["name"]]["columns"])
        weight, bias = seer.filter(block["name"], index)
        own = maps // block["towers"]
        if block["reads"] == "own":
            below = np.split(below, block["towers"])[index // own]
        below = np.split(below, block["groups"])[index % own // (own // block["groups"])]
        if block["window"]:
            size, stride, pad = block["window"]
            padded = np.pad(below, ((0, 0), (pad, pad + stride), (pad, pad + stride)))
            below = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
        total = bias + float(weight.astype(np.float64) @ below.ravel())
        size = float(np.abs(weight) @ np.abs(below.ravel())) + abs(bias)
        assert abs(found[index, row, column] - total) <= 1e-5 * size, block["name"]


def test_what_passes_between_towers_adds_up_to_the_products(seer, image):
    """Where one tower is off, what passes to a block is all from the other."""
    seen = seer.see(image, [block["name"] for block in seer.description["blocks"]])
    for block in seer.description["blocks"]:
        passed = np.array(seen.passed[block["name"]])
        assert passed.shape == (block["towers"], passed.shape[1])
        assert np.all(passed >= 0)
        bias = seer.weights.tensors[f"{block['name']}.bias"][:, None, None]
        sums = np.abs(seen.layers[block["name"]] - bias).reshape(block["towers"], -1).mean(axis=1)
        assert np.all(passed.sum(axis=1) >= sums * (1 - 1e-5))  # |a + b| <= |a| + |b|
    if "tower2" in seer.description["parts"]:
        passed = seer.see(image, [], ["tower2"]).passed["conv3"]
        np.testing.assert_allclose(np.array(passed)[:, 0], np.array(seen.passed["conv3"])[:, 0], rtol=1e-4)
        assert np.array(passed)[:, 1].max() < 1e-4 * np.array(passed).max()


def test_a_cover_is_the_mean_image_and_a_heat_map_is_covers():
    seer = page_networks.seer()
    image, network = page_networks.image(seer.weights.network), seer.weights.network
    covered = seer.see(image, ["image"], cover=(-4, 50, 30)).layers["image"]
    assert np.abs(covered[:, :26, 50:]).max() <= 0.5
    assert np.array_equal(covered[:, 26:], seer.see(image, ["image"]).layers["image"][:, 26:])
    rows = np.array(list(seer.heat(image, 2)))
    assert rows.shape == (GRID, GRID)
    side = round(0.24 * network.crop)
    top, left = (round((network.crop - 1) * (index + 0.5) / GRID - side / 2) for index in (3, 9))
    drop = seer.name(image)[2] - seer.name(image, cover=(top, left, side))[2]
    assert rows[3, 9] == pytest.approx(drop, abs=1e-6)


def test_grad_cam_needs_a_convolution_with_positions():
    assert page_networks.seer().methods == ["occlusion", "grad-cam", "saliency"]
    network = page_networks.weights("lenet5").network
    dense = Network("own", {"fc1": Dense(4), "prob": Softmax()}, 1, 4, network.crop, network.stored)
    shapes = dense.tensors()
    tensors = {name: np.full(shape, 0.01, np.float32) for name, shape in shapes.items()}
    seer = Seer(Weights(dense, tensors, list("abcd"), np.zeros((network.stored, network.stored, 3), np.float32)))
    assert seer.methods == ["occlusion", "saliency"]
    assert len(list(seer.heat(page_networks.image(network), 1, (), "saliency"))) == network.crop


@pytest.mark.parametrize("method", ["grad-cam", "saliency"])
def test_a_heat_map_by_gradients_is_the_models_explanation(method):
    seer = page_networks.seer()
    image, side = page_networks.image(seer.weights.network), seer.weights.network.crop
    whole = np.array(list(seer.heat(image, 2, (), method)))
    assert whole.shape == (side, side)
    np.testing.assert_allclose(whole, seer.model.explain(image, 2, method).heat, atol=0.0005001)
    other = np.array(list(seer.heat(image, 2, ["exchange"], method)))
    assert np.abs(other - whole).max() > 0.1
    other = np.array(list(seer.heat(image, 2, ["tower1"], method)))
    assert np.abs(other - whole).max() > 0.1


def test_the_files_that_compute_a_layer_exist():
    from tests import ROOT

    seer = page_networks.seer()
    assert set(seer.files) == set(seer.weights.network.layers) - {"exchange3", "exchange6", "exchange7", "join8"}
    assert seer.files["norm1"] == ["cualex/layers/lrn.py", "cualex/engine/host/lrn.py"]
    assert all((ROOT / file).is_file() for files in seer.files.values() for file in files)


def test_the_strongest_examples_are_found_a_few_at_a_time():
    seer = page_networks.seer("lenet5")
    images = [(str(seed), page_networks.image(seer.weights.network, seed)) for seed in range(9)]
    strongest = Strongest(seer, images)
    while strongest.done < len(images):
        strongest.advance(4)
    found = strongest.of("tanh1", 3)
    layers = [seer.see(image, ["tanh1"]).layers["tanh1"][3] for _, image in images]
    order = np.argsort([-layer.max() for layer in layers], kind="stable")[:6]
    assert [each["id"] for each in found] == [str(at) for at in order]
    assert all(layers[int(each["id"])][each["row"], each["column"]] == pytest.approx(each["value"]) for each in found)


def test_values_that_are_nan_excite_nothing():
    seer = page_networks.seer("lenet5")
    strongest = Strongest(seer, [("0", page_networks.image(seer.weights.network))])
    maps = {name: np.full((1, 2, 2), np.nan) for name in ("conv1", "tanh1", "tanh2", "tanh3", "tanh4", "fc5")}
    maps["tanh1"][0, 1, 0] = 3.0
    strongest.seer = SimpleNamespace(description=seer.description, maps=lambda image: maps | {"softmax": maps["fc5"]})
    strongest.advance(1)
    assert strongest.of("tanh1", 0) == [{"id": "0", "row": 1, "column": 0, "value": 3.0}]
    assert strongest.of("tanh2", 0) == []


def test_filters_that_do_not_exist_are_refused():
    seer = page_networks.seer("lenet5")
    with pytest.raises(UsageError, match=r"^conv1 has filters 0 to 5, got 6$"):
        seer.filter("conv1", 6)
    with pytest.raises(UsageError, match=r"^lenet5 has no layer 'pool1' with filters$"):
        seer.filter("pool1", 0)


def test_networks_that_are_compared_have_the_same_layers():
    check_alike([page_networks.weights(seed=1), page_networks.weights(seed=2)])
    with pytest.raises(UsageError, match=r"^--against: lenet5 has other layers than alexnet, .* as many classes$"):
        check_alike([page_networks.weights(), page_networks.weights("lenet5")])
    with pytest.raises(UsageError, match=r"or other shapes \(fc8 1 x 6 x 1 x 1, expected fc8 1 x 5 x 1 x 1\); "):
        check_alike([page_networks.weights(), page_networks.weights(classes=6)])


def test_two_seers_share_no_arrays():
    first, second = (Seer(page_networks.weights(seed=seed)) for seed in (1, 2))
    image = page_networks.image(first.weights.network)
    before = first.name(image)
    second.name(image)
    assert np.array_equal(first.name(image), before)


def test_the_last_answers_are_kept_whole(monkeypatch):
    """The page asks for layers of an image a few at a time: each question ran the network anew."""
    seer = Seer(page_networks.weights())
    images = [page_networks.image(seer.weights.network, seed) for seed in range(KEPT + 1)]
    asked, maps = [], seer.maps
    monkeypatch.setattr(seer, "maps", lambda *question: asked.append(question) or maps(*question))
    first = seer.see(images[0], ["relu1"])
    again = seer.see(images[0].copy(), ["conv1", "norm1"])
    assert len(asked) == 1
    assert list(again.layers) == ["conv1", "norm1"]
    assert (again.passed, again.probabilities.tolist()) == (first.passed, first.probabilities.tolist())
    for different in (
        {"off": ["norm"]},
        {"off": ["tower1"]},
        {"cover": (3, 4, 20)},
        {"off": ["tower1"], "cover": (3, 4, 20)},
    ):
        changed = seer.see(images[0], ["relu1", "fc8"], **different)
        assert np.array_equal(changed.layers["fc8"], maps(images[0], **different)["fc8"])
        assert not np.array_equal(changed.layers["fc8"], maps(images[0])["fc8"])
    for image in images:
        found = seer.see(image, ["fc8"]).layers["fc8"]
        assert np.array_equal(found, maps(image)["fc8"])
    assert len(seer._seen) == KEPT
    count = len(asked)
    seer.see(images[-1], ["relu5"])
    assert len(asked) == count
    seer.see(images[0], ["relu5"])  # the oldest has gone
    assert len(asked) == count + 1


def test_the_page_its_report_and_notebooks_say_that_weights_are_random(monkeypatch):
    random = tiny_runs.small_model()
    made = Weights(random.network, random.parameters.unload(), random.classes, random.mean)
    said = "Untrained: all weights are random."
    monkeypatch.setattr(charts, "plot", lambda draw, label: "")
    read = report.Report(Path("random.safetensors"), made, random)
    assert Seer(made).description["untrained"] == said
    assert f'<p class="missing">{said}</p>' in sections.headline(read)
    assert f"<p>{said}</p>" in notebook.model(random)
    trained = page_networks.seer()
    assert trained.description["untrained"] == ""
    read = report.Report(Path("trained.safetensors"), trained.weights, trained.model)
    assert "ntrained" not in sections.headline(read) + notebook.model(trained.model)
