"""The recipe that follows from the number of images and the kind of device."""

import pytest

from cualex import networks
from cualex.devices import placement
from cualex.training import automatic_recipe, options, setup
from cualex.training.recipes import OWN, PAPER

COUNTS = (2, 5, 16, 17, 48, 100, 127, 128, 240, 300, 999, 1000, 1001, 8_000, 60_000, 1_281_167)


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("images", COUNTS)
def test_every_set_gets_some_hundreds_of_updates_in_batches_that_it_fills(images, tuned, cuda):
    recipe = automatic_recipe.choose("alexnet", images, cuda, tuned)
    assert 1 <= recipe.batch <= images
    assert recipe.epochs * images / recipe.batch >= automatic_recipe.LEAST >= 400
    assert recipe.patience * images / recipe.batch >= automatic_recipe.PATIENCE
    assert recipe.falls == "cosine"
    assert recipe.ties == "last"


@pytest.mark.slow
def test_a_larger_set_is_never_seen_for_less():
    for tuned in (False, True):
        seen = [automatic_recipe.choose("alexnet", n, False, tuned).epochs * n for n in range(20, 200_000, 37)]
        small = [automatic_recipe.choose("alexnet", n, False, tuned).epochs for n in range(20, 200_000, 37)]
        assert min(seen) >= automatic_recipe.LEAST
        assert small == sorted(small, reverse=True)


def test_what_the_table_does_not_say_is_the_papers():
    recipe = automatic_recipe.choose("alexnet", 800, cuda=False)
    for name in ("momentum", "decay", "dropout", "augment", "colour_noise", "optimizer"):
        assert getattr(recipe, name) == getattr(PAPER, name)


def test_small_crops_have_a_smaller_rate():
    cases = [(images, gpu) for images in (800, 8000) for gpu in (False, True)]
    chosen = {case: automatic_recipe.choose("alexnet", *case) for case in cases}
    assert {key: recipe.rate for key, recipe in chosen.items()} == {
        (800, False): 0.005,
        (8000, False): 0.005,
        (800, True): 0.005,
        (8000, True): PAPER.rate,
    }
    assert automatic_recipe.choose("cifar-relu", 800, cuda=False).rate == OWN["cifar-relu"].rate
    assert {recipe.crop for recipe in chosen.values()} == {67, PAPER.crop}
    assert automatic_recipe.choose("alexnet", 1_281_167, cuda=True).crop == PAPER.crop


@pytest.mark.parametrize("name", networks.names())
def test_every_network_has_an_automatic_recipe_that_fits_it(name):
    recipe = automatic_recipe.choose(name, 400, cuda=False)
    network = networks.build(recipe.network, **recipe.arguments(classes=3))
    assert (network.name, network.crop, network.classes) == (name, recipe.crop, 3)
    assert recipe.drop_epochs == ()
    assert recipe.batch <= 32


def test_numbers_of_the_users_own_go_before_and_epochs_follow_from_them():
    small, large = (automatic_recipe.choose("alexnet", 160, False, batch=batch) for batch in (8, 160))
    assert (small.batch, large.batch) == (8, 160)
    assert large.epochs == automatic_recipe.LEAST
    assert automatic_recipe.choose("alexnet", 160, False, crop=99).crop == 99


def test_weights_to_begin_with_learn_slower_and_their_new_layer_faster():
    scratch, tuned = (automatic_recipe.choose("alexnet", 160, False, tuned) for tuned in (False, True))
    assert tuned.rate < scratch.rate
    assert tuned.head_rate > 1 == scratch.head_rate
    assert tuned.epochs == scratch.epochs  # 1,000 updates, both
    adam = automatic_recipe.choose("alexnet-batchnorm", 160, False, tuned=True)
    assert (adam.optimizer, adam.rate) == ("adam", 0.001)


def test_whether_a_gpu_can_be_used_is_asked_once(monkeypatch, tmp_path):
    """A GPU that becomes busy in between would get another device's recipe."""
    answers = iter(["cpu", "cuda:0", "cuda:0"])
    monkeypatch.setattr(placement, "automatic", lambda: next(answers))
    made = setup.prepare(options.of(output=str(tmp_path), device="auto"), None)
    assert made.device == "cpu"
    assert next(answers) == "cuda:0"
