"""Schedules as tables: which rate, factors and colour noise an epoch has, whatever the errors were."""

from dataclasses import replace

import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.training import recipes
from cualex.training.rates import Course
from cualex.training.recipes import PAPER, Recipe
from cualex.training.run import restore
from cualex.training.schedules import Cosine, EarlyStop, Fixed, Plateau, Poly, Schedule2012
from tests.support.tiny_runs import speck

NETWORK = speck()
BY_HAND = PAPER.but(schedule="2012", epochs=91)


def course(recipe):
    return Course(recipe, networks.build("alexnet", width=1 / 16, crop=67))


# --- 2012

TABLE = [  # epoch, rate of weights, of conv1's weights, of conv1's biases, colour noise
    (1, 1e-2, 1e-2, 2e-2, True),
    (25, 1e-2, 1e-2, 2e-2, True),
    (26, 1e-3, 1e-3, 2e-2, True),
    (51, 1e-3, 1e-3, 2e-2, True),
    (52, 1e-4, 1e-4, 2e-2, True),
    (66, 1e-4, 1e-4, 2e-2, True),
    (67, 1e-4, 1e-5, 1e-5, False),
    (71, 1e-4, 1e-5, 1e-5, False),
    (72, 1e-4, 0, 0, False),
    (79, 1e-4, 0, 0, False),
    (80, 1e-5, 0, 0, False),
    (91, 1e-5, 0, 0, False),
]


@pytest.mark.parametrize(("epoch", "rate", "weights", "biases", "noise"), TABLE)
def test_the_schedule_of_2012(epoch, rate, weights, biases, noise):
    followed = course(BY_HAND)
    own, bias_rate = followed.rates(epoch, epoch / 91)
    factors = followed.factors(epoch)
    assert own == pytest.approx(rate)
    assert bias_rate == 0.02
    assert factors.get("conv1.weight", 1) * own == pytest.approx(weights)
    assert factors.get("conv1.bias", 1) * bias_rate == pytest.approx(biases)
    assert factors.get("conv2.weight", 1) == factors.get("fc8.bias", 1) == 1
    assert (epoch <= followed.noisy) == noise


def test_what_changes_in_2012_is_said():
    followed = course(BY_HAND)
    said = {epoch: text for epoch in range(1, 92) for text in followed.after_epoch(40.0, epoch)}
    assert said == {
        25: "epoch 25 done: learning rate 0.001 from now on",
        51: "epoch 51 done: learning rate 0.0001 from now on",
        66: "epoch 66 done: no colour noise, conv1 at 1e-05 from now on",
        71: "epoch 71 done: conv1 frozen from now on",
        79: "epoch 79 done: learning rate 1e-05 from now on",
    }


@pytest.mark.parametrize(
    ("epochs", "drops", "quiet", "frozen"),
    [
        (91, (25, 51, 79), 66, 71),
        (182, (50, 102, 158), 132, 142),
        (10, (3, 6, 9), 7, 8),
        (3, (1, 2, 3), 2, 2),
    ],
)
def test_other_numbers_of_epochs_are_scaled_and_that_is_said(epochs, drops, quiet, frozen):
    followed = course(BY_HAND.but(epochs=epochs))
    rates = [followed.rates(epoch, 0)[0] for epoch in range(1, epochs + 2)]
    assert tuple(i + 1 for i in range(epochs) if rates[i + 1] < rates[i]) == drops
    assert followed.noisy == quiet
    assert followed.recipe.plain == epochs - quiet
    assert [followed.factors(epoch).get("conv1.bias") == 0 for epoch in (frozen, frozen + 1)] == [False, True]
    rows = {what: here for what, here, _ in followed.recipe.against_paper()}
    scaled = "" if epochs == 91 else f", 91 epochs scaled to {epochs}"
    assert rows["learning-rate schedule"] == f"manual, as in 2012{scaled}"


def test_a_network_without_conv1_has_no_schedule_of_2012():
    layers = {name.replace("conv1", "first"): layer for name, layer in NETWORK.layers.items()}
    with pytest.raises(UsageError) as caught:
        Course(BY_HAND, replace(NETWORK, layers=layers))
    assert str(caught.value) == "speck has no trainable layer 'conv1'; its trainable layers are first, fc2, fc3"


# --- the others


@pytest.mark.parametrize(("done", "rate"), [(0, 0.4), (1 / 3, 0.3), (0.5, 0.2), (2 / 3, 0.1), (1, 0.0), (1.5, 0.0)])
def test_half_a_cosine(done, rate):
    assert Cosine(0.4).at(7, done) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize(("done", "rate"), [(0, 0.4), (0.25, 0.225), (0.5, 0.1), (1, 0), (1.5, 0)])
def test_poly_is_the_square_of_what_is_left(done, rate):
    assert Poly(0.4).at(7, done) == pytest.approx(rate, abs=1e-15)


