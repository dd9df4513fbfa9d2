"""What a training has come to: exact intervals, trends that are not noise, and the lines that a person reads."""

import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest

from cualex.evaluation import uneven
from cualex.training import confidence, trends, verdict
from cualex.training.verdict import Verdict

# --- intervals


@pytest.mark.parametrize(
    ("right", "count", "expected"),
    [
        # Clopper and Pearson's bounds, as R's binom.test prints them.
        (0, 10, (0.0, 0.3084971)),
        (10, 10, (0.6915029, 1.0)),
        (7, 20, (0.1539092, 0.5921885)),
        (25, 60, (0.2906807, 0.5511622)),
    ],
)
def test_intervals_are_exact(right, count, expected):
    assert confidence.interval(right, count) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("right", "count", "share"), [(3, 7, Fraction(1, 3)), (40, 60, Fraction(9, 10))])
def test_the_tail_is_the_sum_of_its_probabilities(right, count, share):
    """Against whole fractions; 60 terms of float64 have a relative error far below 1e-12."""
    terms = (math.comb(count, i) * share**i * (1 - share) ** (count - i) for i in range(right, count + 1))
    assert confidence.tail(right, count, float(share)) == pytest.approx(float(sum(terms)), rel=1e-12)


@pytest.mark.parametrize(("right", "count", "share", "tail"), [(0, 5, 0.3, 1), (1, 5, 0, 0), (5, 5, 1, 1)])
def test_the_tail_at_its_edges(right, count, share, tail):
    assert confidence.tail(right, count, share) == tail


@pytest.mark.parametrize("count", [1, 12, 60, 120])
@pytest.mark.parametrize("share", [0.02, 0.22, 0.5, 0.95])
def test_guessing_is_called_better_in_at_most_a_fortieth_of_all_cases(count, share):
    """No simulation: the probability of every outcome that is called better, added up."""
    called = [right for right in range(count + 1) if confidence.above(right, count, share)]
    chance = sum(math.comb(count, right) * share**right * (1 - share) ** (count - right) for right in called)
    assert chance <= 0.025
    assert called == [right for right in range(count + 1) if confidence.lower(right, count) > share]


def test_as_many_images_as_are_needed_decide():
    # All right is above 95 % when 0.95^n < 0.025, from 72 images on.
    assert confidence.needed(1.0, 0.95) == 72
    assert not confidence.above(71, 71, 0.95)
    assert confidence.needed(0.5005, 0.5) is None


# --- trends


def epochs(losses, errors=None, train=None, rates=None):
    """Make the lines that a log has of some epochs."""
    count = len(losses)
    errors, train = errors or [0.5] * count, train or [1.0] * count
    rows = zip(losses, errors, train, rates or [0.01] * count, strict=True)
    return [
        {"epoch": number, "val_loss": loss, "top1": 1 - error, "loss": own, "rate": rate}
        for number, (loss, error, own, rate) in enumerate(rows, 1)
    ]


def test_a_loss_or_an_error_that_falls_is_an_improvement():
    flat = [1.0, 1.01, 0.99, 1.0, 1.01, 1.0]
    assert trends.improving(epochs([1.5, 1.3, 1.21, 1.1, 1.02, 0.9])) == (True, 4)
    assert trends.improving(epochs(flat)) == (False, 4)
    assert trends.improving(epochs(flat[::-1], errors=[0.5, 0.45, 0.41, 0.37, 0.31, 0.27])) == (True, 4)
    assert trends.improving(epochs([1.0] * 6)) == (False, 4)


def test_a_fall_too_small_to_matter_is_none():
    assert not trends.falls([1.0, 0.999, 0.998, 0.997])
    assert trends.falls([1.0, 0.99, 0.98, 0.97])


def test_few_epochs_say_nothing():
    assert trends.improving(epochs([2.0, 1.0, 0.5])) == (None, 3)
    assert trends.overfitting(epochs([1.0, 2.0, 3.0], train=[1.0, 0.5, 0.1])) == (None, None)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_losses_that_are_no_numbers_say_nothing(broken):
    rows = epochs([1.0, 0.9, 0.8, 0.7, broken])
    assert trends.improving(rows)[0] is None
    assert trends.overfitting(rows) == (None, None)


