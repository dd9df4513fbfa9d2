"""A second process that answers questions: one line of JSON each way."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable

from cualex import errors
from cualex.errors import CualexError


class Second:
    """Start `python -m MODULE`, ask it, and end it; between questions it sleeps.

        with Second("cualex.benchmark.memory") as process:
            answer = process.ask(batch=32)

    It ends with the block whatever happens, Ctrl-C included, which only the first process gets to see.
    """

    def __init__(self, module: str, environment: dict[str, str] | None = None):
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )

    def __enter__(self) -> "Second":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what was not sent any more
            self._process.stdin.close()
        self._process.stdout.close()

    def ask(self, **question: object) -> dict:
        """Send a question and wait for the answer; an error that the other raises for the user is raised here."""
        line = ""
        with contextlib.suppress(OSError):  # it has ended: there will be no line
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise CualexError(
                f"{self._module} ended with code {self._process.wait()} before it answered; its output is above. "
                "If there is none, it ran out of memory: choose a smaller --batch-size."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["kind"])(answer["error"])
        return answer


def serve(answer: Callable[..., dict]) -> None:
    """Be the second process: answer the questions on stdin until there are no more."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        for line in sys.stdin:
            try:
                said = answer(**json.loads(line))
            except CualexError as error:
                said = {"error": str(error), "kind": type(error).__name__}
            print(json.dumps(said), file=replies, flush=True)
