"""Ranks that are threads of one process: the same code as under MPI, without a launcher."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cualex.ranks import share

PATIENCE = 60  # seconds that a thread waits for the others; a test that needs them has failed


class Meeting:
    """Where the threads lay down what they send."""

    def __init__(self, size):
        self.size, self.barrier, self.table = size, threading.Barrier(size), {}

    def exchange(self, number, rank, value):
        """Return what every thread has laid down for its exchange of this number."""
        self.table[number, rank] = copy.deepcopy(value)
        self.barrier.wait(PATIENCE)
        found = [self.table[number, other] for other in range(self.size)]
        self.barrier.wait(PATIENCE)
        return found


class ThreadRanks:
    """`cualex.ranks.Ranks` of threads."""

    def __init__(self, meeting, rank):
        self._meeting, self.size, self.rank, self._count = meeting, meeting.size, rank, 0
        self.first = self.first_here = rank == 0
        self.machines, self.machine_of, self.exchanges_rows = 1, (0,) * meeting.size, False
        self.asked, self.limited, self.unlimited = [], False, []

    def _exchange(self, value, what):
        self._count += 1
        self.asked.append(what)
        return self._meeting.exchange(self._count, self.rank, value)

    def add_up(self, values, add, what):
        """Add up at once; `unlimited` lists the sums that were asked for outside of updates."""
        self.unlimited += [] if self.limited else [what]
        every, own = self._exchange(values, what), share(len(values), self.size, self.rank)
        total = add(np.stack([each[own] for each in every]))
        values[:] = np.concatenate(self._exchange(total, what))
        return lambda: None

    def exchange(self, sent, counts, received, from_each, what):
        """Exchange rows at once."""
        starts = np.cumsum([0, *counts])
        every = self._exchange([sent[start:][:count] for start, count in zip(starts, counts, strict=False)], what)
        received[...] = np.concatenate([each[self.rank] for each in every])
        return lambda: None

    def gather(self, values, what):
        """Gather at once."""
        found = np.stack(self._exchange(values, what))
        return lambda: found

    def collect(self, value, what):
        """Return the value of every thread."""
        return self._exchange(value, what)

    def at_first(self, call, what):
        """Return what the call gives in the first thread."""
        return self._exchange(call() if self.first else None, what)[0]

    def begin_updates(self, over=False):
        """Note it; wait as long as before."""
        self.limited = not over


def run(size, work):
    """Run work(ranks) in so many threads; return what each gives, or raise the first error."""
    meeting = Meeting(size)

    def guarded(rank):
        try:
            return work(ThreadRanks(meeting, rank))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as threads:
        futures = [threads.submit(guarded, rank) for rank in range(size)]
    errors = [each.exception() for each in futures if each.exception()]
    if errors:
        raise next((each for each in errors if not isinstance(each, threading.BrokenBarrierError)), errors[0])
    return [each.result() for each in futures]
