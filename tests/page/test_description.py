"""The page's description of every network: blocks, links and receptive fields, from the list of layers."""

import numpy as np
import pytest

from cualex import networks
from cualex.layers import Conv, Dense
from cualex.networks import summary
from cualex.page.description import describe
from tests.support import page_networks


def test_every_named_network_has_a_small_one_here():
    assert set(page_networks.SMALL) == set(networks.names())


@pytest.mark.parametrize("name", page_networks.EACH)
def test_blocks_are_the_layers_with_filters_and_their_layers_are_all_that_change_values(name):
    seer = page_networks.seer(name)
    network, found = seer.weights.network, seer.description
    assert [block["name"] for block in found["blocks"]] == [
        key for key, layer in network.layers.items() if isinstance(layer, Conv | Dense)
    ]
    inside = [layer for block in found["blocks"] for layer in block["layers"]]
    passing = ("exchange", "join", "dropout", "grey")
    assert inside == [key for key, layer in network.layers.items() if layer.kind not in passing]
    for stage in network.stages():
        if stage.name in found["layers"]:
            layer = found["layers"][stage.name]
            assert (layer["maps"], layer["rows"], layer["columns"]) == (
                stage.output[0] * stage.towers,
                *stage.output[1:],
            )


def test_alexnet_at_full_size_is_the_papers():
    network = networks.build("alexnet")
    found = describe(network, ["n01440764", "other", *map(str, range(998))])
    blocks = {block["name"]: block for block in found["blocks"]}
    assert [name for name, block in blocks.items() if block["reads"] == "all"] == ["conv3", "fc6", "fc7", "fc8"]
    assert blocks["conv1"]["reads"] == "image"
    sent = {row.layer: row.sent_forward for row in summary.rows(network)}
    assert blocks["conv3"]["crosses"] == sent["exchange3"][0] == 21632
    assert [blocks[name]["factor"] for name in ("fc6", "fc7", "fc8")] == [1, 0.5, 0.5]
    assert blocks["conv2"]["after"] == ["norm", "pool", "exchange"]
    assert found["layers"]["relu1"]["field"] == (11, 4, 0)
    assert found["layers"]["pool5"]["field"] == (195, 32, -64)
    assert found["layers"]["relu6"]["field"] is None
    assert found["classes"][:2] == ["tench", "other"]


def test_a_network_of_one_tower_has_no_tower_or_exchange_to_switch_off():
    assert set(page_networks.seer("alexnet-caffe").description["parts"]) == {"norm", "activation"}
    assert set(page_networks.seer("lenet5").description["parts"]) == {"activation"}
    assert page_networks.seer("alexnet").description["parts"] == {
        "tower1": "tower 1",
        "tower2": "tower 2",
        "exchange": "exchange",
        "norm": "normalisation",
        "activation": "ReLU",
    }


@pytest.mark.parametrize("name", ["alexnet", "alexnet-caffe", "cifar-relu", "lenet5"])
def test_a_value_changes_with_its_field_and_with_nothing_else(name):
    """For the middle of each layer with a field smaller than the image: everything outside is replaced."""
    seer = page_networks.seer(name)
    network, layers = seer.weights.network, seer.description["layers"]
    image, offset = page_networks.image(network), seer.model.centre()[0]
    names = [key for key, layer in layers.items() if layer["field"] and layer["kind"] != "image"]
    before = seer.see(image, names).layers
    tried = 0
    for key in names:
        size, step, start = layers[key]["field"]
        at = layers[key]["rows"] // 2, layers[key]["columns"] // 2
        top, left = (start + index * step for index in at)
        rows, columns = (
            slice(max(0, edge) + offset, max(0, min(network.crop, edge + size)) + offset) for edge in (top, left)
        )
        other = 255 - image
        other[rows, columns] = image[rows, columns]
        tried += not np.array_equal(other, 255 - image) and not np.array_equal(other, image)
        outside = seer.see(other, [key]).layers[key][:, at[0], at[1]]
        np.testing.assert_allclose(outside, before[key][:, at[0], at[1]], rtol=1e-5, atol=1e-4)
        for edge in ((rows.start, columns), (rows.stop - 1, columns), (rows, columns.start), (rows, columns.stop - 1)):
            one = image.copy()
            one[edge] = 255 - one[edge]
            if layers[key]["kind"] == "conv":  # others may not notice an edge
                assert np.any(seer.see(one, [key]).layers[key][:, at[0], at[1]] != before[key][:, at[0], at[1]])
    assert tried >= 2
