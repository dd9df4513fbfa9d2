"""Trainings on several ranks: they stop after the same update, and go on to the bits of one process."""

import numpy as np
import pytest

from cualex.errors import Diverged, RanksDiffer, UsageError
from cualex.plan import Plan
from cualex.ranks import Alone
from cualex.training import agreement, loop, parts
from cualex.training.options import Options
from cualex.training.recipes import Recipe
from cualex.training.records import Update
from cualex.training.run import Run, restore
from cualex.training.run.unwritten import shared
from cualex.training.signals import SignalHandler
from cualex.training.state import State
from tests.support import rank_threads, tiny_runs
from tests.support.tiny_runs import RECIPE, UPDATES, left

pytestmark = pytest.mark.usefixtures("speck")
PARTS = RECIPE.but(accumulate=4, accumulate_order="tree", dropout=0.5)
SHORT = PARTS.but(epochs=2, drop_epochs=(1,), plain_epochs=0)


def begun(path, ranks, recipe, **settings):
    """Start the training of `recipe` in a run, or go on."""
    run = shared(ranks, lambda: Run(path))
    return tiny_runs.training(run, recipe, ranks=ranks, **settings)


def whole(path, recipe):
    """Return what one process has left."""
    path.mkdir()
    list(begun(path, Alone(), recipe))
    return left(Run(path))


def on_ranks(path, size, recipe, stop=None, **settings):
    """Train on ranks to the end, or for some updates."""
    path.mkdir(exist_ok=True)

    def work(ranks):
        records = begun(path, ranks, recipe, **settings)
        if stop is None:
            return list(records)
        return tiny_runs.stop(records, stop)

    return rank_threads.run(size, work)


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        (4, {}),
        pytest.param(2, {"network": "mote"}, marks=pytest.mark.slow),
        pytest.param(8, {"accumulate": 8}, marks=pytest.mark.slow),
        pytest.param(4, {"optimizer": "adam", "rate": 0.002}, marks=pytest.mark.slow),
        pytest.param(2, {"freeze": ("conv1",), "head_rate": 3.0, "class_weights": "balanced"}, marks=pytest.mark.slow),
        pytest.param(2, {"schedule": "cosine", "warmup": 0.5, "bias_rate": 0.03}, marks=pytest.mark.slow),
    ],
)
def test_a_run_is_that_of_one_process(tmp_path, size, changes):
    recipe = SHORT.but(**changes)
    if "schedule" in changes:
        recipe = recipe.but(drop_epochs=())
    expected = whole(tmp_path / "one", recipe)
    on_ranks(tmp_path / "many", size, recipe)
    assert left(Run(tmp_path / "many")) == expected


def test_a_run_goes_on_with_another_number_of_ranks(tmp_path):
    expected = whole(tmp_path / "one", SHORT)
    on_ranks(tmp_path / "many", 4, SHORT, stop=3)
    on_ranks(tmp_path / "many", 2, SHORT, stop=4)
    list(begun(tmp_path / "many", Alone(), SHORT))
    assert left(Run(tmp_path / "many")) == expected


@pytest.mark.slow
def test_every_update_is_a_place_to_go_on_with_other_ranks(tmp_path):
    """Tries 42 updates: stopped on four ranks, continued on one, two or four."""
    expected = whole(tmp_path / "one", PARTS)
    for update in range(1, UPDATES + 1):
        place = tmp_path / f"stopped-{update}"
        on_ranks(place, 4, PARTS, stop=update)
        assert Run(place).outcome() is None
        on_ranks(place, (1, 2, 4)[update % 3], PARTS)
        assert left(Run(place)) == expected, update


def signalled(path, ranks, at):
    """Train until the signal that rank 1 notes in update `at`; return how many updates this rank has made."""
    made = 0

    class Interrupt(Exception):
        pass

    class Signals(SignalHandler):
        def obey(self, instead=None):
            if self.noted or instead:
                raise Interrupt

    signals = Signals()
    try:
        for record in begun(path, ranks, SHORT, signals=signals):
            made += isinstance(record, Update)
            if made == at - 1 and ranks.rank == 1:
                signals.noted = (15, None)
    except Interrupt:
        return made
    return None