def test_biases_keep_their_ratio():
    followed = course(Recipe(schedule="cosine", rate=0.4, bias_rate=1.2))
    assert followed.rates(1, 0.5) == pytest.approx((0.2, 0.6))
    followed = course(Recipe(rate=0.4))
    assert followed.rates(1, 0.5) == (0.4, 0.4)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Plateau),
        ({"drop_epochs": (3,)}, Fixed),
        ({"schedule": "plateau", "drop_epochs": (3,)}, Plateau),
        ({"schedule": "cosine"}, Cosine),
        ({"schedule": "poly"}, Poly),
        ({"schedule": "2012"}, Schedule2012),
    ],
)
def test_a_recipe_names_its_schedule(changes, kind):
    assert type(PAPER.but(**changes).begin()) is kind


def test_an_unknown_schedule_is_said():
    with pytest.raises(UsageError, match="schedule 'linear': expected plateau, steps, cosine, poly, 2012"):
        PAPER.but(schedule="linear").begin()


# --- the end


def test_an_early_stop_waits_for_a_gain_of_a_tenth():
    stop = EarlyStop(3)
    errors = [50, 49.95, 49.91, 49.9, 60, 60, 60]
    assert [stop.after_epoch(error) for error in errors] == [None] * 6 + [
        "early stopping: no gain of 0.1 points in 3 epochs"
    ]
    never = EarlyStop(0)
    assert not any(never.after_epoch(50) for _ in range(300))


def ends(recipe, error=40.0):
    """Let the error stay where it is; return each epoch's colour noise, and what is said."""
    followed, noisy, said, epoch = course(recipe), [], [], 1
    while epoch <= followed.last:
        noisy.append(epoch <= followed.noisy)
        said += followed.after_epoch(error, epoch)
        epoch += 1
    return noisy, said


def test_a_plateau_that_ends_the_training_leaves_its_plain_epochs():
    """The first epoch is the best; four plateaus of five follow, and then four epochs without noise."""
    noisy, said = ends(PAPER.but(plain_epochs=4))
    assert noisy == [True] * 21 + [False] * 4
    assert said[-1] == "before that 4 epochs without colour noise"
    assert len(ends(PAPER)[0]) == len(ends(PAPER.but(plain_epochs=4, colour_noise=0.0))[0]) == 21


def test_a_plateau_in_the_plain_epochs_ends_at_once():
    assert ends(PAPER.but(plain_epochs=80))[0] == [True] * 10 + [False] * 11


def test_an_early_stop_leaves_its_plain_epochs_too():
    noisy, said = ends(PAPER.but(plain_epochs=2, stop_after=3))
    assert noisy == [True] * 4 + [False] * 2
    assert said == [
        "early stopping: no gain of 0.1 points in 3 epochs",
        "before that 2 epochs without colour noise",
    ]


# --- layers


def test_factors_of_single_layers():
    factors = course(PAPER.but(freeze=("conv1", "fc6"), head_rate=10.0)).factors(1)
    assert factors == {
        **dict.fromkeys(("fc8.weight", "fc8.bias"), 10.0),
        **dict.fromkeys(("conv1.weight", "conv1.bias", "fc6.weight", "fc6.bias"), 0.0),
    }


def test_layers_that_are_not_there_are_named_with_those_that_are():
    with pytest.raises(UsageError) as caught:
        course(PAPER.but(freeze=("conv1", "conv9")))
    assert str(caught.value) == (
        "alexnet has no trainable layer 'conv9'; its trainable layers are conv1, conv2, conv3, conv4, conv5, fc6, "
        "fc7, fc8"
    )
    with pytest.raises(UsageError, match="every layer of alexnet is frozen, so there is nothing to train"):
        course(PAPER.but(freeze=("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"))).check()


def test_the_networks_of_2012_and_of_keras_have_their_own_rules():
    assert recipes.named("paper", "alexnet-2012").falls == "2012"
    own = recipes.named("paper", "alexnet-batchnorm")
    assert (own.optimizer, own.rate, own.decay, own.batch) == ("adam", 0.001, 0.0, 64)


def test_a_recipe_is_told_from_the_papers_in_words():
    recipe = PAPER.but(
        schedule="cosine", optimizer="adam", accumulate=4, freeze=("conv1",), head_rate=10.0, stop_after=3
    )
    rows = {what: (here, paper) for what, here, paper in recipe.against_paper()}
    assert rows["optimizer"] == ("Adam, as in Keras", "SGD with momentum")
    assert rows["momentum"] == ("none", "0.9")
    assert rows["learning-rate schedule"] == ("cosine to 0", "/10 on a plateau")
    assert rows["micro-batches per update"] == ("4", "1")
    assert rows["frozen layers"] == ("conv1", "none")
    assert rows["learning rate of last layer"] == ("10 times the others'", "the same")
    assert rows["early stopping, patience"] == ("3 epochs", "none")
    assert restore.recipe(recipe.described() | {"freeze": ["conv1"]}) == recipe
