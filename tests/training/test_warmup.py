"""--warmup: a factor of the rates, with every schedule, by the position in the stream alone."""

import json

import pytest

from cualex.errors import UsageError
from cualex.training import recipe_choice
from cualex.training.debugging import overfit
from cualex.training.options import Options
from cualex.training.rates import COLD, Course
from cualex.training.recipes import PAPER
from cualex.training.run import Run
from tests.support.tiny_runs import RECIPE, known, left, speck, stop, training

NETWORK = speck()
WARM = RECIPE.but(warmup=2.5)


@pytest.fixture(scope="module")
def warm(tmp_path_factory, networks_known):
    run = Run.create(tmp_path_factory.mktemp("warm"))
    list(training(run, WARM))
    return left(run)


@pytest.fixture(scope="module")
def networks_known():
    with known():
        yield


@pytest.mark.parametrize("schedule", ["plateau", "steps", "cosine", "poly", "2012"])
def test_it_multiplies_the_rates_of_every_schedule(schedule):
    recipe = RECIPE.but(schedule=schedule, epochs=10, bias_rate=0.03)
    cold, plain = Course(recipe.but(warmup=4.0), speck()), Course(recipe, speck())
    for tenths in range(100):
        epoch, done = tenths // 10 + 1, tenths / 100
        factor = min(1.0, COLD + (1 - COLD) * (tenths / 10) / 4)
        for got, expected in zip(cold.rates(epoch, done), plain.rates(epoch, done), strict=True):
            assert got == pytest.approx(factor * expected, rel=1e-12)
            assert tenths < 40 or got == expected  # to the bit


def test_it_begins_at_a_hundredth_and_ends_at_the_rate():
    course = Course(PAPER.but(warmup=1.0), NETWORK)
    rates = [course.rates(1, images / 100 / PAPER.epochs)[0] for images in (0, 50, 100)]
    assert rates == pytest.approx([0.0001, 0.00505, 0.01])


def test_none_changes_no_bit():
    assert Course(PAPER, NETWORK).rates(1, 0.0) == (0.01, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("update", [3, 12])
def test_a_run_that_is_stopped_within_it_goes_on_to_the_same_bits(warm, networks_known, tmp_path, update):
    run = Run.create(tmp_path)
    stop(training(run, WARM), update)
    list(training(run, WARM))
    assert left(run) == warm


@pytest.mark.slow
def test_the_run_learns_otherwise_and_records_it(warm, networks_known, tmp_path):
    run = Run.create(tmp_path)
    list(training(run, WARM.but(warmup=0.0)))
    assert left(run)["weights"] != warm["weights"]
    stop(training(Run.create(tmp_path, "warm"), WARM), 1)
    assert json.loads((tmp_path / "warm/args.json").read_text())["recipe"]["warmup"] == 2.5


@pytest.mark.slow
def test_a_warm_up_that_starts_anew_on_resume_is_found(warm, networks_known, tmp_path, monkeypatch):
    """Planted: counted from the start of the process."""
    run = Run.create(tmp_path)
    stop(training(run, WARM), 3)
    monkeypatch.setattr(Course, "_warmed", _from_now(Course._warmed))
    list(training(run, WARM))
    assert left(run)["weights"] != warm["weights"]


def _from_now(warmed):
    first = []

    def late(self, done):
        first.append(done)
        return warmed(self, done - first[0])

    return late


def test_options_give_it_and_the_table_prints_it():
    recipe = recipe_choice.changed(PAPER, Options(warmup=2.0))
    assert recipe.warmup == 2.0
    assert ("warm-up of the rate, epochs", "2", "none") in recipe.against_paper()
    assert "warm-up" not in str(PAPER.against_paper())


def test_the_check_of_overfitting_has_none():
    """Its tries have no epochs, so all of their updates would be the first."""
    assert overfit.plain(WARM, 4).warmup == 0


def test_one_that_never_ends_is_refused():
    with pytest.raises(UsageError, match=r"^--warmup 90: expected fewer epochs than the training has, 90$"):
        Course(PAPER.but(warmup=90.0), NETWORK).check()
