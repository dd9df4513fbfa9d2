"""Trainings in processes of their own that are signalled at a chosen moment: forked, since starting Python takes long.

A server has imported everything; each request forks it, and the child trains. `python -m tests.support.fork_server`
reads requests from stdin, a JSON object a line, and answers each with another.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests import ROOT


class Forks:
    """Be the server's other end."""

    def __enter__(self):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def ask(self, *, number=signal.SIGKILL, delay=None, **request):
        """Train in a child, and send it a signal `delay` seconds after its first output.

        run: the directory, for a training by the library.  arguments: those of `cualex`, for one by the command.
        once: a path; the delay begins when something is there, in the place of the first output.
        aim: the signal waits until a file is being written in the run's directory, and so many seconds more.
        pause: seconds that a checkpoint's writing takes longer.  in_place: with no file beside, a planted fault.
        keep: whether the checkpoints stay at the end, which they do if that is not said.
        together: several such requests, which begin at the same moment; a list of answers comes back.
        create: where to make a new run's directory.
        Return its exit code (minus the signal that killed it), output, and seconds from signal to end.
        """
        request = {"number": int(number), "delay": delay, **request}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


def serve():
    import matplotlib.pyplot  # noqa: F401

    import cualex.cli.train
    import cualex.data.pack
    import cualex.data.sources
    import cualex.plots.curves
    import cualex.training.loop  # noqa: F401
    from tests.support.tiny_runs import known

    with known():
        for line in sys.stdin:
            request = json.loads(line)
            print(
                json.dumps(at_once(request["together"]) if "together" in request else answer(request)),
                flush=True,
            )


def at_once(together):
    """Answer several requests whose children begin at the same moment."""
    start, begin = os.pipe()
    children = [launch(request, start) for request in together]
    time.sleep(0.2)
    os.write(begin, b"." * len(children))
    found = [collect(*child) for child in children]
    os.close(start)
    os.close(begin)
    return found


def answer(request):
    child, reading = launch(request)
    output, began = os.read(reading, 65536), time.monotonic()
    if request["delay"] is not None:
        if request.get("once"):
            wait_until(Path(request["once"]).exists, 20)
        time.sleep(request["delay"])
        if request.get("aim"):
            wait_for_part(Path(request["run"]), request["aim"])
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, request["number"])
    found = collect(child, reading, output)
    return found | {"seconds": time.monotonic() - began}


def wait_for_part(place, longer):
    """Wait until a file is being written in a directory, half a second at the most, and then a little longer."""
    wait_until(lambda: any(place.glob(".*.part")), 0.5)
    time.sleep(longer)


def wait_until(holds, seconds):
    """Wait until something holds, so many seconds at the most."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.0005)


def launch(request, start=None):
    """Fork a child, which waits for a byte from `start`; return its number and what reads its output."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    code = 70
    try:
        os.close(reading)
        for stream in (1, 2):
            os.dup2(writing, stream)
        if start is not None:
            os.read(start, 1)
        code = next(run for name, run in KINDS.items() if name in request)(request)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def collect(child, reading, output=b""):
    """Wait for a child's end; return exit code and output."""
    while part := os.read(reading, 65536):
        output += part
    _, status = os.waitpid(child, 0)
    os.close(reading)
    return {"code": os.waitstatus_to_exitcode(status), "output": output.decode()}


def by_library(request):
    """Train in a run's directory, and make it first where it is not there."""
    from cualex.system import files
    from cualex.training.run import Run
    from cualex.weights import tensor_file
    from tests.support.tiny_runs import RECIPE, training

    if pause := request.get("pause"):
        write = tensor_file.write
        tensor_file.write = lambda tensors, *rest: write(Slow(tensors, pause), *rest)
    if request.get("in_place"):
        files.replace = lambda path, write, *_: write(Path(path))
    print("begins", flush=True)
    place = Path(request["run"])
    run = Run(place) if place.exists() else Run.create(place.parent, place.name)
    recipe = RECIPE.but(network=request.get("network"))
    for _ in training(run, recipe, save_every=0.0, keep=request.get("keep", True)):
        pass
    return 0


class Slow(dict):
    """Tensors that take their time to be written, as on a slow disk."""

    def __init__(self, tensors, pause):
        super().__init__(tensors)
        self.pause = pause / (2 * len(tensors))  # each is asked for its size, and for its bytes

    def __getitem__(self, name):
        time.sleep(self.pause)
        return super().__getitem__(name)


def by_command(request):
    """Run the command."""
    from cualex.cli import main

    try:
        main(request["arguments"])
    except SystemExit as end:
        return end.code or 0
    return 0


def create(request):
    """Make a run's directory, and print its name."""
    from cualex.training.run import Run

    print(Run.create(request["create"]).path.name)
    return 0


KINDS = {"run": by_library, "arguments": by_command, "create": create}


if __name__ == "__main__":
    serve()
