"""Class weights of the training loss: their numbers, whole plans on both engines, runs, and what they are for."""

import json
from functools import partial

import numpy as np
import pytest

from cualex import networks
from cualex.engine.host import softmax
from cualex.errors import UsageError
from cualex.plan import Plan
from cualex.training import loop, recipes
from cualex.training.debugging import gradient_check
from cualex.training.recipes import PAPER, Recipe
from cualex.training.records import Epoch, Update
from cualex.training.run import Run, restore
from cualex.weights import Weights
from tests.support import small_alexnet
from tests.support.tiny_runs import RECIPE, Squares, left, log, stop, training
from tests.support.update_runs import NEAR, apart, batch, run

pytestmark = pytest.mark.usefixtures("speck")

LOUD = np.array([0.25, 3, 1, 0.5, 7, 2, 0.1, 1.5, 4, 0.75])  # for the ten classes of small.network


# --- the numbers


class Labelled:
    """The labels of a pack, and no images."""

    def __init__(self, counts):
        self.labels, self.classes = np.repeat(np.arange(len(counts)), counts), ["a"] * len(counts)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ((190, 10), [200 / 380, 10]),
        ((20, 20, 20), [1, 1, 1]),
        ((6, 0, 2), [8 / 12, 0, 2]),  # k is 2: what has no image has no say
    ],
)
def test_balanced_weights(counts, weights):
    pack = Labelled(counts)
    found = PAPER.but(class_weights="balanced").weigh_classes(pack)
    np.testing.assert_array_equal(found, weights)
    assert found[pack.labels].mean() == pytest.approx(1, rel=1e-14)
    assert PAPER.weigh_classes(pack) is None


def test_other_weights_are_refused():
    with pytest.raises(UsageError, match="class weights 'even': expected 'balanced', or '' for none"):
        PAPER.but(class_weights="even").weigh_classes(Labelled((1, 2)))
    with pytest.raises(UsageError, match=r"weights of shape \(3,\): expected a weight for each of the 10 classes"):
        Plan(small_alexnet.parameters(), 6, class_weights=np.ones(3))


def test_the_recipe_says_them():
    said = {what: (here, paper) for what, here, paper in PAPER.but(class_weights="balanced").against_paper()}
    assert said["class weights in the loss"] == ("balanced", "none")
    assert ("class weights in the loss", "none", "") in PAPER.against_paper()


# --- plans


def kept(device="cpu", precision="fp64", dropout=0.5, **settings):
    """Return the gradients of a batch of six images and its mean loss."""
    made = small_alexnet.parameters(device, net=small_alexnet.network(dropout=dropout), precision=precision)
    plan = run(made, sink="keep", **settings)
    return plan.gradients(), plan.result.loss


@pytest.mark.slow
def test_a_gradient_is_the_weighted_mean_of_those_of_the_images():
    """Each image's own is that of a plan in which no other image counts."""
    found, loss = kept(class_weights=LOUD)
    made = small_alexnet.parameters(net=small_alexnet.network(dropout=0.5), precision="fp64")
    plan = run(made, updates=0, sink="keep")
    images, views, labels, colours = batch(made.network)
    assert len(set(labels)) > 3
    total, losses = dict.fromkeys(found, 0.0), 0.0
    for image, label in enumerate(labels):
        plan.put(images, views, np.where(np.arange(6) == image, label, -1), colours)
        plan.run()
        losses += LOUD[label] * plan.result.loss / 6
        for name, gradient in plan.gradients().items():
            total[name] += LOUD[label] * gradient.astype(np.float64) / 6
    assert apart(found, total) < 2 * NEAR  # gradients of single images come out as float32 too
    assert loss == pytest.approx(losses, rel=1e-12)
    assert apart(kept()[0], found) > 0.1


