"""--tensorboard: event files that TensorBoard reads; what the log has, also of a run that was stopped."""

import sys

import pytest

from cualex.errors import UsageError
from cualex.training import finetuning
from cualex.training.run import Run, event_files
from cualex.training.run.event_files import EventFiles
from cualex.weights import Weights, initial
from tests.support.tiny_runs import RECIPE, Squares, left, log, speck, stop, training

pytestmark = pytest.mark.usefixtures("speck")


@pytest.fixture
def tensorboard():
    """Skip where the extra is not installed."""
    return pytest.importorskip("tensorboard")


def read(run):
    """Return the scalars of a run as TensorBoard reads them: {tag: {step: value}}."""
    from tensorboard.backend.event_processing import event_accumulator

    found = event_accumulator.EventAccumulator(str(run.path))
    found.Reload()
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    assert all(len({each.step for each in many}) == len(many) for many in scalars.values()), "a step twice"
    return {tag: {each.step: each.value for each in many} for tag, many in scalars.items()}


def weights_of(recipe):
    """Return weights to start from, of the recipe's network."""
    network, pack = speck(), Squares()
    return Weights(network, initial.draw(network, recipe.seed), list(pack.classes), pack.mean)


def expected(run):
    """Return what the log has."""
    lines = log(run)
    ends = [line for line in lines if "val_loss" in line]
    updates = [line for line in lines if "loss" in line and line not in ends]
    table = {tag: {line["update"]: line[name] for line in ends} for name, tag in event_files.OF_EPOCHS.items()}
    for name, tag in event_files.OF_UPDATES.items():
        table[tag] = {line["update"]: line[name] for line in updates}
    return table


def same(found, wanted):
    assert found.keys() == wanted.keys() == {*event_files.OF_EPOCHS.values(), *event_files.OF_UPDATES.values()}
    for tag, steps in wanted.items():
        assert found[tag] == pytest.approx(steps, rel=1e-6), tag  # float32


def test_tensorboard_reads_what_the_log_has(tensorboard, whole, tmp_path):
    run = Run.create(tmp_path)
    list(training(run, tensorboard=True))
    same(read(run), expected(run))
    ours = left(run)
    assert {name for name in ours.pop("files") if not name.startswith("events.")} == set(whole["files"])
    assert ours == {name: value for name, value in whole.items() if name != "files"}


@pytest.mark.slow
def test_a_run_that_goes_on_has_each_step_once(tensorboard, tmp_path):
    """Killed at update 25 with a checkpoint of update 13: the steps in between are dropped and written again."""
    run = Run.create(tmp_path)
    stop(training(run, tensorboard=True), 13)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cualex.training.loop.Training._leave", lambda self: None)
        patch.setattr("cualex.training.run.writer.RunWriter.save_if_due", lambda self, between_epochs=False: None)
        stop(training(run, tensorboard=True), 12)
    list(training(run, tensorboard=True))
    same(read(run), expected(run))


@pytest.mark.parametrize("tuned", [False, True])
def test_a_run_that_begins_again_has_each_step_once(tensorboard, tmp_path, tuned):
    """Killed at update 12 before its first checkpoint; fine-tuned, its checkpoint is that of update 0."""
    run, recipe = Run.create(tmp_path), RECIPE.but(epochs=3)
    begun = finetuning.start(weights_of(recipe), recipe, list(Squares().classes)) if tuned else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cualex.training.loop.Training._leave", lambda self: None)
        patch.setattr("cualex.training.run.writer.RunWriter.save_if_due", lambda self, between_epochs=False: None)
        stop(training(run, recipe, tensorboard=True, start=begun), 12)
    list(training(run, recipe, tensorboard=True))
    same(read(run), expected(run))


@pytest.mark.slow
def test_a_start_that_drops_nothing_is_found(tensorboard, tmp_path, monkeypatch):
    monkeypatch.setattr(EventFiles, "resume", lambda self, update: None)
    with pytest.raises(AssertionError, match="a step twice"):
        test_a_run_that_goes_on_has_each_step_once(tensorboard, tmp_path)


@pytest.mark.slow
def test_files_that_cannot_be_written_end_no_training(tensorboard, tmp_path, whole):
    run = Run.create(tmp_path)
    records = training(run, tensorboard=True)
    with pytest.MonkeyPatch.context() as patch:

        def full(*_):
            raise OSError(28, "No space left on device")

        patch.setattr("tensorboard.summary.writer.event_file_writer.EventFileWriter", full)
        told = [record.text for record in records if hasattr(record, "text")]
    assert [text for text in told if "event files" in text] == [
        "The event files are not written any further: [Errno 28] No space left on device"
    ]
    assert left(run) == whole


def test_without_tensorboard_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    said = r'^--tensorboard: tensorboard is not installed\. Install it: pip install "cualex\[tensorboard\]"$'
    with pytest.raises(UsageError, match=said):
        event_files.check()