def test_the_fall_of_the_loss_at_a_fall_of_the_rate_is_no_trend():
    """Where enough epochs follow on it; the last ten of 30 would see a clear fall."""
    losses = [2 - 0.05 * i for i in range(20)] + [1.0] * 5 + [0.7, 0.702, 0.698, 0.701, 0.7]
    rates = [0.01] * 25 + [0.001] * 5
    assert trends.improving(epochs(losses, rates=rates)) == (False, 5)
    assert trends.improving(epochs(losses)) == (True, 10)


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 12, 30])
def test_noise_is_no_trend_but_in_a_twentieth_of_all_cases(count):
    """Loss and error each at 2.5 %; of 2,000 trials 5 % are 100 +- 9.7, and overfitting is rarer."""
    rng, found, risen = np.random.default_rng(count), 0, 0
    for _ in range(2000):
        losses, errors = 1.2 + 0.05 * rng.normal(size=count), 0.5 + 0.03 * rng.normal(size=count)
        train = list(np.linspace(2, 0.3, count))
        rows = epochs(list(losses), list(errors), train)
        found += trends.improving(rows)[0]
        risen += trends.overfitting(rows)[0]
    print(f"\n{count} epochs of noise: {found} of 2,000 still improving, {risen} overfitting")
    assert found < 100 + 4 * 9.7
    assert risen < 100


def test_a_validation_loss_that_rises_while_the_training_loss_falls_is_overfitting():
    losses = [1.6, 1.3, 1.15, 1.1, 1.12, 1.2, 1.3, 1.38, 1.5]
    train = [1.6, 1.3, 1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1]
    found, lowest = trends.overfitting(epochs(losses, train=train))
    assert (found, lowest["epoch"]) == (True, 4)
    assert trends.overfitting(epochs(losses, train=train[::-1]))[0] is False  # both rise: it diverges
    assert trends.overfitting(epochs(sorted(losses, reverse=True), train=train))[0] is False


def test_overfitting_is_seen_long_after_it_happened():
    losses = [1.5, 1.2, 1.1, 1.3, 1.5, 1.7] + [1.8, 1.81, 1.79, 1.8] * 5
    assert trends.overfitting(epochs(losses, train=list(np.linspace(1.5, 0.1, 26))))[0] is True


# --- the verdict


def judged(right=25, validation=(13, 12, 12, 12, 11), training=None, rows=None, best=None, **more):
    """Judge a training whose last epoch had so many validation images correct."""
    validation = np.array(validation)
    rows = rows or epochs([1.5, 1.4, 1.32, 1.24])
    rows[-1]["top1"] = right / validation.sum()
    training = 4 * validation if training is None else np.array(training)
    best = best or {"epoch": rows[-1]["epoch"], "top1": rows[-1]["top1"]}
    return verdict.judge(rows, best, validation, training, **more)


def lines(found, kept=False):
    return found.lines("runs/train", "photos", kept)


def test_better_than_guessing():
    found = judged()
    assert (found.better, found.right, found.images) == (True, 25, 60)
    assert lines(found)[0] == (
        "Better than guessing: 41.7 % of 60 validation images correct (95 % interval 29 to 55 %); "
        "always predicting the largest class: 22 %."
    )


def test_no_better_than_guessing():
    found = judged(right=13)
    assert not found.better
    assert lines(found)[0] == (
        "No better than guessing: 21.7 % of 60 validation images correct (95 % interval 12 to 34 %); "
        "always predicting the largest class: 22 %. Check the data (cualex check), and whether the network can overfit "
        "it: cualex train photos --overfit 32"
    )


@pytest.mark.parametrize(
    ("right", "validation", "said"),
    [
        (7, (6, 6), "12 images cannot tell; about 174 could: add images"),
        (40, (38, 2), "40 images cannot tell; about 72 could: add images"),
        (0, (1, 1), "2 images cannot tell; about "),
        (2, (2, 0), "2 images cannot tell: add images"),
    ],
)
def test_a_set_too_small_to_decide_says_so(right, validation, said):
    found = judged(right, validation)
    assert (found.better, found.cannot_tell) == (False, True)
    above = right > max(validation)
    told = "Too few images to tell it from guessing: " if above else "No better than guessing: "
    assert lines(found)[0].startswith(told)
    assert said in lines(found)[0]
    assert found.document()["verdict"] == "No better than guessing"  # what scripts read stays


