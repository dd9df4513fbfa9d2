"""The recipe of LARS by batch size, and the sentence on linear scaling, which is never done silently."""

import pytest
from click.testing import CliRunner

import cualex
from cualex.cli import main
from cualex.errors import UsageError
from cualex.training import large_batches, recipe_choice, recipes, setup
from cualex.training.options import of
from cualex.training.rates import Course
from tests.support.tiny_runs import known, speck

ROWS = [(512, 2, 2), (511, 2, 2), (4096, 10, 10), (8191, 10, 10), (8192, 10, 14), (16384, 14, 23), (40000, 14, 22)]


def begun(**given):
    options = of(**given)
    return recipe_choice.changed(recipe_choice.begin(options, 1_281_167, None), options)


@pytest.mark.parametrize(("batch", "lrn", "batchnorm"), ROWS)
def test_the_rate_is_that_of_the_batchs_row(batch, lrn, batchnorm):
    plain = begun(recipe="lars", batch_size=batch)
    other = begun(recipe="lars", batch_size=batch, variant=["norm=batch"])
    assert (plain.rate, plain.warmup, plain.batch) == (lrn, 2, batch)
    assert (other.rate, other.warmup, other.batch) == (batchnorm, 5, batch)
    for each in (plain, other):
        assert (each.optimizer, each.trust, each.momentum, each.decay) == ("lars", 0.001, 0.9, 0.0005)
        assert (each.falls, each.epochs, each.network) == ("poly", 100, "alexnet")


def test_other_networks_take_the_row_of_their_normalisation():
    assert begun(recipe="lars", network="alexnet-batchnorm").warmup == 5
    assert begun(recipe="lars", network="caffenet", batch_size=4096).rate == 10


def test_a_given_number_goes_before_the_row():
    assert begun(recipe="lars", batch_size=4096, lr=3.0, trust=0.02, warmup=0.0).but() == begun(
        recipe="lars", batch_size=512, lr=3.0, trust=0.02, warmup=0.0
    ).but(batch=4096)


def test_the_help_has_the_same_table():
    text = CliRunner().invoke(main, ["help", "recipes"]).output
    for words, rows in (("LRN ", large_batches.LRN), ("norm=batch", large_batches.BATCHNORM)):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"rate, %: {words}")]
        cells = [cell.split(", ") for cell in line.partition(words)[2].split("  ") if cell.strip()]
        assert [(float(rate), float(top1)) for rate, top1 in cells] == [(row.rate, row.top1) for row in rows]


# --- notes


def test_a_line_says_what_linear_scaling_would_give():
    said = large_batches.scaling(recipes.PAPER, recipes.PAPER.but(batch=1024), False)
    assert said == (
        "The learning rate 0.01 is that of batches of 128, and is not scaled; for 1,024 linear scaling (Goyal et al. "
        "2017) would give --lr 0.08, with --warmup 5."
    )


@pytest.mark.parametrize(
    ("changes", "given"),
    [({"batch": 1024}, True), ({"batch": 160}, False), ({}, False), ({"batch": 1024, "optimizer": "adam"}, False)],
)
def test_no_line_where_the_rate_was_given_or_is_near(changes, given):
    assert large_batches.scaling(recipes.PAPER, recipes.PAPER.but(**changes), given) is None


def test_lars_says_where_its_rates_come_from():
    assert large_batches.published(recipes.LARGE) == (
        "LARS: rates by batch size of You, Gitman and Ginsburg (2017), AlexNet on ImageNet: 512: 2, 4,096: 10, 8,192: "
        "10, 16,384: 14, 32,768: 14; here 512: 2."
    )
    assert large_batches.published(recipes.PAPER) is None


def test_a_training_is_told_and_scales_nothing(tmp_path):
    """From the automatic recipe: its rate is for the batch size that it would choose itself."""
    made = setup.prepare(of(output=str(tmp_path), batch_size=512, scratch=True), None)
    assert [text for text in made.remarks if "linear scaling" in text] == [
        "The learning rate 0.01 is that of batches of 64, and is not scaled; for 512 linear scaling (Goyal et al. "
        "2017) would give --lr 0.08, with --warmup 5."
    ]
    assert made.recipe.rate == 0.01
    assert not setup.prepare(of(output=str(tmp_path), scratch=True), None).remarks


# --- options


def test_trust_needs_lars():
    with pytest.raises(
        UsageError, match=r"^--trust: belongs to --optimizer lars, got momentum; leave one of them out$"
    ):
        begun(trust=0.01)
    assert begun(optimizer="lars", trust=0.01).trust == 0.01


def test_the_table_prints_trust_with_lars_alone():
    assert ("trust coefficient of LARS", "0.001", "none") in recipes.LARGE.against_paper()
    assert ("optimizer", "LARS", "SGD with momentum") in recipes.LARGE.against_paper()
    assert "trust" not in str(recipes.PAPER.against_paper())


def test_the_rates_warm_up_and_fall():
    with known():
        course = Course(recipes.LARGE.but(network="speck"), speck())
    rates = [course.rates(1, done)[0] for done in (0, 0.01, 0.02, 0.5)]
    assert rates == pytest.approx([0.02, 2 * 0.505 * 0.99**2, 2 * 0.98**2, 0.5])


def test_python_takes_it(tmp_path):
    made = cualex.train(output=tmp_path, recipe="lars", batch_size=600, accumulate=6, trust=0.002)
    assert "batch size 600, rate 2" in repr(made)
