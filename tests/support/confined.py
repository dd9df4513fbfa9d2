"""Run cases in a process of their own: each has a deadline, all have a limit on memory, and nothing may be said.

A case that crashes, hangs or swallows the memory ends that process and not the tests, and is known by its number.
"""

import importlib
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading

import pytest

from tests import ROOT

MEGABYTE = 1 << 20
# Beyond the limit that is tested, so that what asks for more is measured; a last resort for the machine.
LAST = 2048 * MEGABYTE


def results(cases, *arguments, seconds=10, megabytes=100):
    """Run a generator function of a test module over there: the list of what it yields, an item a case.

    The first case is for warming up: the peak of the address space after it, plus `megabytes`, is the limit.
    Warnings are shown over there, not raised, and whatever is shown fails the test.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is measured by /proc, which Linux has")
    serving = [sys.executable, "-W", "always", "-c", f"from {__name__} import serve; serve()"]
    command = [*serving, cases.__module__, cases.__name__, json.dumps(arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    found, before = [], None
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environment, text=True) as process,
    ):
        lines = queue.Queue()
        threading.Thread(target=lambda: [*map(lines.put, process.stdout), lines.put("")], daemon=True).start()
        try:
            while line := lines.get(timeout=seconds):
                peak, result = json.loads(line)
                before = before or peak
                taken = (peak - before) / MEGABYTE
                assert taken <= megabytes, f"case {len(found)} takes {taken:.0f} MB: {result}"
                found.append(result)
            code = process.wait(seconds)
        except queue.Empty:
            raise AssertionError(f"case {len(found)}: no answer in {seconds} s") from None
        finally:
            process.kill()
        said.seek(0)
        words = said.read()
    assert code == 0, f"case {len(found)} ended the process with {code}:\n{words[-2000:]}"
    assert words == "", f"something was shown:\n{words[:2000]}"
    return found


def serve():
    """Be that process: write a line of JSON a case, the peak of the address space and the result."""
    module, name, arguments = sys.argv[1:]
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for result in getattr(importlib.import_module(module), name)(*json.loads(arguments)):
            if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
                resource.setrlimit(resource.RLIMIT_AS, (peak() + LAST,) * 2)
            print(json.dumps([peak(), result]), file=answers, flush=True)


def peak():
    """Return the most address space that this process has had, in bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmPeak")) * 1024