def test_all_of_five_images_are_too_few_to_say_that_guessing_is_as_good():
    found = judged(5, (1, 4))
    assert lines(found)[0].startswith(
        "Too few images to tell it from guessing: 100.0 % of 5 validation images correct (95 % interval 48 to 100 %); "
        "always predicting the largest class: 80 %. 5 images cannot tell; about 17 could: add images"
    )


def test_the_last_epoch_is_judged_and_the_best_one_is_said():
    """The best of many epochs on the images that it was chosen by would pass for better."""
    best = {"epoch": 2, "top1": 21 / 60}
    found = judged(right=14, best=best)
    assert confidence.above(21, 60, found.baseline)
    assert not found.better
    assert lines(found)[1] == (
        "That is the last epoch, 4. The weights kept are those of epoch 2, with 35.0 %: the best of 4 on these images, "
        "so less is likely on others."
    )
    assert "The weights kept" not in "\n".join(lines(judged(best={"epoch": 2, "top1": 25 / 60})))


def test_training_images_say_nothing_about_others():
    found = judged(right=55, held_out=False)
    assert lines(found)[:2] == [
        "Better than guessing: 91.7 % of 60 training images correct (95 % interval 82 to 97 %); always predicting "
        "the largest class: 22 %. They were trained on, which says nothing about new ones: hold some out with "
        "--val-split 0.2.",
        "Training loss 1.00. Without held-out images overfitting cannot be measured.",
    ]
    assert found.overfitting is None


def test_many_images_have_a_narrow_interval():
    assert "(95 % interval 41.2 to 43.2 %)" in lines(judged(4220, [1000] * 10))[0]


def test_the_baseline_of_the_loss_is_the_entropy_of_the_classes():
    found = judged(validation=(30, 30, 0))
    assert found.baseline_loss == pytest.approx(math.log(2), rel=1e-12)
    assert "(of predicting the class frequencies: 0.69)" in "\n".join(lines(found))


# --- classes of uneven size


def test_classes_are_uneven_above_one_and_a_half_times_as_many_images():
    assert uneven(np.array([4, 2, 0]))
    assert not uneven(np.array([3, 2, 0]))
    assert not uneven(np.array([0, 0]))


def lopsided(recall, **more):
    """Judge 190 + 10 images, of which a fifth validates and 38 are right."""
    rows = epochs([0.3, 0.25, 0.22, 0.2])
    rows[-1]["macro_recall"] = recall
    return judged(38, (38, 2), (152, 8), rows, **more)


def test_uneven_classes_are_judged_by_their_mean_and_weights_are_advised_where_small_ones_suffer():
    found = lopsided(0.5)
    assert (found.better, found.uneven, found.balance_advised) == (False, True, True)
    assert lines(found)[0].startswith("No better than guessing: 95.0 % of 40 validation images correct")
    assert lines(found)[1] == (
        "Macro recall, the mean over the classes, which are imbalanced: 50.0 %. --class-weights balanced makes small "
        "classes count as much as large ones."
    )


def test_weights_are_not_advised_where_they_are_there_or_help_nobody():
    for found in (lopsided(0.5, balanced=True), lopsided(0.94)):
        assert (found.uneven, found.balance_advised) == (True, False)
        assert "--class-weights" not in "\n".join(lines(found))


def test_even_classes_and_old_lines_of_a_log_have_no_word_about_it():
    assert "Macro recall" not in "\n".join(lines(judged()))
    assert "Macro recall" not in "\n".join(lines(lopsided(None)))


# --- what to do next


FALLING = [1.6, 1.5, 1.4, 1.3, 1.2, 1.1]


def advice(found, kept=False):
    return lines(found, kept)[-1]


