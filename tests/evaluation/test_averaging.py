"""Evaluation with ten crops and several networks: by hand, in figures known beforehand, and what is refused."""

import json
import math

import numpy as np
import pytest

from cualex import evaluation, networks, weights
from cualex.data.batches import fixed_views
from cualex.errors import UsageError
from cualex.evaluation import evaluate
from cualex.model import Model
from cualex.weights import Weights
from tests.support import colour_network
from tests.support.colour_network import fill, run

CLASSES = ["a", "b", "c"]
ROUNDING = 2.0**-52


class Pack:
    """Hold pictures in memory, as a pack does."""

    def __init__(self, pictures, labels, classes=CLASSES):
        self.pictures, self.labels = pictures, np.array(labels, np.int32)
        self.size, self.classes = pictures.shape[1], tuple(classes)
        self.names = tuple(f"{number}.png" for number in range(len(labels)))

    def __len__(self):
        return len(self.labels)

    def read(self, indices, out):
        out[:] = self.pictures[indices]


def drawn(mean, seed=3, **arguments):
    """Make a network with loud weights, for which every pixel's place counts."""
    network = networks.build("cifar-relu", classes=3, **arguments)
    loud = np.random.default_rng(seed)
    tensors = {
        name: loud.normal(0, 0.5 / math.sqrt(max(math.prod(shape[1:]), 1)), shape).astype(np.float32)
        for name, shape in network.parameters().items()
    }
    weight = tensors["fc4.weight"]  # of what differs from place to place, not of brightness, and loud
    tensors["fc4.weight"] = 60 * (weight - weight.mean(axis=1, keepdims=True))
    return Model(Weights(network, tensors, CLASSES, mean.astype(np.float32)))


def fixed(shares, classes=CLASSES, **arguments):
    """Make a network that gives every picture the same probabilities."""
    network = networks.build("cifar-relu", classes=len(classes), **arguments)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in network.parameters().items()}
    tensors["fc4.bias"][:] = shares
    mean = np.zeros((network.stored, network.stored, 3), np.float32)
    return Model(Weights(network, tensors, classes, mean))


def softmax(scores):
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


# --- views


@pytest.mark.parametrize(
    ("size", "crop", "middle", "last"), [(256, 227, 14, 29), (256, 224, 16, 32), (32, 27, 2, 5), (9, 9, 0, 0)]
)
def test_ten_crops_are_those_of_2012(size, crop, middle, last):
    corners = [(0, 0), (0, last), (middle, middle), (last, 0), (last, last)]
    seen = fixed_views(size, crop, 10)
    assert seen.tolist() == [[*corner, mirror] for mirror in (0, 1) for corner in corners]
    assert fixed_views(size, crop, 1).tolist() == [[middle, middle, 0]]
    assert seen.dtype == np.int32


def test_other_numbers_of_crops_are_refused():
    with pytest.raises(UsageError) as caught:
        fixed_views(256, 227, 5)
    assert str(caught.value) == "5 crops: expected 1 or 10"


