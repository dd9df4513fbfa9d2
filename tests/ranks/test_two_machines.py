"""Two machines, as namespaces with a cable between them: bits, bytes on the cable, and a cut."""

import json
import os
import time

import pytest

from cualex.ranks import measure, model
from cualex.training.run import Run
from tests.support import launches, namespaces
from tests.support.tiny_runs import OPTIONS, command, left

pytestmark = [pytest.mark.usefixtures("speck"), pytest.mark.slow]
PARTS = (*OPTIONS, "--accumulate", 4)


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return tmp_path_factory.mktemp("packs")


@pytest.fixture
def machines():
    namespaces.need()
    with namespaces.Machines() as made:
        yield made


def alone(forks, data, packs, place, *more):
    ended = forks.ask(arguments=command(data, *PARTS, *more, "--output", place, "--cache", packs))
    assert ended["code"] == 0, ended["output"]
    return left(Run(place / "train"))


def test_two_ranks_on_each_of_two_machines_train_to_the_bits_of_one_process(forks, data, packs, machines, tmp_path):
    whole = alone(forks, data, packs, tmp_path / "one")
    words = ("train", data, *PARTS, "--exchange-rows", "--output", tmp_path / "four", "--cache", packs)
    ended = machines.launch(2, *words)
    assert ended.returncode == 0, ended.stderr
    assert left(Run(tmp_path / "four" / "train")) == whole


def test_the_cable_carries_what_the_formula_says(machines):
    """Of sums on two levels: with one, each machine would send twice as much."""
    ended = machines.launch(2, "doctor", "--json")
    assert ended.returncode == 0, ended.stderr
    found = {check["what"]: check["found"] for check in json.loads(ended.stdout)["checks"]}
    assert found["ranks"].startswith("4 on 2 machines; here 2")
    _, between = model._two_levels(sum(measure.SIZES) / 4, 2, 2)
    expected = 2 * between * (measure.WARM + measure.FEW)  # of the two ranks of a machine
    for sent in machines.sent():
        assert 1 < sent / expected < 1.05, sent


@pytest.mark.parametrize("network", [namespaces.CONTROL, namespaces.CABLE], ids=["mpiexec lives", "mpiexec is cut off"])
def test_a_cut_cable_ends_all_and_the_run_goes_on(forks, data, packs, machines, tmp_path, network):
    long = ("--epochs", 60)
    (tmp_path / "pids").mkdir()
    run = Run(tmp_path / "two" / "train")
    words = ("train", data, *PARTS, *long, "--output", run.path.parent, "--cache", packs, "--peer-timeout", 3)
    process = machines.begin(1, *words, network=network, RANK_PIDS=tmp_path / "pids")
    until = time.monotonic() + launches.LIMIT
    while not (run.path / "last.safetensors").exists() and time.monotonic() < until:
        time.sleep(0.02)
    machines.cut()
    began = time.monotonic()
    pids = [int(each.read_text()) for each in (tmp_path / "pids").iterdir()]
    if network == namespaces.CONTROL:
        ended = launches.end(process)
        assert ended.returncode == 7, ended.stderr
        assert "Error: waited 3 s in vain to " in ended.stderr
    while launches.alive(pids) and time.monotonic() < began + 20:
        time.sleep(0.05)
    print(f"\nall ranks were gone {time.monotonic() - began:.1f} s after the cut")
    assert launches.alive(pids) == []
    assert len(pids) == 2
    if network == namespaces.CABLE:
        os.killpg(process.pid, 9)
        launches.end(process)
    assert not run.outcome()
    ended = launches.launch(4, "train", "--resume", run.path, "--cache", packs)
    assert ended.returncode == 0, ended.stderr
    of_resumed, whole = (dict(each) for each in (left(run), alone(forks, data, packs, tmp_path / "one", *long)))
    assert of_resumed == whole
