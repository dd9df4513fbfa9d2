"""Diagnostics are quiet about right data of many kinds and see what is wrong: small versions, and the whole table."""

import csv

import numpy as np
import pytest

from cualex.data.batches import Stream
from cualex.training.debugging import gradient_check, overfit_attempt
from cualex.training.recipes import CIFAR
from cualex.training.run import Run
from cualex.training.verdict import BETTER
from cualex.weights import Weights, initial
from tests.diagnostics_table import TABLE, cases
from tests.support import data_kinds, diagnosing
from tests.support.diagnosing import QUIET
from tests.support.every_layer import NETWORK

SMALL = CIFAR.but(batch=16)
FAST = ("stripes", "uneven")  # the others are slow tests
KINDS = [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in data_kinds.RIGHT]


def few(kind, share=0.2, change=lambda images: images, seed=0, size=32):
    """Pack a small set of a kind, for cifar-relu."""
    return data_kinds.Pack(change(data_kinds.draw(kind, seed=seed, share=share)), size)


def trained(path, kind, updates, change=lambda images: images, spoil=lambda pack: None, **numbers):
    """Train cifar-relu on a small set of a kind for some updates, and return what is said of it."""
    train, val = few(kind, change=change), few(kind, seed=1)
    spoil(train)
    batch = min(SMALL.batch, len(train))
    epochs = -(-updates * batch // len(train))
    recipe = SMALL.but(batch=batch, epochs=epochs, drop_epochs=(epochs,), **numbers)
    return diagnosing.trained(recipe, train, val, Run.create(path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_right_data_of_every_kind_is_learned_by_heart(kind):
    assert diagnosing.learned_by_heart(SMALL, few(kind), pictures=8) == QUIET


@pytest.mark.parametrize("kind", KINDS)
def test_right_data_of_every_kind_has_no_faults(kind, tmp_path):
    data_kinds.on_disk(tmp_path, data_kinds.draw(kind, share=0.1))
    assert diagnosing.checked(tmp_path, 76) == QUIET


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_on_right_data_of_every_kind_are_right(kind):
    pictures = few(kind, share=0.1, size=NETWORK.stored)
    begun = Weights(NETWORK, initial.draw(NETWORK, 0), list("abc"), pictures.mean)
    pictures.labels %= 3
    rows = gradient_check.check(begun, Stream(pictures, 0, NETWORK.crop))
    assert [row.layer for row in rows if not row.right] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in data_kinds.RIGHT if kind != "one a class"])
def test_training_on_right_data_says_nothing(kind, tmp_path):
    """So short that a training may be called stuck after 40 updates: a longer one has more time to leave guessing."""
    found = trained(tmp_path, kind, 60)
    assert found["training"] == QUIET
    assert float(found["best top-1"]) >= float(found["guessing"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["demo", "photographs", "uneven"])
def test_copies_with_other_labels_are_seen(kind, tmp_path):
    spoiled = data_kinds.shuffled_copies(data_kinds.draw(kind, share=0.2))
    data_kinds.on_disk(tmp_path, spoiled)
    assert diagnosing.learned_by_heart(SMALL, data_kinds.Pack(spoiled, 32)) == overfit_attempt.IMPOSSIBLE
    assert "contradiction" in diagnosing.checked(tmp_path, 76)


@pytest.mark.parametrize("change", [data_kinds.all_alike, data_kinds.one_twice])
def test_images_under_two_names_are_seen(change, tmp_path):
    spoiled = change(data_kinds.draw("drawings", share=0.2))
    data_kinds.on_disk(tmp_path, spoiled)
    assert diagnosing.learned_by_heart(SMALL, data_kinds.Pack(spoiled, 32)) == overfit_attempt.IMPOSSIBLE
    assert "overlap" in diagnosing.checked(tmp_path, 76) or change is data_kinds.all_alike


@pytest.mark.slow
def test_shuffled_labels_end_at_guessing(tmp_path):
    """A training that lasts learns them by heart: then the validation alone shows it."""
    found = trained(tmp_path, "stripes", 60, data_kinds.shuffled)
    deviation = np.sqrt(0.25 / len(few("stripes", seed=1)))
    assert abs(float(found["last top-1"]) - float(found["guessing"])) < 3 * deviation
    assert diagnosing.learned_by_heart(SMALL, few("stripes", change=data_kinds.shuffled), 8) == QUIET  # it says so


@pytest.mark.slow
def test_a_doubled_mean_picture_is_seen(tmp_path):
    found = trained(tmp_path, "photographs", 4, spoil=lambda pack: setattr(pack, "mean", 2 * pack.mean))
    assert found["training"] == "off centre"


@pytest.mark.slow
def test_a_mean_picture_that_is_no_number_is_seen(tmp_path):
    found = trained(tmp_path, "stripes", 4, spoil=lambda pack: pack.mean.fill(np.nan))
    assert found["training"] == "not finite"


@pytest.mark.slow
def test_a_rate_that_is_far_too_large_is_seen(tmp_path):
    """Of a network that bears much: a thousand times its rate."""
    assert trained(tmp_path, "stripes", 120, rate=10.0)["training"] in ("stuck", "not finite")
    pack = few("stripes")
    assert diagnosing.learned_by_heart(SMALL.but(rate=10.0), pack, 16, tries=1) != QUIET


# --- the whole table, with alexnet

SEEN_BY = {  # the columns that say what is wrong
    "shuffled labels": ("end",),
    "copies with other labels": ("check", "overfit"),
    "all alike": ("check", "overfit", "training"),
    "one class twice": ("check", "overfit"),
    "val swapped": ("check",),
    "all swapped": ("check --weights",),
    "mean picture doubled": ("training",),
    "mean picture with NaN": ("training",),  # and overfit, where the NaN is in the centre crop
    "rate times 30": ("overfit", "training"),
}
SAYING = ("check", "check --weights", "overfit", "gradients", "gradients at the end", "training")


@pytest.fixture(scope="module")
def table():
    if not TABLE.exists():
        pytest.skip("the table has not been made yet: python -m tests.diagnostics_table, 40 minutes")
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_whole(table):
    assert [(row["set"], row["right"]) for row in table] == [
        (name, "right" if right else "wrong") for name, right, _ in cases()
    ]


def test_the_table_has_no_false_alarm(table):
    """Of right data that is learned. The dark one is not, in so few updates: that it is stuck is true."""
    right = [row for row in table if row["right"] == "right"]
    learned = [row for row in right if row["end"] == BETTER]
    assert len(learned) >= 10
    assert [(row["set"], name, row[name]) for row in learned for name in SAYING if row[name] != QUIET] == []
    for row in right:
        if row not in learned:
            assert {name: row[name] for name in SAYING if row[name] != QUIET} == {"training": "stuck"}, row
            assert float(row["last top-1"]) <= float(row["guessing"]), row


def test_the_table_says_of_wrong_data_what_is_responsible_for_it(table):
    for row in (row for row in table if row["right"] == "wrong"):
        fault = row["set"].partition(": ")[2]
        assert [name for name in SEEN_BY[fault] if row[name] in (QUIET, BETTER)] == [], row
        if fault != "mean picture with NaN":  # of which no gradient can be right
            assert {row["gradients"], row["gradients at the end"]} <= {QUIET, ""}, row  # the program is right