@pytest.mark.slow
@pytest.mark.parametrize("mean_at", ["crop", "centre"])
def test_ten_crops_by_hand(rng, mean_at):
    """Cut out every view here, less the mean, and show it to a network without a mean, at the centre alone."""
    mean = rng.integers(0, 56, (32, 32, 3))
    model, plain = drawn(mean, mean_at=mean_at), drawn(0 * mean)
    shown = mean + rng.integers(56, 200, (7, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    labels = np.arange(7) % 3
    total = 0
    for row, column in ((0, 0), (0, 5), (2, 2), (5, 0), (5, 5)):
        for mirrored in (False, True):
            place = slice(row, row + 27), slice(column, column + 27)
            cut, own = shown[:, *place], mean[place]
            if mirrored:
                cut, own = cut[:, :, ::-1], own[:, ::-1]
            seen = np.zeros((7, 32, 32, 3), np.uint8)
            seen[:, 2:29, 2:29] = cut - (own if mean_at == "crop" else mean[2:29, 2:29])
            total = total + plain.probabilities(seen).astype(np.float64)
    average = total / 10
    pack = Pack(shown.astype(np.uint8), labels)
    found = evaluate(model, pack, batch=3, crops=10)
    # Another batch may sum in another order: single precision, some hundred terms.
    assert found.named.tolist() == average.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.probabilities, average.max(axis=1), rtol=1e-4)
    assert found.loss == pytest.approx(-np.log(average[np.arange(7), labels]).mean(), rel=1e-4)
    centre = evaluate(model, pack, batch=3)
    assert np.abs(found.probabilities - centre.probabilities).max() > 1e-2


def test_ten_crops_are_the_mean_of_ten_single_runs(rng):
    """With the plan that evaluation has; float64 sums of ten then round at most ten times."""
    model = drawn(np.full((32, 32, 3), 90))
    pack = Pack(rng.integers(0, 256, (5, 32, 32, 3), np.uint8), [0, 1, 2, 0, 1])
    plan, average = model.plan(5, ("fc4",)), 0
    for view in fixed_views(32, 27, 10):
        plan.put(pack.pictures, np.tile(view, (5, 1)), pack.labels)
        plan.run()
        average = average + softmax(plan.output("fc4")[:, :, 0, 0].astype(np.float64)) / 10
    found = evaluate(model, pack, batch=5, crops=10)
    exact = average[np.arange(5), average.argmax(axis=1)]
    assert (np.abs(found.probabilities - exact) <= 2.0**-24 * exact).all()
    assert found.loss == pytest.approx(-np.log(average[np.arange(5), pack.labels]).mean(), rel=64 * ROUNDING)


# --- several networks

SURE, TORN = np.log([0.80, 0.19, 0.01]), np.log([0.04, 0.32, 0.64])
BLACK = np.zeros((4, 32, 32, 3), np.uint8)


def test_probabilities_are_averaged_and_not_their_logarithms():
    """The mean is .42 .255 .325; that of the logarithms would name b, a vote is a draw."""
    found = evaluate([fixed(SURE), fixed(TORN)], Pack(BLACK, [0, 1, 2, 2]), batch=3)
    assert found.named.tolist() == [0] * 4
    assert (found.right1, found.right5, found.count) == (1, 4, 4)
    # The biases are rounded to float32: half a part in 2^24 of at most ln 100.
    assert found.probabilities == pytest.approx([0.42] * 4, rel=1e-6)
    assert found.loss == pytest.approx(-np.log([0.42, 0.255, 0.325, 0.325]).mean(), rel=1e-6)


def test_each_network_subtracts_its_own_mean(rng):
    models = [drawn(np.full((32, 32, 3), level), seed) for level, seed in ((0, 1), (130, 2))]
    pack = Pack(rng.integers(0, 256, (6, 32, 32, 3), np.uint8), [0, 1, 2] * 2)
    average = sum(model.probabilities(pack.pictures).astype(np.float64) for model in models) / 2
    found = evaluate(models, pack, batch=6)
    np.testing.assert_allclose(found.probabilities, average.max(axis=1), rtol=1e-4)
    again = evaluate(models[::-1], pack, batch=6)
    assert (again.named == found.named).all()
    assert again.loss == pytest.approx(found.loss, rel=16 * ROUNDING)


def test_of_one_network_that_gives_no_numbers_the_mean_is_none():
    found = evaluate([fixed(SURE), fixed([np.nan, 0, 0])], Pack(BLACK, [0, 1, 2, 2]), batch=4, crops=10)
    assert (found.right1, found.right5, found.named.tolist()) == (0, 0, [-1] * 4)
    assert math.isnan(found.loss)


def test_a_loss_beyond_the_smallest_number_is_counted():
    """exp(-1000) is 0 in float64; the loss is 1000 all the same, and half of that share is ln 2 more."""
    hopeless, other = fixed([1000, 0, -9000]), fixed([0, -5000, -9000])
    assert evaluate(hopeless, Pack(BLACK, [1] * 4)).loss == 1000
    found = evaluate([hopeless, other], Pack(BLACK, [1] * 4))
    assert found.loss == pytest.approx(1000 + math.log(2), rel=4 * ROUNDING)


@pytest.mark.slow
def test_top_five_is_of_the_mean():
    classes = list("abcdefg")
    first, second = fixed([9, 8, 7, 6, 5, 4, 0], classes), fixed([0, 8, 7, 6, 5, 4, 20], classes)
    pack = Pack(BLACK, [0, 0, 6, 4], classes)
    # Among the first five are a b c d e, then g b c d e, and of the mean g a b c d.
    assert [evaluate(models, pack).right5 for models in (first, second, [first, second])] == [3, 2, 3]
    assert evaluate([first, second], Pack(BLACK, [0] * 4, classes)).right5 == 4
    assert evaluate([first, second], Pack(BLACK, [6] * 4, classes)).right1 == 4


def test_what_cannot_be_averaged_is_named():
    pack = Pack(BLACK, [0, 1, 2, 2])
    with pytest.raises(UsageError) as caught:
        evaluate([fixed(SURE), fixed(SURE), fixed(SURE, ["a", "c", "b"])], pack)
    assert str(caught.value) == (
        "an ensemble needs the same classes: network 1 has a, b, c, network 3 has a, c, b. Leave one of them out."
    )
    large = networks.build("alexnet", classes=3, crop=67, width=1 / 16)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in large.parameters().items()}
    mean = np.zeros((large.stored, large.stored, 3), np.float32)
    with pytest.raises(UsageError) as caught:
        evaluate([fixed(SURE), Model(Weights(large, tensors, CLASSES, mean))], pack)
    assert str(caught.value) == (
        "an ensemble needs images of the same size: network 1 reads 32 pixels a side, network 2 "
        "76. Leave one of them out."
    )


