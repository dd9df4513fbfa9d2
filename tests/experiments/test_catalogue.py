"""The paper's experiments as data: each arm differs in what it says and in nothing else."""

import dataclasses

import numpy as np
import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.experiments import catalogue, figure_1, filter_colours
from cualex.experiments.metrics import EPOCHS, ERRORS, crossing
from cualex.experiments.subset import First
from cualex.layers import LRN, BatchNorm, Exchange, ReLU, SpatialLRN, activation
from tests.support.small_alexnet import different

ALPHA = 1e-4 * 64**2  # pictures are divided by 64
NORMS = {"none": None, "within": SpatialLRN(5, 2.0, ALPHA, 0.75), "batch": BatchNorm()}
UPPER = ("conv3", "conv4", "conv5")
TANH = {f"relu{number}": (ReLU(), None) for number in (1, 2, 3)}
TANH |= {f"tanh{number}": (None, activation("tanh")) for number in (1, 2, 3)}
SCALED = {("conv1", "std"): (0.1 / 64, 0.1)}
CHANGES = {  # of the recipe, beside its network and variant, and of the layers; by experiment and arm
    "relu-against-tanh": {
        "tanh": ({}, TANH),
        "relu-scaled": ({}, SCALED),
        "tanh-scaled": ({}, TANH | SCALED),
    },
    "pre-training": {"auto-encoder": ({}, {})},
    "normalisation": {
        arm: ({}, {name: (LRN(alpha=ALPHA), layer) for name in ("norm1", "norm2")}) for arm, layer in NORMS.items()
    },
    "non-overlapping-pooling": {"non-overlapping": ({}, {(name, "size"): (3, 2) for name in ("pool1", "pool2")})},
    "no-exchange": {"no-exchange": ({}, {f"exchange{number}": (Exchange(), None) for number in (3, 6, 7)})},
    "no-colour-noise": {"no-colour-noise": ({"colour_noise": (0.1, 0.0)}, {})},
    "towers-specialise": {},
    "initial-weights": {
        "paper": ({}, {(name, "std"): (0.03, 0.01) for name in UPPER}),
        "glorot": (
            {},
            {(name, "std"): (0.01, None) for name in ("conv1", "conv2", "fc6", "fc7", "fc8")}
            | {(name, "std"): (0.03, None) for name in UPPER},
        ),
    },
}


def arms(name, full=False):
    """Return the recipes and networks of an experiment's arms."""
    experiment = catalogue.find(name)
    scale = experiment.full if full else experiment.scale
    recipes = {arm: experiment.recipe(scale, arm) for arm in experiment.arms}
    built = {arm: networks.build(own.network, **own.arguments(classes=10)) for arm, own in recipes.items()}
    return recipes, built