def test_a_signal_of_one_rank_stops_all_after_the_same_update(tmp_path):
    expected = whole(tmp_path / "one", SHORT)
    (tmp_path / "many").mkdir()
    assert rank_threads.run(4, lambda ranks: signalled(tmp_path / "many", ranks, at=3)) == [3] * 4
    on_ranks(tmp_path / "many", 2, SHORT)
    assert left(Run(tmp_path / "many")) == expected


def test_a_stop_that_a_rank_decides_for_itself_is_caught(tmp_path, monkeypatch):
    """Planted: rank 1 leaves by its own signal, and the others wait in vain."""
    obey = agreement.Agreement.obey

    def by_itself(agreed):
        if agreed.signals.noted:
            agreed.signals.obey()
        obey(agreed)

    monkeypatch.setattr(agreement.Agreement, "obey", by_itself)
    monkeypatch.setattr(agreement.Agreement, "pause", property(lambda agreed: bool(agreed.signals.noted)))
    monkeypatch.setattr(rank_threads, "PATIENCE", 2)
    (tmp_path / "many").mkdir()
    with pytest.raises(Exception) as caught:  # noqa: PT011  (a barrier that breaks, in whichever rank)
        rank_threads.run(2, lambda ranks: signalled(tmp_path / "many", ranks, at=3))
    assert "Broken" in type(caught.value).__name__


@pytest.mark.parametrize(("bad", "named"), [(2, 2), (0, 1)])
def test_other_weights_on_one_rank_end_the_run_at_the_next_checkpoint(tmp_path, monkeypatch, bad, named):
    run = Plan.run

    def spoiled(plan, each=None):
        if plan.training and plan.rule.rank == bad and plan.control.step == 4:
            plan.parameters.arrays["fc3.bias", 0][...] += 1000
        return run(plan, each)

    monkeypatch.setattr(Plan, "run", spoiled)
    with pytest.raises(RanksDiffer) as caught:
        on_ranks(tmp_path / "many", 4, SHORT, save_every=0.0)
    assert str(caught.value) == (
        f"rank {named} has other weights than rank 0 after update 5. "
        "One of their machines computes or sends wrong bits: resume on others."
    )
    kept = Run(tmp_path / "many").checkpoint()  # what may be wrong is not written
    assert abs(kept.tensors["fc3.bias"]).max() < 100


def test_weights_whose_comparison_did_not_end_are_not_written(tmp_path, monkeypatch):
    """Planted: rank 0 loses the others while it compares wrong weights."""
    gather = rank_threads.ThreadRanks.gather

    def lost(ranks, values, what):
        if ranks.first and what == "compare the weights after update 5":
            raise OSError("the other ranks are gone")
        return gather(ranks, values, what)

    monkeypatch.setattr(rank_threads.ThreadRanks, "gather", lost)
    with pytest.raises(OSError, match="are gone"):
        on_ranks(tmp_path / "many", 2, SHORT, save_every=0.0)
    assert State.of(Run(tmp_path / "many").checkpoint()).update == 4


@pytest.mark.parametrize(("what", "field"), [("recipe", "momentum"), ("data set", None), ("version", None)])
def test_what_differs_at_the_start_is_named(tmp_path, monkeypatch, what, field):
    def work(ranks):
        recipe = SHORT.but(momentum=0.5) if field and ranks.rank else SHORT
        pack = tiny_runs.Squares(seed=ranks.rank if what == "data set" else 0)
        if what == "data set":
            pack.names = tuple(f"{ranks.rank} {name}" for name in pack.names)
        run = shared(ranks, lambda: Run(tmp_path))
        agreement.open_run(ranks, run, recipe, pack, tiny_runs.Squares(12, seed=1), None)

    if what == "version":
        collect = rank_threads.ThreadRanks.collect

        def older(ranks, value, why):
            return collect(ranks, {**value, "version": "0.0"} if ranks.rank and "version" in value else value, why)

        monkeypatch.setattr(rank_threads.ThreadRanks, "collect", older)
    with pytest.raises(RanksDiffer) as caught:
        rank_threads.run(2, work)
    named = f"recipe ({field})" if field else what
    assert str(caught.value).startswith(f"rank 1 has another {named} than rank 0: expected ")
    assert str(caught.value).endswith(". Give all ranks the same program, options and data.")


