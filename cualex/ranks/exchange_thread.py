"""The thread that makes all calls of MPI, in the order in which they were asked for.

They are non-blocking, and the thread sleeps between two looks at them: MPI's own waiting spins, and would take the core
from a worker.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np

from cualex.errors import RankLost

T = TypeVar("T")
NAP = 1e-4  # seconds between two rounds of looks
LONG_NAP = 1e-3  # the same outside of updates, as while another rank packs: a tenth of the looks
LOOKS = 16  # of a round: each moves a piece of a large message
TIMEOUT = 600.0  # seconds without an answer after which a rank gives up


class Stopped(Exception):
    """An exchange that was given up, since this rank has failed."""


class ExchangeThread:
    """The thread, its jobs, and how long it waits for other ranks.

    timeout: seconds, which count while `_limited`.  `_failed`: this rank has, and nothing more is exchanged.
    """

    def __init__(self) -> None:
        """Start it."""
        self.timeout, self._limited, self._failed, self._cut_off = TIMEOUT, False, False, False
        self._lost = False  # another rank, or the network
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any], bool] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="exchange", daemon=True).start()

    @property
    def cut_off(self) -> bool:
        """Return whether an exchange was given up, so that only `abort` can end this process."""
        return self._cut_off

    def _submit(self, job: Callable[[], T], always: bool = False) -> "Future[T]":
        """Queue a job for the thread; `always`: also after a failure."""
        future: Future[T] = Future()
        self._jobs.put((job, future, always))
        return future

    def _work(self) -> None:
        while entry := self._jobs.get():
            job, future, always = entry
            try:
                if self._failed and not always:
                    raise Stopped
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

    def _wait(self, request: Any, what: str) -> None:
        """Sleep until a request is done; raise RankLost after the timeout."""
        until = time.monotonic() + self.timeout if self._limited else np.inf
        while not any(request.Test() for _ in range(LOOKS)):
            if self._failed:
                self._cut_off = True
                raise Stopped
            if time.monotonic() > until:
                self._cut_off = self._lost = True
                raise RankLost(
                    f"waited {self.timeout:g} s in vain to {what}: another rank is gone or stuck, or the network is.",
                    "Continue from the last checkpoint with --resume; --peer-timeout sets the limit.",
                )
            time.sleep(NAP if self._limited else LONG_NAP)
