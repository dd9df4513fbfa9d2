"""The watch on training: a loss that stays at that of guessing, and a mean picture that is not that of the images."""

import math
import re

import numpy as np
import pytest

from cualex import networks, weights
from cualex.evaluation import Evaluation
from cualex.training import loop
from cualex.training.debugging import watch
from cualex.training.debugging.inspection import Inspection
from cualex.training.debugging.watch import Watch
from cualex.training.finetuning import Start
from cualex.training.records import Notice, Update
from cualex.training.run import Run
from cualex.weights import initial
from tests.support import tiny_runs

EVEN = np.arange(10).repeat(5)  # labels of ten classes
GUESSING = math.log(10)
LONG = 10**6  # updates in all


def said(watch, losses, updates=LONG):
    """Give a watch losses, and return after which updates it said that they are stuck."""
    return [update for update, loss in enumerate(losses, 1) if watch.after_update(loss, update, updates)]


def validated(labels, named, loss):
    """Make what a validation gives."""
    labels, named = np.array(labels), np.array(named)
    names, sure = ("",) * len(labels), np.ones(len(labels), np.float32)
    return Evaluation(tuple("abcdefghij"), names, labels, named, sure, len(labels), loss)


CHANCE = validated(EVEN, np.zeros_like(EVEN), GUESSING)


@pytest.mark.parametrize("factor", [0.995, 1.005, 1.3])
def test_a_loss_that_stays_at_that_of_guessing_or_above_is_said_once(factor):
    assert said(Watch(EVEN, 32), [factor * GUESSING] * 400) == [200]


def test_many_classes_need_many_updates_to_be_seen():
    assert said(Watch(np.arange(1000), 128), [math.log(1000)] * 3000) == [2344]  # 300 images of each


@pytest.mark.parametrize(
    "losses",
    [
        np.full(300, 0.98 * GUESSING),  # below
        np.linspace(9, 1.1 * GUESSING, 300),  # above, and falling
        np.linspace(9, 0.1, 300),  # on its way through
        [4.4 * GUESSING] * 8 + [0.7 * GUESSING] * 292,  # the mean of the first hundred is that of guessing
    ],
)
def test_a_loss_that_falls_or_has_fallen_is_not_said(losses):
    assert said(Watch(EVEN, 32), losses) == []


def test_the_leap_of_the_first_updates_delays_nothing():
    assert said(Watch(EVEN, 32), [20.0] * 10 + [GUESSING] * 300) == [200]


def test_uneven_classes_have_the_entropy_of_their_frequencies_and_its_noise():
    """Batches with more or fewer images of the rare class: the loss of one answer for all, and half of it."""
    labels = np.repeat([0, 1], [190, 10])
    shares, rng = np.array([0.95, 0.05]), np.random.default_rng(0)
    guessing = float(-(shares * np.log(shares)).sum())
    losses = np.array([-np.log(shares)[rng.permutation(labels)[:16]].mean() for _ in range(400)])
    assert Watch(labels, 16).guessing == pytest.approx(guessing, rel=1e-12)
    (update,) = said(Watch(labels, 16), losses)
    assert update < 250
    assert said(Watch(labels, 16), losses / 2) == []
    text = watch.diagnosis(losses.mean(), guessing, 2, {}, 0.01, LONG)
    assert text.startswith("the loss stays at the entropy of the class frequencies = 0.199, that of guessing.\n")
    assert watch.diagnosis(3.5, GUESSING, 10, {}, 0.01, LONG).startswith(
        "the loss stays at 3.500, and guessing has ln(10) = 2.303.\n"
    )


def test_a_training_that_is_short_is_stuck_when_most_of_it_is_over():
    """Three epochs of eleven updates: validation asks, and the cause may be that there are no more."""
    quiet, found = Watch(EVEN, 16), []
    for update in range(1, 34):
        assert not quiet.after_update(GUESSING, update, 33)
        if update % 11 == 0 and quiet.after_validation(CHANCE, update, 33):
            found.append(update)
    assert found == [22]
    assert "the training has only 33 updates: try more --epochs" in watch.diagnosis(2.3, 2.3, 10, {}, 0.01, 33)


@pytest.mark.parametrize(
    ("found", "better"),
    [
        (CHANCE, False),
        (validated(EVEN, EVEN, 9.0), True),
        (validated(EVEN, np.where(np.arange(50) < 9, EVEN, 9 - EVEN), 2.4), False),  # 9 of 50: 5 + 2 sqrt(4.5)
        (validated(EVEN, np.where(np.arange(50) < 10, EVEN, 9 - EVEN), 2.4), True),
        (validated(EVEN, np.zeros_like(EVEN), 0.98 * GUESSING), True),  # of 50 images: 2 x 0.05 / sqrt(50)
        (validated(EVEN, np.zeros_like(EVEN), 0.99 * GUESSING), False),
        (validated(np.tile(EVEN, 9), np.zeros(450, int), 0.985 * GUESSING), True),
        (validated([0] * 19 + [1], [0] * 20, 0.2), False),  # 95 % right, as guessing is
        (validated([0] * 20, [0] * 20, 0.0), False),
    ],
)
def test_a_validation_that_is_better_than_guessing_is_not_stuck(found, better):
    assert watch.better(found) is better
    quiet = Watch(EVEN, 32)
    assert said(quiet, [GUESSING] * 99) == []
    assert quiet.after_validation(found, 99, 120) is not better


