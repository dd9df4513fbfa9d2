"""`cualex benchmark` on ranks: bytes, efficiency, exposed time, and what the command prints."""

import json

import pytest

from cualex.benchmark import problem, scaling
from cualex.benchmark.our_side import Ours
from cualex.cli import benchmark as command
from cualex.errors import DeviceError, RanksDiffer, UsageError
from cualex.plan import sums
from cualex.ranks import ALONE, measure, model
from tests.support import json_keys, launches, rank_threads
from tests.support.tiny_runs import mote, speck


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    """Measure the link with few bytes."""
    monkeypatch.setattr(scaling, "BUCKET", 64)


def benchmark(ranks, network, batch=8, rounds=1):
    """Return the records of a rank, on two machines, so that no process of its own is started beside them."""
    ranks.machines = 2
    made = list(scaling.benchmark(ranks, network, batch, rounds, seconds=0))
    assert (ranks.unlimited, ranks.limited) == ([], False)  # outside of updates a rank looks for answers seldom
    return made


@pytest.mark.parametrize("network", [speck(), mote(), speck(classes=1)], ids=["speck", "mote", "one class"])
@pytest.mark.parametrize("size", [2, 3])
def test_bytes_by_the_ledger_are_the_formula(network, size):
    for _, _, document in rank_threads.run(size, lambda ranks: benchmark(ranks, network, batch=6)):
        count = scaling.sizes(network).parameters
        assert document["bytes"] == pytest.approx(document["formula_bytes"], rel=1e-12)
        assert document["formula_bytes"] == 2 * 4 * count * (size - 1) / size


def test_a_byte_more_shows(monkeypatch):
    """Planted: a rank that sends its own share too."""
    plain = sums.share
    monkeypatch.setattr(sums, "share", lambda length, size, rank: slice(0, plain(length, size, rank).stop))
    (_, _, document), *_ = rank_threads.run(3, lambda ranks: benchmark(ranks, speck(), batch=6))
    assert document["bytes"] > document["formula_bytes"] * 1.1


def test_the_loss_is_that_of_one_process():
    """Two ranks take the updates that one process takes in two parts, to the same bits."""
    found = [records[-1] for records in rank_threads.run(2, lambda ranks: benchmark(ranks, speck()))]
    assert found[0]["loss_after"] == found[1]["loss_after"]
    assert found[0]["updates"] == 2  # a step that warms, and one that counts
    one = Ours(problem.make(speck(), 8), "train", "cpu")
    assert one.loss() == pytest.approx(found[0]["loss_before"], rel=1e-6)
    one.turn(1)
    assert one.loss() == pytest.approx(found[0]["loss_after"], rel=1e-3)  # dropout's masks are of other parts


def test_ranks_with_other_weights_are_found(monkeypatch):
    """Planted: a rank whose weights are not those of the others."""

    def work(ranks):
        team = scaling._Team(ranks, problem.make(speck(), 4), "cpu")
        team.ours.parameters.arrays["fc3.bias", 0][...] += ranks.rank
        team.loss()

    with pytest.raises(RanksDiffer, match="rank 1 has other weights than rank 0"):
        rank_threads.run(2, work)


def test_what_a_rank_waits_is_noted(monkeypatch):
    """On a clock that moves while a rank waits, and by nothing else."""
    now = 0.0
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now)

    class Slow:
        size, rank, machines, machine_of, exchanges_rows, first, first_here = 2, 0, 1, (0, 0), False, True, True

        def __init__(self, of):
            self.of = of

        def add_up(self, values, add, what):
            def wait():
                nonlocal now
                now += 3

            return wait

        def gather(self, values, what):
            return lambda: values

    import numpy as np

    watched = measure.Watched(Slow(ALONE))
    wait = watched.add_up(np.zeros(4, np.float32), np.sum, "add")
    hear = watched.gather(np.zeros(2), "hear")
    now += 5  # computing
    hear()
    wait()
    now += 7
    noted = watched.noted()
    assert [(each.size, each.begun, each.waited, each.words) for each in noted] == [(16, 0, 3, False), (16, 0, 0, True)]
    assert watched.noted() == []


