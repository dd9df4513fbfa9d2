"""Trainings in processes of their own that are signalled at a chosen moment: forked, since starting Python takes long.

A server has imported everything; each request forks it, and the child trains. python forks.py reads requests from
stdin, a JSON object a line, and answers each with another.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Forks:
    """Be the server's other end."""

    def __enter__(self):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def ask(self, *, number=signal.SIGKILL, delay=None, **request):
        """Train in a child, and send it a signal `delay` seconds after its first output.

        run: the directory, for a training by the library.  arguments: those of `cualex`, for one by the command.
        Return its exit code (minus the signal that killed it), output, and seconds from signal to end.
        """
        request = {"number": int(number), "delay": delay, **request}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


def serve():
    import matplotlib.pyplot  # noqa: F401
    from runs import known

    import cualex.cli.train
    import cualex.pictures.curves
    import cualex.training.loop  # noqa: F401

    with known():
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)


def answer(request):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(reading)
            for stream in (1, 2):
                os.dup2(writing, stream)
            code = by_library(**request) if "run" in request else by_command(**request)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    output, began = os.read(reading, 65536), time.monotonic()
    if request["delay"] is not None:
        time.sleep(request["delay"])
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, request["number"])
    while part := os.read(reading, 65536):
        output += part
    _, status = os.waitpid(child, 0)
    os.close(reading)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "output": output.decode(), "seconds": time.monotonic() - began}


def by_library(run, save_every=0.0, **_):
    """Train in a run's directory, and make it first where it is not there."""
    from runs import training

    from cualex.training.run import Run

    print("begins", flush=True)
    place = Path(run)
    begun = Run(place) if place.exists() else Run.create(place.parent, place.name)
    for _ in training(begun, save_every=save_every):
        pass
    return 0


def by_command(arguments, **_):
    """Run the command."""
    from cualex.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0


if __name__ == "__main__":
    serve()
