"""What a run goes on with: checkpoints that are damaged, other options, other pictures, another machine."""

import json

import pytest

from cualex.errors import DataError, UsageError, WeightsError
from cualex.system import environment
from cualex.training import loop
from cualex.training.records import Notice, Update
from cualex.training.run import Run
from tests.support.tiny_runs import RECIPE, Squares, left, log, stop, training

pytestmark = pytest.mark.usefixtures("speck")


@pytest.fixture
def stopped(tmp_path):
    """Stop a training after its eighth update, with a checkpoint after each."""
    run = Run.create(tmp_path)
    stop(training(run, save_every=0.0), 8)
    return run


def notices(records):
    return [record.text for record in records if isinstance(record, Notice)]


def updates(records):
    return [record.update for record in records if isinstance(record, Update)]


# --- checkpoints


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_where_the_last_checkpoint_is_damaged_the_one_before_is_taken(stopped, whole, damage):
    last = stopped.path / "last.safetensors"
    data = bytearray(last.read_bytes())
    if damage == "cut":
        last.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-100] ^= 1
        last.write_bytes(data)
    else:
        last.unlink()
    assert updates(training(stopped))[0] == 8
    assert left(stopped) == whole


@pytest.mark.slow
def test_where_both_are_damaged_nothing_is_touched(stopped):
    for name in ("last", "previous"):
        (stopped.path / f"{name}.safetensors").write_bytes(b"no")
    before = (stopped.path / "log.jsonl").read_bytes()
    with pytest.raises(WeightsError, match="damaged or incomplete weights file of cualex"):
        training(stopped)
    assert (stopped.path / "log.jsonl").read_bytes() == before


@pytest.mark.slow
def test_before_its_first_checkpoint_a_run_starts_anew(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr(loop.Training, "_leave", lambda self: None)
        stop(training(run), 13)
    assert log(run)
    assert run.checkpoint() is None
    assert updates(training(run))[0] == 1
    assert left(run) == whole


@pytest.mark.slow
def test_what_a_kill_has_left_is_swept(stopped):
    part = stopped.path / ".last.safetensors.4711.part"
    part.write_bytes(b"half")
    training(stopped)
    assert not part.exists()


@pytest.mark.slow
def test_what_a_kill_before_the_first_arguments_has_left_is_swept(whole, tmp_path):
    run = Run.create(tmp_path)
    (run.path / ".env.json.4711.part").write_text("{")
    list(training(run))
    assert left(run) == whole


# --- options


@pytest.mark.slow
def test_options_that_change_are_said_and_logged(stopped):
    recipe = RECIPE.but(rate=0.004, epochs=4, batch=5)
    records = list(training(stopped, recipe))
    assert notices(records) == [
        "Continues after update 8, in epoch 2 of 4.",
        "Continues with batch 5 (was 8), epochs 4 (was 9), rate 0.004 (was 0.01).",
    ]
    changed = {"batch": [8, 5], "epochs": [9, 4], "rate": [0.01, 0.004]}
    assert {"epoch": 2, "update": 8, "changed": changed} in log(stopped)
    assert {record.rate for record in records if isinstance(record, Update)} == {0.004}
    # 64 of 4 x 37 pictures were taken; epochs end at 74, 111 and 148, and batches of 5 reach them in 2, 7 and 8.
    assert updates(records) == list(range(9, 9 + 2 + 7 + 8))
    assert json.loads((stopped.path / "args.json").read_text())["recipe"]["rate"] == 0.004


@pytest.mark.slow
def test_a_change_stays_when_the_run_is_stopped_again(stopped):
    stop(training(stopped, RECIPE.but(rate=0.004)), 3)
    told = notices(training(stopped, RECIPE.but(rate=0.004)))
    assert told[0] == "Continues after update 11, in epoch 3 of 9."
    assert not any("rate 0.004" in text for text in told)
    assert sum("changed" in line for line in log(stopped)) == 1


@pytest.mark.slow
def test_the_schedule_goes_on_where_it_was(tmp_path):
    """The rate has fallen after the sixth epoch; more epochs change nothing about that, another rate does."""
    run = Run.create(tmp_path)
    stop(training(run), 30)
    records = [record for record in training(run, RECIPE.but(epochs=7)) if isinstance(record, Update)]
    assert {record.rate for record in records} == {0.01 / 10}
    records = [record for record in training(run, RECIPE.but(epochs=8, rate=0.5)) if isinstance(record, Update)]
    assert {record.rate for record in records} == {0.5}


@pytest.mark.slow
def test_a_finished_run_says_so_and_goes_on_with_more_epochs(tmp_path):
    run = Run.create(tmp_path)
    list(training(run, RECIPE.but(epochs=2)))
    with pytest.raises(UsageError, match=r"train is finished, after 2 epochs\. Give more --epochs to continue\."):
        training(run, RECIPE.but(epochs=2))
    assert updates(training(run, RECIPE.but(epochs=3))) == [11, 12, 13, 14]
    assert run.outcome()["epochs"] == 3


@pytest.mark.parametrize(
    ("change", "words"), [({"crop": 12}, "its crop is 11, got 12"), ({"seed": 7}, "its seed is 0, got 7")]
)
def test_what_cannot_change_is_refused(stopped, change, words):
    with pytest.raises(
        UsageError, match=f"{words}, and cannot change on resume. Leave the option out, or start a new run."
    ):
        training(stopped, RECIPE.but(**change))


# --- pictures and machine


@pytest.mark.slow
def test_other_pictures_are_refused(stopped):
    words = r"not the data set of this run: 36 \+ 12 images, expected 37 \+ 12\. Give the run's own data set"
    with pytest.raises(DataError, match=words):
        loop.train(RECIPE, Squares(36), Squares(12, seed=1), stopped)
    with pytest.raises(DataError, match="as expected, but with other names, classes or contents"):
        loop.train(RECIPE, Squares(seed=5), Squares(12, seed=1), stopped)


@pytest.mark.slow
def test_another_machine_goes_on_and_says_so(stopped, monkeypatch):
    here = environment.describe()
    monkeypatch.setattr(environment, "describe", lambda: here | {"processor": "an abacus"})
    records = list(training(stopped))
    assert notices(records)[1] == (
        f'On another type of machine the bits may differ: processor "an abacus" (was "{here["processor"]}").'
    )
    assert any(line.get("machine") == {"processor": [here["processor"], "an abacus"]} for line in log(stopped))
