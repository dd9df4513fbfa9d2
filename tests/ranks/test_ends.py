"""However ranks end, all do: kills, signals, one that is stuck. The run goes on, on other ranks, to the same bits."""

import contextlib
import os
import random
import signal
import time

import pytest

from cualex.errors import WeightsError
from cualex.training.run import Run
from tests.support import launches
from tests.support.tiny_runs import OPTIONS, command, left

pytestmark = [pytest.mark.usefixtures("speck"), pytest.mark.slow]
PARTS = (*OPTIONS, "--accumulate", 4)
LEAVES = {signal.SIGINT: 130, signal.SIGTERM: 143}
GONE = 5  # seconds after which no process is left
MANY = int(os.environ.get("RANK_ENDS", "1"))  # times as many kills and signals


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return tmp_path_factory.mktemp("packs")


@pytest.fixture(scope="module")
def whole(forks, data, packs, tmp_path_factory):
    """Return what one process leaves that nobody has stopped."""
    place = tmp_path_factory.mktemp("whole")
    ended = forks.ask(arguments=command(data, *PARTS, "--output", place, "--cache", packs))
    assert ended["code"] == 0, ended["output"]
    return in_the_run(Run(place / "train"))


def in_the_run(run):
    """Return what a run has left; a kill behind its end, while curves are drawn, leaves no plot."""
    return {name: value for name, value in left(run).items() if name != "files"}


class Launched:
    """A training on ranks, new or continued."""

    def __init__(self, run, size, data, packs, place):
        how = (
            ("--resume", run.path)
            if run.begun
            else (data, *PARTS, "--output", run.path.parent, "--name", run.path.name)
        )
        place.mkdir(exist_ok=True)
        for each in place.iterdir():
            each.unlink()
        self.size, self.place, self.run = size, place, run
        self.process = launches.begin(size, "train", *how, "--cache", packs, RANK_PIDS=place)

    @property
    def pids(self):
        return {int(each.name): int(each.read_text() or 0) for each in self.place.iterdir()}

    def wait_for_start(self):
        """Wait until all ranks are there, or the end."""
        while len(self.pids) < self.size and self.process.poll() is None:
            time.sleep(0.01)

    def end(self):
        """Return how it ended; no process may be left."""
        ended = launches.end(self.process)
        until = time.monotonic() + GONE
        while (left_over := launches.alive(self.pids.values())) and time.monotonic() < until:
            time.sleep(0.05)
        assert left_over == []
        return ended


def go_on(chance, path, work, finished):
    """Begin runs and go on with them, on two or four ranks, until `work` has had enough of the launches."""
    number = 0
    while True:
        run = Run(path / f"run-{number}")
        while not (run.path / "finished.json").exists():
            if work(run, chance.choice([2, 4])):
                return number + 1
        finished(run)
        number += 1


def test_kills_lose_nothing(data, packs, whole, tmp_path):
    """Tries 5 kills of a random rank, 50 with RANK_ENDS=10."""
    chance, killed = random.Random(5), 0

    def work(run, size):
        nonlocal killed
        had = run.resumable
        launched = Launched(run, size, data, packs, tmp_path / "pids")
        launched.wait_for_start()
        time.sleep(chance.uniform(0, 4))
        pids = launched.pids
        if launched.process.poll() is None and pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(sorted(pids.values())), signal.SIGKILL)
        ended = launched.end()
        killed += ended.returncode != 0
        assert ended.returncode in (0, 9, 137), ended.stderr
        try:
            # A run that had a checkpoint keeps one, unless it is finished; before the first it begins again.
            assert run.checkpoint() is not None or run.outcome() or not had
        except WeightsError as error:
            pytest.fail(f"lost: {error}")
        return killed >= 5 * MANY

    def finished(run):
        assert in_the_run(run) == whole

    count = go_on(chance, tmp_path, work, finished)
    print(f"\n{killed} kills in {count} runs, none lost, no process left")
    run = Run(tmp_path / f"run-{count - 1}")
    if run.begun and not run.outcome():
        ended = launches.launch(4, "train", "--resume", run.path, "--cache", packs)
        assert ended.returncode == 0, ended.stderr
        finished(run)


def test_signals_save_and_leave_together(data, packs, whole, tmp_path):
    """Tries 4 signals to the launcher or to one rank, 40 with RANK_ENDS=10."""
    chance, times = random.Random(4), []

    def work(run, size):
        launched = Launched(run, size, data, packs, tmp_path / "pids")
        launched.wait_for_start()
        time.sleep(chance.uniform(0.3, 5))
        kind, whom = chance.choice(sorted(LEAVES)), chance.choice([launched.process.pid, *launched.pids.values()])
        began = time.monotonic()
        if launched.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(whom, kind)
        ended = launched.end()
        if not run.outcome():
            assert ended.returncode == LEAVES[kind], ended.stderr
            assert not list(run.path.glob(".*.part"))
            times.append(time.monotonic() - began)
        return len(times) >= 4 * MANY

    def finished(run):
        assert in_the_run(run) == whole

    count = go_on(chance, tmp_path, work, finished)
    print(f"\n{len(times)} signals in {count} runs, the slowest left after {max(times):.2f} s")


def test_a_rank_that_is_stopped_ends_all_after_the_timeout(data, packs, tmp_path):
    words = ("train", data, *PARTS, "--output", tmp_path, "--cache", packs, "--peer-timeout", 3)
    (tmp_path / "pids").mkdir()
    ended = launches.launch(2, *words, RANK_FAULT="SIGSTOP:1", RANK_PIDS=tmp_path / "pids")
    assert ended.returncode == 7, ended.stderr
    assert "Error: waited 3 s in vain to hear the loss of update 4: another rank is gone or stuck" in ended.stderr
    assert launches.alive([int((tmp_path / "pids" / "1").read_text())]) == []


@pytest.mark.parametrize("more", [(), ("--exchange-rows",)], ids=["", "rows on their way"])
def test_ctrl_c_waits_for_a_checkpoint_that_takes_long(data, packs, whole, tmp_path, more):
    """The other ranks had left after two seconds, and their launcher ended rank 0, which was writing."""
    words = ("train", data, *PARTS, *more, "--output", tmp_path, "--cache", packs)
    ended = launches.launch(2, *words, RANK_FAULT="slow:0", RANK_MACHINES=1)
    assert ended.returncode == 130, ended.stderr
    run = Run(tmp_path / "train")
    assert run.checkpoint() is not None
    ended = launches.launch(4, "train", "--resume", run.path, *more, "--cache", packs, RANK_MACHINES=2)
    assert ended.returncode == 0, ended.stderr
    assert in_the_run(run) == whole


def test_other_images_on_a_rank_are_named(data, packs, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(data, other)
    next(iter(sorted(other.rglob("*.png")))).unlink()
    words = ("train", data, *PARTS, "--output", tmp_path / "runs", "--cache", packs)
    ended = launches.launch(2, *words, RANK_FAULT="data:1", DATA=data, OTHER_DATA=other)
    assert ended.returncode == 1
    assert "Error: rank 1 has another data set than rank 0: expected " in ended.stderr