@pytest.mark.parametrize("parts", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_the_parts_gradients_are_the_whole_batchs(parts):
    whole, loss = kept(class_weights=LOUD)
    found, in_parts = kept(class_weights=LOUD, accumulate=parts)
    assert apart(found, whole) < NEAR
    assert in_parts == pytest.approx(loss, rel=1e-12)


def divided_by_the_sum(device, x, labels, y, dx, sums, *, class_weights, forward=softmax.forward, **numbers):
    """Plant the mean of PyTorch, over the weights of the images that are computed together."""
    forward(device, x, labels, y, dx, sums, class_weights=class_weights, **numbers)
    if dx is not None:
        dx *= len(labels) / class_weights[labels].sum()


def test_a_mean_over_the_weights_of_each_part_is_found(monkeypatch):
    monkeypatch.setattr(softmax, "forward", divided_by_the_sum)
    assert apart(kept(class_weights=LOUD, accumulate=3)[0], kept(class_weights=LOUD)[0]) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "precision", "settings"),
    [
        pytest.param("cuda:0", "fp32", {}, marks=pytest.mark.slow),
        ("cuda:0,cuda:1", "fp32", {"accumulate": 2}),
        pytest.param("cuda:0", "bf16", {"accumulate": 3}, marks=pytest.mark.slow),
        pytest.param("cuda:0", "tf32", {}, marks=pytest.mark.slow),
    ],
)
def test_the_gradients_of_a_gpu_are_those_of_the_host(emulated, device, precision, settings):
    """In relative norm: sums in another order; TF32 and bfloat16 round what goes into 16 products up and down."""
    wanted, loss = kept(precision="fp32", class_weights=LOUD)
    made = small_alexnet.parameters(device, precision=precision, runtime=emulated(streams="late"))
    plan = run(made, sink="keep", class_weights=LOUD, **settings)
    near = {"fp32": 1e-4, "tf32": 4 * 2.0**-10, "bf16": 4 * 2.0**-8}[precision]
    assert plan.result.loss == pytest.approx(loss, rel=near)
    if precision == "fp32":
        assert apart(plan.gradients(), wanted) < near
    unweighted = run(made, sink="keep", **settings)
    assert apart(unweighted.gradients(), plan.gradients()) > 0.1


@pytest.mark.parametrize("mode", ["train", "infer"])
def test_only_weights_take_memory(mode):
    made = small_alexnet.parameters()
    without, weighted = (Plan(made, 6, mode, class_weights=each) for each in (None, LOUD))
    assert "class weights" not in [buffer.name for buffer in without.buffers]
    (own,) = [buffer for buffer in weighted.buffers if buffer.name == "class weights"]
    assert weighted.bytes - without.bytes == own.bytes == 4 * 10


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, "the gradient", "the loss"])
def test_the_gradient_check_holds_loss_and_gradient_together(monkeypatch, fault):
    """Differences of the loss of a whole network with class weights; planted: one of the two lacks them."""
    forward = softmax.forward

    def half(device, x, labels, y, dx, sums, *, class_weights, control, **numbers):
        forward(device, x, labels, y, dx, sums, class_weights=class_weights, control=control, **numbers)
        other, loss = np.empty_like(dx), sums.copy()
        forward(device, x, labels, y, other, loss, control=control, **numbers)
        (dx if fault == "the gradient" else sums)[...] = other if fault == "the gradient" else loss

    if fault:
        monkeypatch.setattr(softmax, "forward", half)
    monkeypatch.setattr(gradient_check, "Plan", partial(Plan, class_weights=np.array([5.0, 0.5, 2.0])))
    recipe, pack = RECIPE, Squares(4)
    network = networks.build("speck", classes=3)
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.2, shape) for name, shape in network.parameters().items()}
    begun = Weights(network, tensors, list(pack.classes), network.mean_picture(pack.mean))
    rows = list(gradient_check.check(begun, recipe.stream(pack, network.crop)))
    assert [row.layer for row in rows if not row.right][:1] == (["softmax"] if fault else [])


# --- runs

WEIGHTED = RECIPE.but(class_weights="balanced", epochs=4, drop_epochs=(), plain_epochs=0)


class Uneven(Squares):
    """Two classes whose red is 40 apart and varies by 20 from image to image, below noise: hard, and learnable."""

    def __init__(self, counts, seed):
        super().__init__(sum(counts))
        rng, self.classes = np.random.default_rng(seed), ("common", "rare")
        self.labels = np.repeat(np.arange(2), counts).astype(np.int32)
        images = rng.normal(110, 20, (len(self), 16, 16, 3))
        images[..., 0] += rng.normal(40 * self.labels, 20)[:, None, None]
        self.pictures = images.clip(0, 255).astype(np.uint8)
        self.mean = self.pictures.mean(axis=0, dtype=np.float64).astype(np.float32)


def uneven(run, recipe=WEIGHTED, **settings):
    """Start to train on 30 images of one class and 7 of another, or go on."""
    return loop.train(recipe, Uneven((30, 7), 0), Uneven((6, 6), 1), run, **settings)


def trained(place, recipe=WEIGHTED, **settings):
    run = Run.create(place)
    return list(uneven(run, recipe, **settings)), run


def losses(records):
    return [record.loss for record in records if isinstance(record, Update)]


