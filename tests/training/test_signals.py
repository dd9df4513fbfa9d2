"""Ctrl-C and SIGTERM at any moment of `cualex train`: it saves and leaves, and goes on to the same bits."""

import random
import signal
from collections import Counter

import pytest

from cualex.training.run import Run
from tests.support.tiny_runs import OPTIONS, command, left

pytestmark = pytest.mark.usefixtures("speck")
LEAVES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_signals_at_random_moments(forks, data, tmp_path, count):
    """Tries 4 signals, 100 under `-m slow`. Every fourth run packs its images first."""
    chance, times, phases, number = random.Random(count), [], Counter(), 0
    fixed = (data, *OPTIONS, "--output", tmp_path)
    whole = forks.ask(arguments=command(*fixed, "--name", "whole", "--cache", tmp_path / "packs"))
    assert whole["code"] == 0, whole["output"]
    expected = left(Run(tmp_path / "whole"))
    while len(times) < count:
        run, number = Run(tmp_path / f"run-{number}"), number + 1
        cache = ("--cache", tmp_path / (f"packs-{number}" if number % 4 == 0 else "packs"))
        while not (run.path / "finished.json").exists():
            before = run.begun
            how = ("--resume", run.path) if before else (*fixed, "--name", run.path.name)
            kind = chance.choice(list(LEAVES))
            end = forks.ask(arguments=command(*how, *cache), number=kind, delay=chance.uniform(0, 0.3))
            if not (run.path / "finished.json").exists():
                assert end["code"] == LEAVES[kind], end["output"]
                assert not list(run.path.glob(".*.part"))
                times.append(end["seconds"])
                phases["start" if not run.begun else "going on" if before else "training"] += 1
            if run.path.exists() and not run.begun:  # between the directory's making and what belongs into it
                break
        else:
            assert left(run) == expected
    times.sort()
    slowest = times[-(-99 * len(times) // 100) - 1]
    print(f"\n{len(times)} signals {dict(phases)}; {number} runs; 99% left within {slowest:.2f} s")