def test_a_network_that_is_thrown_back_has_as_long_again():
    """As on sixty drawings, twice in four hundred updates. Where it stays there, that is said."""
    learned = [GUESSING] * 150 + [0.1] * 50
    assert said(Watch(EVEN, 32), learned + [5.0] * 10 + [GUESSING] * 100 + [0.1] * 300) == []
    (update,) = said(Watch(EVEN, 32), learned + [5.0] * 10 + [GUESSING] * 500)
    assert 400 <= update <= 430
    again = Watch(EVEN, 32)
    assert said(again, learned + [GUESSING] * 100) == []
    resumed = Watch(EVEN, 32)
    resumed.restore(**again.state())
    both = [[watch.after_update(GUESSING, at, LONG) for at in range(301, 500)] for watch in (again, resumed)]
    assert both[0] == both[1]
    assert any(both[0])


def test_while_validation_is_near_the_losses_alone_say_nothing():
    quiet = Watch(EVEN, 32)
    for update in range(1, 400):
        assert not quiet.after_update(GUESSING, update, LONG)
        if update % 50 == 0:
            assert not quiet.after_validation(validated(EVEN, EVEN, 0.1), update, LONG)
    assert [quiet.after_update(GUESSING, update, LONG) for update in range(400, 600)].index(True) == 150


def test_what_a_watch_of_before_has_kept_is_taken():
    """Checkpoints of 0.1 do not say when there was a validation."""
    quiet = Watch(EVEN, 32)
    quiet.restore(losses=[GUESSING] * 99, said=False, looked=60)
    assert not quiet.after_update(GUESSING, 199, LONG)
    assert quiet.after_update(GUESSING, 200, LONG)
    quiet = Watch(EVEN, 32)
    quiet.restore(losses=[GUESSING] * 100, said=True)
    assert said(quiet, [GUESSING] * 200) == []


STUCK = tiny_runs.RECIPE.but(rate=1e-12, seed=1)  # 42 updates, of which most are over after the 27th


def notices(records):
    """Collect what a person reads of records, but for where a training goes on."""
    said = [record.text for record in records if isinstance(record, Notice)]
    return [text for text in said if not text.startswith("Continues")]


def heard(records, updates):
    """Collect what a person reads until so many updates are done and the training is stopped."""
    read = []
    while updates:
        read.append(next(records))
        updates -= isinstance(read[-1], Update)
    records.close()
    return notices(read)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory, speck):
    """Return what a person reads of a training that is stuck and never stopped."""
    return notices(tiny_runs.training(Run.create(tmp_path_factory.mktemp("whole")), recipe=STUCK))


@pytest.mark.slow
@pytest.mark.parametrize("updates", [28, *(pytest.param(update, marks=pytest.mark.slow) for update in range(2, 42))])
def test_a_run_that_was_stopped_says_the_same(tmp_path, never_stopped, updates):
    """Also where it is stopped between the update that is said and the saying."""
    assert sum(text.startswith("the loss stays at ") for text in never_stopped) == 1
    run = Run.create(tmp_path)
    first = heard(tiny_runs.training(run, recipe=STUCK), updates)
    assert first + notices(tiny_runs.training(run, recipe=STUCK)) == never_stopped


@pytest.mark.slow
def test_a_notice_that_nobody_has_read_is_in_the_checkpoint(tmp_path, speck, monkeypatch):
    monkeypatch.setattr(Inspection, "after_update", lambda *_: "it is said")
    run = Run.create(tmp_path)
    assert heard(tiny_runs.training(run), 1) == []
    monkeypatch.undo()
    assert notices(tiny_runs.training(run))[0] == "it is said"


@pytest.mark.slow
def test_a_mean_picture_that_is_not_that_of_the_pictures_is_said(tmp_path, speck):
    assert notices(tiny_runs.training(Run.create(tmp_path), recipe=tiny_runs.RECIPE.but(epochs=1))) == []
    pictures, run = tiny_runs.Squares(), Run.create(tmp_path)
    pictures.mean = 2 * pictures.mean
    (text,) = notices(loop.train(tiny_runs.RECIPE.but(epochs=1), pictures, tiny_runs.Squares(12, seed=1), run))
    assert re.fullmatch(
        r"the input of the network \(image minus mean image\) has mean -\d+, expected about 0, and standard deviation "
        r"\d+: the mean image is not that of these images\. Pack them again\.",
        text,
    )


def test_the_mean_picture_of_other_weights_is_no_fault(tmp_path, speck):
    """White drawings, and weights that have seen dark images."""
    white, run = tiny_runs.Squares(), Run.create(tmp_path)
    dark, white.pictures = white.mean, 255 - white.pictures // 8
    white.mean = white.pictures.mean(axis=0, dtype=np.float32)
    network = networks.build("speck", classes=3, crop=11)
    kept = weights.Weights(network, initial.draw(network, 0), list(white.classes), dark)
    start = Start(kept, "all layers are kept")
    assert (
        notices(loop.train(tiny_runs.RECIPE.but(epochs=1), white, tiny_runs.Squares(12, seed=1), run, start=start))
        == []
    )
