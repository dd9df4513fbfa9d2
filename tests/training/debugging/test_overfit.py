"""First aid for a training that does not work: learning a few pictures by heart."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from cualex import networks
from cualex.devices import placement
from cualex.errors import Diverged, UsageError
from cualex.evaluation import evaluate
from cualex.layers import Dropout, MeanDropout
from cualex.model import Model
from cualex.plan import Plan
from cualex.training import finetuning
from cualex.training.debugging import overfit, overfit_attempt, overfit_images
from cualex.training.debugging.overfit_attempt import Try
from cualex.training.recipes import PAPER
from cualex.weights import Weights, initial
from cualex.weights.parameters import Parameters
from tests.support import tiny_runs
from tests.support.tiny_runs import TINY, Pictures


def fits(count=6, recipe=TINY, pack=None, **settings):
    return list(overfit.overfit(overfit.plain(recipe, count), pack or Pictures(), count, **settings))


@pytest.mark.slow
def test_a_network_learns_a_few_pictures():
    *before, last = fits()
    assert last.learned
    assert last.evaluated
    assert last.loss < 0.05
    assert (last.right, last.pictures) == (6, 6)
    assert not any(fit.learned for fit in before)
    assert last.updates < 100


@pytest.mark.slow
def test_pictures_without_a_meaning_are_learned_by_heart_too():
    """Labels that have nothing to do with the pictures: only learning by heart names them all."""
    pictures = Pictures()
    pictures.labels = np.random.default_rng(3).integers(0, 3, len(pictures)).astype(np.int32)
    assert fits(4, pack=pictures)[-1].learned


def tries(found):
    """Return how each try without success ended."""
    return [(pytest.approx(fit.rate), fit.ended) for fit in found if fit.ended]


@pytest.mark.slow
def test_a_network_in_which_nothing_moves_is_tried_at_larger_rates(monkeypatch):
    monkeypatch.setattr(overfit_attempt, "PATIENCE", 5)
    monkeypatch.setattr(overfit_attempt, "LOOK", 4)
    found = fits(6, recipe=TINY.but(rate=1e-9))
    assert tries(found) == [(rate, overfit_attempt.FLAT) for rate in (1e-9, 3e-9, 9e-9, 2.7e-8, 8.1e-8)]
    last = found[-1]
    assert (last.learned, last.evaluated, last.updates) == (
        False,
        True,
        55,
    )  # five times the first and ten passes
    assert last.right < 6
    assert len(last.wrong) == 6 - last.right
    assert last.wrong[0][1] in Pictures().classes
    assert fits(6, recipe=TINY.but(rate=1e-4))[-1].learned  # at one of them it does


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_rate_that_is_too_large_is_followed_by_smaller_ones(seed):
    """Each from the same start: in weights that a large rate has spoiled, seeds 0 and 2 learned at no rate."""
    found = fits(recipe=TINY.but(rate=3.0, seed=seed))
    assert found[-1].learned
    assert found[-1].rate < 3.0
    assert tries(found)[0][0] == 3.0
    assert all(fit.updates > 0 for fit in found)
    assert [fit.updates for fit in found] == sorted(fit.updates for fit in found)


@pytest.mark.slow
def test_one_try_keeps_the_rate():
    found = fits(recipe=TINY.but(rate=3.0), tries=1)
    assert not found[-1].learned
    assert {fit.rate for fit in found} == {3.0}


@pytest.mark.slow
def test_a_dead_layer_ends_a_try(monkeypatch):
    """Planted: biases so low that nothing passes conv3."""
    pictures, recipe = Pictures(), overfit.plain(TINY, 6)
    begun = finetuning.begin(recipe, pictures)
    begun.tensors["conv3.bias"][:] = -1e3
    monkeypatch.setattr(overfit_attempt, "LOOK", 4)
    found = list(overfit.overfit(recipe, pictures, 6, begun, tries=1))
    assert tries(found) == [(0.01, overfit_attempt.DEAD)]
    assert found[-1].updates == 4


class Scripted(Try):
    """A try whose passes give what a list says, without a network."""

    def __init__(self, spreads=()):
        super().__init__(TINY, SimpleNamespace(), overfit_images.choose(Pictures(), 6, 27), 0)
        self.patience, self.spreads = 4, iter(spreads)

    def _look(self, found):
        named, spread = np.zeros(6, int), next(self.spreads)
        return super()._look(SimpleNamespace(named=named, probabilities=np.array([0.5, 0.5 + spread])))

    def ends(self, losses):
        """Return what each pass gave, and which ended it."""
        return [self.ended(update, loss) for update, loss in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("losses", "spreads", "ended"),
    [
        (
            [9, 2, 0.6, 2.1, 0.5, 1.9, 2.1],
            [],
            overfit_attempt.ROSE,
        ),  # guessing has 1.01, of which it had less than a half
        ([9, 2, 0.6, 0.7, 0.8, 0.7, 0.7], [], overfit_attempt.STOOD),
        ([9, 0.6, 0.59, 0.58, 0.57, 0.56, 0.55, 0.54], [], ""),
        ([1.02, 1.02, 1.02, 1.02, 1.02], [0.1, 0.1], overfit_attempt.FLAT),
        ([1.02, 1.02, 1.02, 1.02, 1.02, 1.02], [0.1, 0.2, 0.4], ""),  # it is on its way
        ([1.02, 1.02, 1.02, 1.02, 1.02, 1.02, 1.02, 1.02], [0.1, 0.2, 0.4, 0.41], overfit_attempt.FLAT),
        ([1.02, 1.02], [0.0], overfit_attempt.DEAD),
    ],
)
def test_hope_ends(monkeypatch, losses, spreads, ended):
    monkeypatch.setattr(overfit_attempt, "LOOK", 2 if spreads else 100)
    monkeypatch.setattr(overfit_attempt, "evaluate", lambda *_: None)
    one = Scripted(spreads)
    assert one.guessing == pytest.approx(1.0114, abs=1e-4)
    assert one.ends(losses) == [*[""] * (len(losses) - 1), ended]


@pytest.mark.slow
def test_the_updates_end(monkeypatch):
    monkeypatch.setattr(overfit_attempt, "UPDATES", 4)
    monkeypatch.setattr(overfit_attempt, "PASSES", 3)
    assert tries(fits(6, tries=1)) == [(0.01, overfit_attempt.LIMIT)]
    assert fits(6, tries=1)[-1].updates == 4
    assert fits(20, recipe=TINY.but(rate=1e-9), tries=1)[-1].updates == 4
    assert overfit_attempt.limit(TINY.but(batch=4), 20) == 15


def copied(count=24, copies=4, seed=0):
    """Make pictures each of which is there several times, with labels dealt at random."""
    pictures, rng = Pictures(count), np.random.default_rng(seed)
    pictures.pictures = np.ascontiguousarray(pictures.pictures[np.arange(count) // copies])
    pictures.labels = rng.permutation(pictures.labels)
    return pictures


@pytest.mark.parametrize("seed", range(5))
def test_copies_with_other_labels_cannot_be_learned_and_are_named(seed):
    pictures = copied(seed=seed)
    (fit,) = fits(24, pack=pictures)
    assert not fit.learned
    assert (fit.updates, fit.ended) == (0, overfit_attempt.IMPOSSIBLE)
    most = sum(np.bincount(own).max() for own in pictures.labels.reshape(6, 4))
    assert fit.right == most < 24
    shares = [np.bincount(own)[np.bincount(own) > 0] / 4 for own in pictures.labels.reshape(6, 4)]
    assert fit.loss == pytest.approx(np.mean([-(own * np.log(own)).sum() for own in shares]))
    several = [number for number, own in enumerate(pictures.labels.reshape(6, 4)) if len(set(own)) > 1]
    assert fit.contradictions == tuple(
        tuple(pictures.names[4 * number + copy] for copy in range(4)) for number in several
    )


@pytest.mark.slow
def test_copies_are_looked_for_in_the_whole_set():
    """Two pictures of 24 are the same but for the label, and no others: six at equal distances hold but one."""
    pictures = Pictures()
    pictures.pictures[10] = pictures.pictures[9]
    assert pictures.labels[10] != pictures.labels[9]
    chosen = overfit_images.choose(pictures, 6, 27)
    assert list(chosen.chosen) == [0, 4, 9, 10, 13, 18]
    (fit,) = fits(6, pack=pictures)
    assert fit.contradictions == (("9.png", "10.png"),)
    assert (fit.right, fit.loss) == (5, pytest.approx(np.log(2) / 3))
    pictures.labels[10] = pictures.labels[9]  # copies of the same class do no harm
    assert list(overfit_images.choose(pictures, 6, 27).chosen) == [0, 4, 9, 13, 18, 23]
    assert fits(6, pack=pictures)[-1].learned


@pytest.mark.slow
def test_pictures_that_differ_outside_the_crop_are_the_same_to_the_network():
    pictures = Pictures()
    pictures.pictures[10] = pictures.pictures[9]
    pictures.pictures[10, 0, :] ^= 255  # a crop of 27 of 32 begins at 2
    assert fits(6, pack=pictures)[-1].ended == overfit_attempt.IMPOSSIBLE
    pictures.pictures[10, 2, 2, 1] ^= 1
    assert fits(6, pack=pictures)[-1].learned


def test_copies_in_a_large_set_are_looked_for_in_a_part_of_it(monkeypatch):
    read = []
    pictures = Pictures(200)
    monkeypatch.setattr(overfit_images, "LOOKED_AT", 40 * 32 * 32 * 3)
    monkeypatch.setattr(pictures, "read", lambda indices, out: read.extend(indices) or out.fill(0))
    pictures.labels[:] = 0
    assert len(overfit_images.choose(pictures, 6, 27)) == 6
    assert len(read) == 6 + 40


def test_pictures_that_are_all_alike_cannot_be_learned():
    pictures = Pictures()
    pictures.pictures.fill(7)
    (fit,) = fits(6, pack=pictures)
    assert fit.ended == overfit_attempt.IMPOSSIBLE
    assert fit.right == np.bincount(overfit_images.choose(pictures, 6, 27).labels).max()


def test_one_picture_is_learned():
    assert fits(1)[-1].learned


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_its_layer():
    with pytest.raises(Diverged, match=r"the loss is nan at update \d: the output of \w+ is the first with NaN or Inf"):
        fits(6, recipe=TINY.but(rate=1e9))


def test_a_mean_picture_that_is_no_number_is_said_at_once():
    """No smaller rate mends it."""
    pictures = Pictures()
    pictures.mean[3, 3] = np.nan
    found = []
    with pytest.raises(Diverged, match=r"the input of the network .* is not finite"):
        found.extend(fits(6, pack=pictures))
    assert found == []


def test_nothing_makes_it_harder():
    recipe = overfit.plain(PAPER, 200)
    assert (recipe.augment, recipe.colour_noise, recipe.decay) == (False, 0, 0)
    network = overfit.unmasked(networks.build("alexnet", **recipe.arguments(10)))
    assert [layer for layer in network.layers.values() if isinstance(layer, Dropout)] == [MeanDropout(0.5)] * 2
    assert (recipe.batch, recipe.rate) == (32, PAPER.rate)
    assert overfit.plain(PAPER, 5).batch == 5
    assert overfit.plain(PAPER, 50, batch=8).batch == 8


def losses(network, device="cpu"):
    """Return the loss of a batch before an update as training has it, and as evaluation has it."""
    pictures = tiny_runs.Squares(8)
    begun = Weights(network, initial.draw(network, 0), list(pictures.classes), pictures.mean)
    parameters = Parameters(network, device, precision="fp32")
    parameters.load(begun.tensors)
    found = evaluate(Model(begun, parameters=parameters), pictures)
    plan = Plan(parameters, 8)
    plan.put_mean(pictures.mean)
    plan.put(pictures.pictures, np.tile(Model(begun, parameters=parameters).centre(), (8, 1)), pictures.labels)
    return plan.run().result.loss, found.loss


@pytest.mark.slow
def test_without_masks_training_computes_what_evaluation_does(emulated, monkeypatch, speck):
    monkeypatch.setattr(placement, "CupyRuntime", emulated)
    network = tiny_runs.speck()
    trained, evaluated = losses(network)
    assert trained != pytest.approx(evaluated, rel=1e-3)
    for device in ("cpu", "cuda:0", "cuda:0,cuda:0"):
        trained, evaluated = losses(overfit.unmasked(network), device)
        assert trained == pytest.approx(evaluated, rel=1e-5)


def test_the_pictures_come_from_all_over_the_set():
    chosen = overfit_images.choose(Pictures(24), 6, 27)
    assert list(chosen.chosen) == [0, 4, 9, 13, 18, 23]
    assert len(set(chosen.labels)) > 1
    assert chosen.names[-1] == "23.png"
    out = np.empty((2, 32, 32, 3), np.uint8)
    chosen.read(np.array([5, 1]), out)
    assert np.array_equal(out, Pictures(24).pictures[[23, 4]])


def test_more_pictures_than_there_are():
    with pytest.raises(UsageError, match="--overfit 25: the training set has 24 images; give at most that many"):
        fits(25)


@pytest.mark.slow
def test_on_a_gpu_as_well(emulated, monkeypatch, speck):
    monkeypatch.setattr(placement, "CupyRuntime", emulated)
    recipe = overfit.plain(tiny_runs.RECIPE, 3)
    pictures = tiny_runs.Squares()
    host, gpu = (
        list(itertools.islice(overfit.overfit(recipe, pictures, 3, device=device, precision="fp32"), 4))
        for device in ("cpu", "cuda:0")
    )
    assert [fit.updates for fit in gpu] == [fit.updates for fit in host] == [1, 2, 3, 4]
    assert [fit.loss for fit in gpu] == pytest.approx([fit.loss for fit in host], rel=1e-4)