def test_medians_are_of_the_ratios_of_each_round():
    played = [
        scaling.Round(1, 40.0, 30.0, 50.0, (1.0, 4.0)),
        scaling.Round(2, 10.0, 50.0, 100.0, (3.0, 5.0)),
        scaling.Round(3, 90.0, 20.0, 100.0, (2.0, 9.0)),
    ]
    found = scaling._medians(played, 8, 2)
    assert (found["milliseconds"], found["alone_milliseconds"], found["one_process_milliseconds"]) == (100, 40, 30)
    assert (found["efficiency"], found["efficiency_of_one_process"]) == (0.8, 0.5)
    assert found["exposed_milliseconds"] == {"least": 2, "most": 5}
    assert found["images_per_s"] == 80
    several = scaling._medians([scaling.Round(1, 40.0, None, 50.0, (1.0, 4.0))], 8, 2)
    assert (several["one_process_milliseconds"], several["efficiency_of_one_process"]) == (None, None)


def test_the_prediction_is_the_models_of_what_was_measured():
    (predicted, _, document), _ = rank_threads.run(2, lambda ranks: benchmark(ranks, speck()))
    said = document["predicted"]
    link = model.Link(said["bytes_per_s"], said["latency_s"])
    on = model.Machines(link, compute=said["alone_milliseconds"] / 1e3)
    assert predicted == model.estimate(scaling.sizes(speck()), 2, 4, on).sum
    assert said["milliseconds"] == 1e3 * predicted.seconds


def test_what_ranks_cannot_do_is_said():
    ranks = rank_threads.ThreadRanks(rank_threads.Meeting(2), 0)
    with pytest.raises(UsageError, match="batch size 7 cannot be dealt to 2 ranks: use --batch-size 8"):
        scaling.check(ranks, speck(), 7, "cpu")
    with pytest.raises(DeviceError, match="2 ranks compute on CPUs only so far"):
        scaling.check(ranks, speck(), 8, "cuda:0")


# --- the command


def test_the_table(capsys):
    (_, _, document), _ = rank_threads.run(2, lambda ranks: benchmark(ranks, speck()))
    document["conditions"]["command"] = "cualex benchmark"
    document |= {"one_process_milliseconds": 12.0, "efficiency_of_one_process": 0.75, "milliseconds": 16.0}
    document |= {"efficiency": 0.5, "alone_milliseconds": 8.0, "images_per_s": 500.0}
    command._show_together(document)
    said = capsys.readouterr().out
    assert "rank 0 alone, 4 images " in said
    assert " 8.0        500.0     50%" in said
    assert " 12.0       666.7     75%" in said
    assert "\n2 ranks, 8 images" in said
    assert f"Sent: {document['bytes'] / 1e6:.2f} MB from each rank in an update; the formula says " in said


@pytest.mark.slow
def test_ranks_beside_one_process():
    words = ("benchmark", "--network", "lenet5", "-b", 16, "--rounds", 1)
    ended = launches.launch(2, *words, "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert json_keys.faults(["benchmark", "--ranks"], document) == []
    assert (document["ranks"], document["machines"], document["batch_size"]) == (2, 1, 16)
    assert document["one_process_milliseconds"] > 0
    assert document["bytes"] == document["formula_bytes"] == 4 * 61_706
    assert document["loss_before"] > document["loss_after"]
    assert document["conditions"]["command"].endswith(" --ranks 2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("benchmark", "--against", "torch"), "--against is for one process: leave it or --ranks out"),
        (("benchmark", "-b", 5), "batch size 5 cannot be dealt to 2 ranks: use --batch-size 4"),
        (("profile", "lenet5", "demo"), "DATA is for one process: leave it or --ranks out"),
        (("profile", "lenet5", "--mode", "infer"), "--mode infer is for one process: leave it or --ranks out"),
    ],
)
def test_what_is_for_one_process_is_said_once(words, said):
    ended = launches.launch(2, *words)
    assert (ended.returncode, ended.stderr) == (2, f"Error: {said}\n")
