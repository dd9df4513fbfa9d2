"""`cualex` with the networks of the tests, as a launcher starts it; the environment plants what goes wrong.

RANK_FAULT is "what:rank"; see `planted`. RANK_TURN: seconds of a turn of `cualex benchmark`. RANK_MACHINES: how many
ranks of this machine pass for one.
"""

import functools
import os
import signal
import sys
import time
from pathlib import Path

from cualex.ranks import launch
from tests.support import tiny_runs


def planted():
    """Note this process in RANK_PIDS, a directory; let one rank fail, as RANK_FAULT says."""
    what, _, rank = os.environ.get("RANK_FAULT", "").partition(":")
    found = launch.found()
    if found and (place := os.environ.get("RANK_PIDS")):
        Path(place, str(found.rank)).write_text(str(os.getpid()))
    if not what or found is None or found.rank != int(rank):
        return
    if what == "recipe":
        sys.argv += ["--momentum", "0.8"]
    elif what == "version":
        import cualex

        cualex.__version__ = "0.0"
    elif what == "data":
        sys.argv = [os.environ["OTHER_DATA"] if each == os.environ["DATA"] else each for each in sys.argv]
    else:
        from cualex.plan import Plan
        from cualex.training.run import Run

        if what == "slow":  # as a large network's checkpoint is
            save = Run.save
            Run.save = lambda *given: (time.sleep(4), save(*given))

        run, count = Plan.run, 0

        def faulty(plan, *arguments, **settings):
            nonlocal count
            count += plan.training
            if count == 4 and plan.training:
                if what == "bug":
                    raise ZeroDivisionError("planted")
                if what == "weights":
                    plan.parameters.arrays["fc3.bias", 0][...] += 1
                if what == "slow":
                    os.kill(os.getpid(), signal.SIGINT)
                if what in ("SIGSTOP", "SIGKILL"):
                    os.kill(os.getpid(), getattr(signal, what))
            return run(plan, *arguments, **settings)

        Plan.run = faulty


def pretended():
    """Shorten the turns of a benchmark; let ranks of one machine be on several."""
    if seconds := os.environ.get("RANK_TURN"):
        from cualex.benchmark import scaling

        scaling.benchmark = functools.partial(scaling.benchmark, seconds=float(seconds))
    if each := os.environ.get("RANK_MACHINES"):
        from mpi4py import rc

        rc.initialize = rc.finalize = False
        from mpi4py import MPI

        MPI.Get_processor_name = lambda: f"machine {launch.found().rank // int(each)}"


if __name__ == "__main__":
    from cualex.cli import main

    with tiny_runs.known():
        pretended()
        planted()
        main()