# --- on the other engine


@pytest.mark.slow
def test_ten_crops_in_the_emulator_are_those_of_the_host(rng, emulated, monkeypatch):
    from cualex.devices import placement

    monkeypatch.setattr(placement, "CupyRuntime", emulated)
    made = drawn(rng.uniform(60, 140, (32, 32, 3)))
    kept = Weights(made.network, made.parameters.unload(), CLASSES, made.mean)
    pack = Pack(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), [2])
    ours = evaluate(Model(kept, "cuda:0", "fp32"), pack, batch=1, crops=10)
    host = evaluate(made, pack, batch=1, crops=10)
    assert ours.loss == pytest.approx(host.loss, rel=1e-4)
    np.testing.assert_allclose(ours.probabilities, host.probabilities, rtol=1e-4)


# --- the command


@pytest.mark.slow
def test_the_command_says_what_it_averaged(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation, "evaluate", lambda *given, **more: asked.append(more) or evaluate(*given, **more))
    files = [colour_network.saved(tmp_path / name, loudness=loud) for name, loud in (("x.st", 0.01), ("y.st", 0.02))]
    data = fill(tmp_path / "set", {"green": ["green", "red"], "red": ["red"] * 2, "blue": ["blue"]})
    fixed_words = ["evaluate", data, "--cache", tmp_path / "cache", "--batch-size", 5, "-w", files[0]]
    single = json.loads(run(*fixed_words, "--json").stdout)
    assert (single["weights"], single["crops"]) == ([str(files[0])], 1)
    found = json.loads(run(*fixed_words, "-w", files[1], "--crops", "10", "--json").stdout)
    assert (found["weights"], found["crops"]) == ([str(file) for file in files], 10)
    assert found["loss"] > single["loss"]  # the second network is surer of what is wrong
    assert found["confusion"] == single["confusion"]
    starts = {(): ":", ("--crops", "10"): ", mean of 10 crops:", ("-w", files[1]): ", mean of 2 networks:"}
    starts["--crops", "10", "-w", files[1]] = ", mean of 10 crops x 2 networks:"
    for more, said in starts.items():
        assert run(*fixed_words, *more).stdout.startswith(f"{data} all, 5 images{said} top-1 80.0%, loss ")
    assert [more["crops"] for more in asked] == [1, 10, 1, 10, 1, 10]


def test_the_command_names_the_file_that_does_not_fit(tmp_path):
    first = colour_network.saved(tmp_path / "first.safetensors")
    other = colour_network.saved(tmp_path / "other.safetensors", classes=["red", "green", "blue"])
    result = run("evaluate", fill(tmp_path / "set"), "-w", first, "-w", other)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"Error: an ensemble needs the same classes: {first} has green, red, blue, {other} has red, "
        "green, blue. Leave one of them out.\n"
    )


def test_where_the_mean_is_taken_is_kept_with_the_weights(tmp_path):
    mean = np.zeros((32, 32, 3))
    for place in ("crop", "centre"):
        made = drawn(mean, mean_at=place)
        weights.save(tmp_path / "w", Weights(made.network, made.parameters.unload(), CLASSES, made.mean))
        assert weights.load(tmp_path / "w").network.mean_at == place
    with pytest.raises(UsageError, match="the mean image can be subtracted at the crop or centre, got corner"):
        networks.build("cifar-relu", mean_at="corner")