def test_a_run_that_still_improves_goes_on():
    found = judged(rows=epochs(FALLING))
    assert advice(found, kept=True) == "Still improving. To continue: cualex train --resume runs/train --epochs 12"
    assert advice(found) == (
        "Still improving. To continue from its weights: cualex train photos --from runs/train/best.safetensors"
    )


def test_names_with_spaces_are_quoted():
    found = judged(rows=epochs(FALLING))
    said = found.lines("my runs/train", "my photos", True), found.lines("my runs/train", "my photos", False)
    assert said[0][-1].endswith("--resume 'my runs/train' --epochs 12")
    assert said[1][-1].endswith("cualex train 'my photos' --from 'my runs/train/best.safetensors'")


def test_at_a_rate_that_has_fallen_a_run_is_not_continued():
    found = judged(rows=epochs(FALLING, rates=[0.01] * 4 + [0.001] * 2))
    assert (found.improving, found.rate_fallen) == (True, True)
    assert advice(found, kept=True) == (
        "Still improving, but the learning rate has fallen to 0.001, where more epochs gain little: "
        "train again with --epochs 12, and with later --drop-epochs if you set them."
    )


def test_a_run_that_no_longer_improves():
    found = judged(rows=epochs([1.5, 1.2, 1.0, 1.01, 0.99, 1.0]))
    assert advice(found) == "No longer improving: no clear gain in the last 4 epochs, so more gain little."


def test_what_has_not_begun_to_learn_is_not_told_that_more_gains_little():
    found = judged(right=13, rows=epochs([1.61, 1.6, 1.62, 1.61], rates=[0.01] * 3 + [0.001]))
    assert advice(found) == (
        "Not improving: no clear gain in the last 4 epochs. A network that has not begun to learn may need more epochs "
        "(--epochs 8) or another --lr (it was 0.01)."
    )


def test_where_all_are_right_nothing_is_left_to_gain():
    assert advice(judged(60, rows=epochs(FALLING))) == "All of them are correct, so more epochs can show no gain."


def test_too_few_epochs():
    found = judged(rows=epochs([1.5]))
    assert advice(found).startswith("1 epoch: too few to say whether it still improves. If it should, train again")
    assert lines(found)[-2].startswith("Training loss 1.00, validation loss 1.50 (of predicting")


def test_overfitting_says_since_when_and_what_helps():
    losses = [1.6, 1.3, 1.15, 1.1, 1.12, 1.2, 1.3, 1.38, 1.5]
    found = judged(rows=epochs(losses, train=[1.6, 1.3, 1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1]))
    assert lines(found)[1] == (
        "Overfitting: since epoch 4 the training loss fell from 0.80 to 0.10, but the validation loss rose from 1.10 "
        "to 1.50 (of predicting the class frequencies: 1.61). More images help most; else stop earlier "
        "(--stop-after 5), fine-tune trained weights (--from), or raise --weight-decay."
    )
    assert lines(judged())[1].startswith("Not overfitting: training loss 1.00, validation loss 1.24 (of predicting")


def test_a_weighted_training_loss_is_marked_since_the_validation_loss_is_not_weighted():
    losses = next(line for line in lines(lopsided(0.5, balanced=True)) if "raining loss" in line)
    assert re.search(r"[Tt]raining loss \d\.\d\d \(classes weighted\), validation loss \d\.\d\d \(", losses)
    assert "weighted" not in "".join(lines(lopsided(0.5)))


# --- as a document


def test_a_document_is_plain_and_read_back():
    for found in (judged(), judged(7, (6, 6)), lopsided(0.5), judged(55, held_out=False)):
        written = json.loads(json.dumps(found.document(), allow_nan=False))
        assert written["verdict"] == found.phrase
        assert Verdict.read(written) == found


def test_a_loss_that_is_no_number_is_null_in_the_document():
    found = judged(rows=epochs([1.0, 1.0, 1.0, math.nan]))
    assert json.loads(json.dumps(found.document(), allow_nan=False))["val_loss"] is None
    assert "validation loss NaN or Inf" in "\n".join(lines(found))


def test_a_run_that_was_finished_before_there_were_verdicts_has_none():
    outcome = {"epochs": 8, "updates": 800, "best_epoch": 7, "top1": 0.9, "top5": 1.0}
    assert Verdict.read(outcome) is None
