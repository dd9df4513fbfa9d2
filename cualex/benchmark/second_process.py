"""A second process for measurements: requests and replies, one line of JSON each."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from cualex import errors
from cualex.errors import CualexError


class Second:
    """A process of `python -m MODULE` that answers requests and sleeps between them.

        with Second("cualex.benchmark.memory") as process:
            answer = process.ask(batch=32)

    It ends with the block whatever happens. Ctrl-C reaches the first process alone.
    """

    def __init__(self, module: str, environment: dict[str, str] | None = None) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout

    def __enter__(self) -> "Second":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what was not sent any more
            self._requests.close()
        self._replies.close()

    def ask(self, **question: object) -> dict[str, Any]:
        """Send a request and wait for the reply; a CualexError of the second process is raised here."""
        line = ""
        with contextlib.suppress(OSError):  # it has ended: there will be no line
            self._requests.write(json.dumps(question) + "\n")
            self._requests.flush()
            line = self._replies.readline()
        if not line:
            raise CualexError(
                f"{self._module} ended with code {self._process.wait()} before it answered; its output is above. "
                "If there is none, it ran out of memory: choose a smaller --batch-size."
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["kind"])(answer["error"])
        return answer


def serve(answer: Callable[..., dict[str, Any]]) -> None:
    """Answer the requests on stdin until there are no more: the main loop of the second process."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        for line in sys.stdin:
            try:
                reply = answer(**json.loads(line))
            except CualexError as error:
                reply = {"error": str(error), "kind": type(error).__name__}
            print(json.dumps(reply), file=replies, flush=True)