def changed(one, other):
    """Return the fields that differ, but for those that make the network."""
    return {
        field.name: (getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(one)
        if field.name not in ("network", "variant") and getattr(one, field.name) != getattr(other, field.name)
    }


def test_all_experiments_of_the_paper_are_there():
    expected = {*CHANGES, "one-tower", "no-dropout", "large-batches"}
    assert set(catalogue.names()) == expected
    assert len(catalogue.names()) == len(expected)


@pytest.mark.parametrize("name", CHANGES)
def test_arms_differ_in_exactly_what_they_say(name):
    recipes, built = arms(name)
    base, *others = recipes
    assert set(others) == set(CHANGES[name])
    for arm, (numbers, layers) in CHANGES[name].items():
        assert changed(recipes[base], recipes[arm]) == numbers
        assert different(built[base], built[arm]) == layers
        assert built[base].towers == built[arm].towers


def test_large_batches_are_sixteen_times_the_usual_ones_and_lars_differs_by_the_rule():
    recipes, built = arms("large-batches")
    usual, scaled, lars = recipes.values()
    assert changed(usual, scaled) == {"batch": (32, 512), "warmup": (0.0, 1.0)}
    assert changed(scaled, lars) == {"optimizer": ("momentum", "lars")}
    assert all(each == built["usual"] for each in built.values())
    whole, _ = arms("large-batches", full=True)
    assert changed(*list(whole.values())[1:]) == {"optimizer": ("momentum", "lars")}


def test_without_dropout_the_layers_are_the_same_but_for_dropout():
    recipes, built = arms("no-dropout")
    assert changed(*recipes.values()) == {"dropout": (0.5, 0.0)}
    found = different(*built.values())
    assert set(found) == {"drop6", "drop7"}
    assert {after for _, after in found.values()} == {None}


def test_one_tower_has_half_of_the_filters_of_both():
    """A tower of the pair has half of all; so the lone one has the same in conv1 to conv4, and both towers' above."""
    recipes, built = arms("one-tower")
    assert changed(*recipes.values()) == {}
    found = different(*built.values())
    meetings = {name: found.pop(name)[1] for name in ("exchange3", "exchange6", "exchange7", "join8")}
    assert set(meetings.values()) == {None}
    assert found == {
        ("conv5", "filters"): (128, 256),
        ("fc6", "outputs"): (2048, 4096),
        ("fc7", "outputs"): (2048, 4096),
    }


@pytest.mark.parametrize("name", catalogue.names())
def test_every_experiment_is_whole(name):
    experiment = catalogue.find(name)
    for scale in (experiment.scale, experiment.full):
        trials = experiment.trials(scale)
        assert len({trial.name for trial in trials}) == len(trials)
        assert len(trials) == scale.seeds * sum(len(arm.rates) or 1 for arm in experiment.arms.values())
    for full in (False, True):
        _, built = arms(name, full)
        assert len({network.stored for network in built.values()}) == 1
    for text in (experiment.question, experiment.paper, experiment.reading, experiment.scale.differs):
        assert len(text) > 20


def test_the_paper_s_figure_1_has_no_regularisation_and_the_best_rates_of_the_search():
    experiment = catalogue.find("relu-against-tanh")
    recipes, built = arms("relu-against-tanh")
    for recipe in recipes.values():
        assert (recipe.decay, recipe.dropout, recipe.augment, recipe.falls) == (0.0, 0.0, False, "steps")
        assert recipe.drop_epochs == ()
    assert {name: network.scale for name, network in built.items()} == {
        "relu": 1.0, "tanh": 1.0, "relu-scaled": 1 / 64, "tanh-scaled": 1 / 64,
    }  # fmt: skip
    rows = {row["inputs"]: row for row in figure_1.table() if (row["pools"], row["initial"]) == ("average", "even")
            and (row["batch"], row["images"], row["engine"]) == ("32", "5000", "PyTorch")}  # fmt: skip
    for name, arm in experiment.arms.items():
        function, _, scaled = name.partition("-")
        (rate,) = arm.rates
        assert rows[scaled or "raw"][function].startswith(f"{rate:g}: ")


def test_the_goal_is_40_percent_here_and_the_paper_s_25_at_full_size():
    experiment = catalogue.find("relu-against-tanh")
    assert (experiment.measure.goal, experiment.at_full().measure) == (40.0, EPOCHS)
    assert catalogue.find("one-tower").at_full().measure is ERRORS


def test_a_scale_takes_other_numbers():
    experiment = catalogue.find("no-dropout")
    assert experiment.recipe(experiment.scale, "dropout").drop_epochs == (10,)
    scale = experiment.scale.but(pictures=70, seeds=2, epochs=5)
    assert (scale.pictures, scale.seeds, scale.recipe.epochs) == (70, 2, 5)
    assert experiment.recipe(scale, "dropout").drop_epochs == (4,)
    assert {trial.seed for trial in experiment.trials(scale)} == {0, 1}


def test_updates_become_epochs_unless_these_are_given():
    scale = catalogue.find("initial-weights").scale
    assert scale.on(96).recipe.epochs == 34  # 100 updates of 32 are 3,200 pictures
    assert scale.on(10_000).recipe.epochs == 1
    assert scale.but(epochs=3).on(96).recipe.epochs == 3


# --- pictures


class Pack:
    """Six pictures of two classes, out of order."""

    size, classes, mean, skipped = 1, ("a", "b"), np.ones((1, 1, 3)), ()
    labels = np.array([1, 0, 0, 0, 1, 0])
    names = tuple("pqrstu")

    def __len__(self):
        return 6

    def read(self, indices, out):
        out[:] = np.asarray(indices).reshape(-1, 1, 1, 1)


def test_the_first_of_each_class_in_equal_shares():
    first = First(Pack(), 5)  # two of each
    assert (first.names, first.labels.tolist(), len(first)) == (tuple("pqrt"), [1, 0, 0, 1], 4)
    out = np.empty((2, 1, 1, 3), np.uint8)
    first.read(np.array([3, 1]), out)
    assert out[:, 0, 0, 0].tolist() == [4, 1]
    assert (first.size, first.classes) == (1, ("a", "b"))
    assert First(first, 2).names == ("p", "q")


def test_a_class_with_fewer_gives_all_it_has():
    assert First(Pack(), 8).names == tuple("pqrstu")
    assert First(Pack(), 6).names == tuple("pqrst")
    assert First(Pack(), None).names == tuple("pqrstu")


@pytest.mark.parametrize(("least", "times"), [(0, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_few_pictures_are_there_several_times(least, times):
    first = First(Pack(), 5, least)
    assert (len(first), first.different) == (4 * times, 4)
    assert (first.names, first.labels.tolist()) == (tuple("pqrt") * times, [1, 0, 0, 1] * times)
    out = np.empty((len(first), 1, 1, 3), np.uint8)
    first.read(np.arange(len(first)), out)
    assert out[:, 0, 0, 0].tolist() == [0, 1, 2, 4] * times


def test_fewer_pictures_than_classes_are_refused():
    with pytest.raises(UsageError, match="1 images of 2 classes: expected at least one of each class"):
        First(Pack(), 1)


# --- figures


@pytest.mark.parametrize(
    ("values", "after"),
    [
        ([60.0, 40.0, 20.0], 2.75),  # from 40 to 20 in the third epoch: 25 after three quarters of it
        ([50.0, 25.0, 10.0], 2.0),
        ([10.0], 65 / 80),  # from 90 before training
        ([60.0, 30.0, 40.0, 20.0], 3.75),
        ([60.0, 25.1], None),
        ([], None),
    ],
)
def test_epochs_to_the_goal_along_straight_lines(values, after):
    assert crossing(values, 25.0, first=90.0) == (after and pytest.approx(after))


def planted(*colours):
    """Return filters (n, 3, 2, 2) whose red, green and blue are these, the same at every pixel but for the sign."""
    signs = np.array([[1, -1], [2, 0.5]])
    return np.array(colours, float)[:, :, None, None] * signs


def test_colour_is_the_share_that_is_not_grey():
    filled = planted((1, 1, 1), (1, 0, 0), (1, -1, 0), (2, 1, 0), (0, 0, 0))
    assert filter_colours.colour(filled).tolist() == pytest.approx([0, 2 / 3, 1, 1 - 3 * 1 / 5, 0])
    drawn = np.random.default_rng(0).normal(size=(4000, 3, 3, 3))
    assert filter_colours.colour(drawn).mean() == pytest.approx(2 / 3, abs=0.01)


def test_towers_that_divide_colour_are_told_from_towers_that_do_not():
    grey, red = [(1, 1, 1)] * 12, [(1, 0, 0)] * 12
    for towers in (grey + red, red + grey):
        found = list(filter_colours.figures(planted(*towers)).values())
        assert found[:3] == pytest.approx([0, 2 / 3, 2 / 3])
        assert found[3] < 0.2
    mixed = list(filter_colours.figures(planted(*(grey[:6] + red[:6]) * 2)).values())
    assert mixed == pytest.approx([1 / 3, 1 / 3, 0, 100])


def test_an_experiment_that_does_not_exist():
    with pytest.raises(UsageError) as error:
        catalogue.find("relu-against-tan")
    assert str(error.value) == (
        "no experiment is called 'relu-against-tan'; there are relu-against-tanh, normalisation, "
        "non-overlapping-pooling, one-tower, no-exchange, no-dropout, no-colour-noise, towers-specialise, "
        "initial-weights, large-batches, pre-training. Did you mean relu-against-tanh?"
    )
