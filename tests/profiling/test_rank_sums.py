"""`cualex profile` on ranks: every step in a row, the sums beside it, and weights that stay those of all ranks."""

import functools
import hashlib
import json

import numpy as np
import pytest

from cualex.benchmark import problem
from cualex.profiling import passes
from cualex.profiling import profile as profiles
from cualex.profiling.table import Profile
from tests.support import json_keys, launches, rank_threads
from tests.support.tiny_runs import mote, speck

fast = functools.partial(profiles.profile, side=32, copied=2**12)


def profiled(ranks, network):
    *_, found = fast(problem.make(network, 8), repeat=2, ranks=ranks)
    assert (ranks.unlimited, ranks.limited) == ([], False)  # outside of updates a rank looks for answers seldom
    return found


@pytest.mark.parametrize("network", [speck(), mote()], ids=["speck", "mote"])
def test_every_step_has_a_row_and_every_sum(network):
    found: list[Profile] = rank_threads.run(2, lambda ranks: profiled(ranks, network))
    for each in found:
        kinds = [row.kind for row in each.rows]
        assert kinds.count("update") == len(network.parameters())
        assert all(row.seconds > 0 for row in each.rows)
        assert abs(each.rest) < each.serial
        document = each.document()["sums"]
        assert document["ranks"] == 2
        assert sum(row["bytes"] for row in document["rows"]) == document["formula_bytes"] == document["bytes"]
        assert document["bytes"] == 4 * sum(np.prod(shape) for shape in network.parameters().values())
        assert document["exposed_milliseconds"]["least"] <= document["exposed_milliseconds"]["most"]
    assert found[0].conditions["batch_size"] == 8


def test_one_process_has_no_sums():
    *_, found = fast(problem.make(speck(), 8), repeat=1)
    assert found.document()["sums"] is None


def test_a_profile_moves_all_ranks_alike(monkeypatch):
    """Updates of a serial pass, by a rank's own gradients, would part them."""
    digests = []
    plain = passes.measure

    def measured(plan, *arguments):
        made = plain(plan, *arguments)
        tensors = plan.parameters.unload()
        digests.append(hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest())
        return made

    monkeypatch.setattr(profiles, "measure", measured)
    rank_threads.run(2, lambda ranks: profiled(ranks, speck()))
    assert len(set(digests)) == profiles.WARM_UP + 2
    assert len(digests) == 2 * len(set(digests))


@pytest.mark.slow
def test_the_command():
    words = ("profile", "lenet5", "-b", 16, "--repeat", 2)
    ended = launches.launch(2, *words, "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert json_keys.faults(["profile"], document) == []
    assert document["sums"]["bytes"] == document["sums"]["formula_bytes"] == 4 * 61_706
    printed = launches.launch(2, *words)
    assert "Sums over 2 ranks, of the actual step" in printed.stdout
    assert "\nbatch of 8. dx" in printed.stdout
    assert printed.stdout.count("Machine: ") == 1