@pytest.mark.slow
def test_a_stopped_run_is_the_run_never_stopped_and_needs_its_weights(tmp_path, monkeypatch):
    _, whole = trained(tmp_path)
    stopped, careless = Run.create(tmp_path), Run.create(tmp_path)
    for each in (stopped, careless):
        stop(uneven(each), 7)
    list(uneven(stopped))
    assert left(stopped) == left(whole)
    monkeypatch.setattr(Recipe, "weigh_classes", lambda self, pack: None)
    list(uneven(careless))
    assert left(careless)["weights"] != left(whole)["weights"]


@pytest.mark.slow
def test_updates_in_four_parts_are_those_of_the_whole_batch(tmp_path):
    """But for roundings of float64: ten updates, each through eight sums up and down of at most 1,000 terms."""
    whole, parts = (
        losses(trained(tmp_path, WEIGHTED.but(epochs=2, accumulate=count), precision="fp64")[0]) for count in (1, 4)
    )
    assert len(whole) == 10
    np.testing.assert_allclose(parts, whole, rtol=10 * 8 * 4 * 2.0**-53 * np.sqrt(1000))


@pytest.mark.slow
def test_parts_that_divide_by_their_own_weights_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(softmax, "forward", divided_by_the_sum)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_updates_in_four_parts_are_those_of_the_whole_batch(tmp_path)


@pytest.mark.slow
def test_the_weights_may_change_on_resume_and_the_log_says_so(tmp_path):
    run = Run.create(tmp_path)
    stop(uneven(run), 7)
    assert json.loads((run.path / "args.json").read_text())["recipe"]["class_weights"] == "balanced"
    list(uneven(run, WEIGHTED.but(class_weights="")))
    (line,) = [line for line in log(run) if "changed" in line]
    assert line["changed"] == {"class_weights": ["balanced", ""]}


@pytest.mark.slow
def test_a_run_of_version_0_1_goes_on_to_its_bits(tmp_path, monkeypatch):
    """It knows nothing of class weights: neither its arguments nor its checkpoint name them."""
    whole, run, described = Run.create(tmp_path), Run.create(tmp_path), Recipe.described
    list(training(whole))
    monkeypatch.setattr(Recipe, "described", lambda self: without_weights(described(self)))
    stop(training(run), 7)
    monkeypatch.undo()
    assert "class_weights" not in (run.path / "args.json").read_text()
    list(training(run))
    assert {**left(run), "state": None} == {**left(whole), "state": None}
    assert not [line for line in log(run) if "changed" in line]


def without_weights(said):
    return {name: value for name, value in said.items() if name != "class_weights"}


def test_a_recipe_without_the_key_has_none():
    assert restore.recipe(without_weights(recipes.DEMO.described())) == recipes.DEMO
    assert restore.recipe(WEIGHTED.described()) == WEIGHTED


def test_validation_is_not_weighted(tmp_path):
    """At a rate of almost 0 both runs have the same network; only the training loss tells them apart."""
    found = []
    for weights in ("", "balanced"):
        records, _ = trained(tmp_path, WEIGHTED.but(class_weights=weights, rate=1e-12, epochs=1))
        (epoch,) = [record for record in records if isinstance(record, Epoch)]
        found.append((epoch.train_loss, epoch.validation.loss, epoch.validation.top1))
    assert found[0][1:] == pytest.approx(found[1][1:], rel=1e-6)
    assert found[0][0] != pytest.approx(found[1][0], rel=1e-3)


# --- what they are for


def macro_recall(place, seed, **numbers):
    """Train on 190 and 10 images; return the macro recall on 200 and 200 others after the last epoch."""
    recipe = RECIPE.but(batch=16, epochs=10, schedule="cosine", colour_noise=0.0, seed=seed, **numbers)
    recipe = recipe.but(drop_epochs=(), plain_epochs=0)
    run, packs = Run.create(place), (Uneven((190, 10), seed), Uneven((200, 200), 100 + seed))
    *_, last = (record for record in loop.train(recipe, *packs, run) if isinstance(record, Epoch))
    return last.validation.macro_recall


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_balanced_weights_raise_the_macro_recall(tmp_path, seed):
    """The best threshold for both classes alike is half way, and names 84 % right; for 95 and 5 % of the images it is
    so high that the small class is hardly named. A recall of 200 images deviates by 3 % at the most: 0.1 are five
    deviations of the mean of two such."""
    without, balanced = (macro_recall(tmp_path, seed, class_weights=each) for each in ("", "balanced"))
    assert balanced > without + 0.1
    assert balanced > 0.65
