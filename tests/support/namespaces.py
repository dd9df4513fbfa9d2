"""Two machines on one: network namespaces, each with a host name and a core of its own, and a cable between them."""

import contextlib
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support import launches

NAMES = "ab"
CABLE, CONTROL = "link0", "ctl0"  # the ranks' network, and that of mpiexec, which outlives a cut
# UCX, below MPICH: the cable alone, else it would look for the other machine on the loopback, or in shared memory.
OWN = {"UCX_NET_DEVICES": CABLE, "UCX_TLS": "tcp,self"}


def run(*words):
    """Run a command that must succeed."""
    subprocess.run([*map(str, words)], check=True, capture_output=True, text=True)


@functools.cache
def need():
    """Skip the test where the machine does not let this process make namespaces and shape a link."""
    launches.mpiexec()
    if missing := [each for each in ("ip", "tc", "unshare", "taskset") if shutil.which(each) is None]:
        pytest.skip(f"needs {', '.join(missing)}: iproute2 and util-linux")
    try:
        with Machines() as machines:
            machines.shape(100)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"namespaces are not allowed: {' '.join(error.cmd)}: {error.stderr.strip()}")


class Machines(contextlib.ExitStack):
    """Two namespaces and two networks between them; gone with the block."""

    def __enter__(self):
        """Make them."""
        self.spaces = [f"cualex-{os.getpid()}-{name}" for name in NAMES]
        self.place = Path(self.enter_context(tempfile.TemporaryDirectory()))
        for space in self.spaces:
            run("ip", "netns", "add", space)
            self.callback(run, "ip", "netns", "del", space)
        one, two = self.spaces
        for number, name in enumerate((CABLE, CONTROL)):
            run("ip", "link", "add", name, "netns", one, "type", "veth", "peer", "name", name, "netns", two)
            for last, space in enumerate(self.spaces, 1):
                run("ip", "-n", space, "addr", "add", f"10.77.{number}.{last}/24", "dev", name)
                run("ip", "-n", space, "link", "set", "lo", "up")
                run("ip", "-n", space, "link", "set", name, "up")
        until = time.monotonic() + 10
        while not all(self.up(space) for space in self.spaces) and time.monotonic() < until:
            time.sleep(0.05)
        self.launcher = self.place / "launcher"  # as ssh: [-x] HOST COMMAND...
        cores = sorted(os.sched_getaffinity(0))
        self.enter = [
            [
                *("ip", "netns", "exec", space, "unshare", "--uts", "taskset", "-c", str(cores[number % len(cores)])),
                *("sh", "-c", f'hostname {name}; exec "$@"', "sh"),
            ]
            for number, (space, name) in enumerate(zip(self.spaces, NAMES, strict=True))
        ]
        one, two = map(shlex.join, self.enter)
        self.launcher.write_text(
            '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nhost=$1; shift\n'
            f'case $host in *.1) exec {one} sh -c "$*";; *) exec {two} sh -c "$*";; esac\n'
        )
        self.launcher.chmod(0o755)
        return self

    def up(self, space):
        """Return whether a namespace's end of the cable is ready."""
        found = subprocess.run(["ip", "-n", space, "link", "show", CABLE], capture_output=True, text=True, check=True)
        return "state UP" in found.stdout

    def shape(self, megabits):
        """Let the cable carry so many Mbit/s each way."""
        for space in self.spaces:
            limits = ("rate", f"{megabits}mbit", "burst", "256kb", "latency", "400ms")
            run("tc", "-n", space, "qdisc", "replace", "dev", CABLE, "root", "tbf", *limits)

    def cut(self):
        """Cut the cable."""
        run("ip", "-n", self.spaces[0], "link", "set", CABLE, "down")

    def sent(self):
        """Return the bytes that have left each machine by the cable."""
        found = []
        for space in self.spaces:
            words = ["ip", "netns", "exec", space, "cat", f"/sys/class/net/{CABLE}/statistics/tx_bytes"]
            text = subprocess.run(words, capture_output=True, text=True, check=True)
            found.append(int(text.stdout))
        return found

    def begin(self, each, *arguments, network=CONTROL, **environment):
        """Start `cualex` with so many ranks on each machine; network: of mpiexec."""
        mpiexec = (launches.mpiexec(), "-launcher", "ssh", "-launcher-exec", str(self.launcher), "-ppn", str(each))
        number = (CABLE, CONTROL).index(network)
        words = [*self.enter[0], *mpiexec, "-hosts", f"10.77.{number}.1,10.77.{number}.2"]
        return launches.begin(2 * each, *arguments, launcher=words, **OWN, **environment)

    def launch(self, each, *arguments, **environment):
        """Run `cualex` with so many ranks on each machine to its end."""
        return launches.end(self.begin(each, *arguments, **environment))
