"""Print how fast ranks are, beside what the model predicts; on an idle machine: python -m tests.rank_figures

1. Two ranks of one core against one process of two: `mpiexec -n 2 cualex benchmark -b 128`, alexnet. The prediction is
   printed before the rounds. 3 minutes.
2. Two machines, as namespaces of one core each, on a cable of 200 and 500 Mbit/s: a step of a network whose weights
   take longer to send than to compute with, against the model of `cualex summary --ranks`. Needs root, ip and tc.

With arguments, only these: python -m tests.rank_figures 2
"""

import json
import os
import subprocess
import sys

from cualex.benchmark import scaling
from cualex.ranks import model
from cualex.ranks.model import Link, Machines
from tests import ROOT
from tests.support import launches, namespaces
from tests.support.tiny_runs import broad

FRAME, PAYLOAD = 1514, 1448  # bytes of Ethernet as tc counts them, and of TCP in them


def load():
    return f"load average {os.getloadavg()[0]:.2f}"


def against_one_process():
    print(f"\n1. Two ranks against one process, alexnet, batch 128; {load()}\n", flush=True)
    words = [launches.mpiexec(), "-n", "2", sys.executable, "-m", "cualex", "benchmark", "-b", "128", "--rounds", "5"]
    subprocess.run(words, cwd=ROOT, check=True)


def on_a_cable():
    for megabits in (200, 500):
        with namespaces.Machines() as machines:
            machines.shape(megabits)
            words = ("benchmark", "--network", "broad", "-b", 4, "--rounds", 5, "--json")
            before = load()
            ended = machines.launch(1, *words, RANK_TURN=0)
        assert ended.returncode == 0, ended.stderr
        found = json.loads(ended.stdout)
        link = Link(megabits / 8 * 1e6 * PAYLOAD / FRAME, found["predicted"]["latency_s"])
        on = Machines(link, compute=found["alone_milliseconds"] / 1e3)
        expected = 1e3 * model.estimate(scaling.sizes(broad()), 2, 2, on).sum.seconds
        rounds = [each["milliseconds"] for each in found["rounds"]]
        print(
            f"\n2. {megabits} Mbit/s: {found['milliseconds']:.0f} ms a step ({min(rounds):.0f} to {max(rounds):.0f}), "
            f"{found['milliseconds'] / expected - 1:+.1%} of the model's {expected:.0f} ms ("
            f"{found['alone_milliseconds']:.0f} alone, {found['bytes'] / 1e6:.1f} MB); exposed "
            f"{found['exposed_milliseconds']['least']:.0f} ms. With the rate measured first, "
            f"{found['predicted']['bytes_per_s'] / 1e6:.1f} MB/s instead of {link.rate / 1e6:.1f}, the model says "
            f"{found['predicted']['milliseconds']:.0f} ms: "
            f"{found['milliseconds'] / found['predicted']['milliseconds'] - 1:+.1%}; {before}",
            flush=True,
        )


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["1", "2"]
    if "1" in wanted:
        against_one_process()
    if "2" in wanted:
        on_a_cable()
