"""Training, saving, naming and evaluating with the CUDA engine, end to end in the emulator."""

from functools import partial

import numpy as np
import pytest

from cualex import model, weights
from cualex.devices import placement
from cualex.errors import OutOfMemory
from cualex.evaluation import evaluate, measure
from cualex.model import Model
from cualex.training import loop
from cualex.training.records import Epoch, Update
from cualex.training.run import Run
from tests.support import tiny_runs

RECIPE = tiny_runs.RECIPE.but(batch=4, epochs=2, drop_epochs=(1,), plain_epochs=1, warmup=0.5)


@pytest.fixture
def gpus(emulated, speck, monkeypatch):
    """Let the machine have GPUs: emulated, their streams in a random order."""
    monkeypatch.setattr(placement, "CupyRuntime", lambda: emulated(streams="random", seed=1))
    monkeypatch.setattr(model, "BATCH", 4)  # pictures are many threads here
    monkeypatch.setattr(loop, "evaluate", partial(evaluate, batch=4))
    monkeypatch.setattr(measure, "BATCH", 4)


def trained(place, device, precision=None):
    run = Run.create(place, device.replace(":", ""))
    records = list(loop.train(RECIPE, tiny_runs.Squares(12), tiny_runs.Squares(4, seed=1), run, device, precision))
    return records, weights.load(run.path / "last.safetensors")


def test_a_training_is_that_of_the_cpu(gpus, tmp_path):
    ours, kept = trained(tmp_path, "cuda:0", "fp32")
    host, expected = trained(tmp_path, "cpu")
    assert [type(record) for record in ours] == [type(record) for record in host]
    for one, other in zip(ours, host, strict=True):
        if isinstance(one, Update):
            assert (one.update, one.epoch, one.rate) == (other.update, other.epoch, other.rate)
            assert one.loss == pytest.approx(other.loss, rel=1e-4)
        if isinstance(one, Epoch):
            assert one.validation.loss == pytest.approx(other.validation.loss, rel=1e-4)
    for name, tensor in expected.tensors.items():
        assert np.linalg.norm(kept.tensors[name] - tensor) < 1e-4 * np.linalg.norm(tensor), name
    assert set(kept.velocities) == set(expected.velocities)


@pytest.mark.emulator  # which notes what is loaded
def test_batches_are_gathered_where_the_gpu_reads_them(gpus, emulated, tmp_path, monkeypatch):
    """Each byte is written once by the host: no batch of a training is copied to other memory of the host."""
    direct, transfer = [], emulated._transfer

    def noted(self, stream, source, target):
        if any(np.may_share_memory(source, staged) for staged in self._staged):
            direct.append((source.shape, source.dtype))
        transfer(self, stream, source, target)

    monkeypatch.setattr(emulated, "_transfer", noted)
    records, _ = trained(tmp_path, "cuda:0,cuda:1", "fp32")
    updates = sum(isinstance(record, Update) for record in records)
    assert updates == 6
    assert direct.count(((4, 16, 16, 3), np.uint8)) == 2 * updates  # each GPU has all of a batch
    assert direct.count(((4,), np.int32)) == updates  # the labels are for the first


@pytest.mark.parametrize("precision", [pytest.param("tf32", marks=pytest.mark.slow), "bf16"])
def test_weights_that_a_gpu_has_trained_name_pictures_on_the_cpu(gpus, tmp_path, precision):
    _, kept = trained(tmp_path, "cuda:0", precision)
    pictures, models = tiny_runs.Squares(4, seed=1), [Model(kept, "cuda:0", precision), Model(kept, "cpu")]
    found, expected = (each.probabilities(pictures.pictures) for each in models)
    assert np.abs(found - expected).max() < {"tf32": 5e-3, "bf16": 5e-2}[precision]
    ours, host = (evaluate(each, pictures, batch=4) for each in models)
    assert ours.loss == pytest.approx(host.loss, rel={"tf32": 1e-2, "bf16": 5e-2}[precision])


def test_a_batch_that_nobody_chose_is_as_large_as_fits(gpus, tmp_path, emulated, monkeypatch):
    """A validation of 32 images ended trainings in batches of 2, and asked for --batch-size 23."""
    _, kept = trained(tmp_path, "cpu")
    pictures, made = tiny_runs.Squares(4, seed=1), Model(kept, "cuda:0", "fp32")
    expected, images = evaluate(made, pictures, batch=4), pictures.pictures
    probabilities, features = made.probabilities(images), made.features(images)
    two = made.plan(2).bytes

    full = Model(kept, "cuda:0", "fp32")
    monkeypatch.setattr(full.parameters.devices[0].runtime, "free", lambda device: two * 5 // 4)
    found = evaluate(full, pictures)
    assert (found.top1, found.loss) == (expected.top1, pytest.approx(expected.loss, rel=1e-6))
    assert np.allclose(full.probabilities(images), probabilities, atol=1e-6)
    assert np.allclose(full.features(images), features, rtol=1e-5, atol=1e-6)
    assert {batch for batch, _ in full._plans} == {2}
    with pytest.raises(OutOfMemory, match="batch size 4 needs"):  # which the caller has chosen
        evaluate(full, pictures, batch=4)


def test_features_come_in_the_same_order_as_on_the_cpu(gpus, tmp_path):
    _, kept = trained(tmp_path, "cpu")
    pictures = tiny_runs.Squares(5).pictures
    ours, host = Model(kept, "cuda:0", "fp32"), Model(kept, "cpu")
    for layer in ("pool1", "exchange2", "fc2", "fc3"):
        found, expected = ours.features(pictures, layer), host.features(pictures, layer)
        assert found.shape == expected.shape
        assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(gpus, tmp_path, precision):
    """Results come some updates later: those on their way when it is stopped are in the checkpoint and in the log."""
    recipe, ends = tiny_runs.RECIPE.but(epochs=3, drop_epochs=(1,)), []
    for stops in ((), (3, 4)):
        run = Run.create(tmp_path)
        settings = {"recipe": recipe, "device": "cuda:0", "precision": precision}
        for updates in stops:
            tiny_runs.stop(tiny_runs.training(run, **settings), updates)
        list(tiny_runs.training(run, **settings))
        ends.append(tiny_runs.left(run))
    assert ends[0] == ends[1]
    assert len(ends[0]["log"]) == 4