def test_a_loss_that_is_not_finite_names_the_image_of_whichever_rank(tmp_path):
    def work(ranks):
        pack = tiny_runs.Squares()
        pack.mean = pack.mean.copy()
        pack.mean[0, 0, 0] = np.nan
        run = shared(ranks, lambda: Run(tmp_path))
        list(loop.train(SHORT, pack, tiny_runs.Squares(12, seed=1), run, ranks=ranks))

    with pytest.raises(Diverged) as caught:
        rank_threads.run(2, work)
    assert "the input of the network (image minus mean) is not finite" in str(caught.value)


class Of:
    """So many ranks, of which only the number is asked for."""

    def __init__(self, size):
        self.size = size


@pytest.mark.parametrize(
    ("batch", "count", "size", "said"),
    [
        (48, 8, 3, "8 parts cannot be dealt to 3 ranks: --ranks 1, 2, 4 or 8, or --accumulate 6"),
        (128, 8, 3, "8 parts cannot be dealt to 3 ranks: --ranks 1, 2, 4 or 8"),
        (8, 1, 2, "1 part cannot be dealt to 2 ranks: --ranks 1, or --accumulate 2"),
        (128, 3, 3, "batch size 128 cannot be divided into 3 equal parts for 3 ranks: --batch-size 129"),
    ],
)
def test_parts_that_cannot_be_dealt_are_one_line(batch, count, size, said):
    with pytest.raises(UsageError) as caught:
        parts.check(Recipe(batch=batch, accumulate=count), size)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("recipe", "options", "new", "size", "count", "order"),
    [
        (Recipe(), Options(), True, 4, 4, "tree"),
        (Recipe(), Options(), True, 1, 1, "chain"),
        (Recipe(accumulate=2), Options(), True, 1, 2, "chain"),
        (Recipe(accumulate=4), Options(accumulate=4), True, 1, 4, "tree"),
        (Recipe(accumulate=4), Options(), False, 1, 4, "chain"),  # a run of 0.1 that goes on
        (Recipe(accumulate=4), Options(), False, 2, 4, "tree"),
        (Recipe(accumulate=4), Options(described={"accumulate": 4}), True, 1, 4, "chain"),
        (Recipe(accumulate=8), Options(accumulate=8), True, 2, 8, "tree"),
    ],
)
def test_parts_and_their_order_follow_from_the_ranks(recipe, options, new, size, count, order):
    found = parts.dealt(recipe, options, new, Of(size), cuda=False)
    assert (found.accumulate, found.accumulate_order) == (count, order)


def test_a_recipe_of_0_1_adds_in_a_chain():
    described = Recipe(accumulate=4, accumulate_order="tree").described()
    assert restore.recipe(described).accumulate_order == "tree"
    del described["accumulate_order"]
    assert restore.recipe(described).accumulate_order == "chain"


def test_ranks_are_introduced():
    recipe = Recipe(batch=1024, accumulate=8)
    assert parts.introduced(recipe, 8) == ["1,024 images an update: 128 on each of 8 ranks"]
    assert parts.introduced(recipe.but(accumulate=6, batch=48), 2) == [
        "48 images an update: 24 on each of 2 ranks, in 3 parts",
        "Note: 3 parts on each rank, which is no power of two: another number of ranks gives other bits.",
    ]
