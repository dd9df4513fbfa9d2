"""Streams as queues: what is queued runs when somebody has to wait for it, in any order that the events allow.

    "eager"   at once
    "late"    no stream runs before an event of it, or its results, are waited for
    "random"  whenever somebody waits, any stream that can go on, drawn by a seed, until the wait is over

A copy between arrays takes its time: its target is full of poison from its start until its stream goes on, as when
an event behind it happens. The source is read at the end of that time (with "random": at its start or its end).
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np


class Item(Protocol):
    """Be something in a queue."""

    def run(self, stream: "Stream") -> None:
        """Do it."""


@dataclass(eq=False)
class Stream:
    """Hold what is to be done on a device, in order; `arriving` ends the copy that is under way."""

    device: int
    queue: deque[Item] = field(default_factory=deque)
    arriving: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        """Say whether nothing is left to do, as CuPy's streams do."""
        return not self.queue

    @property
    def ready(self) -> bool:
        """Say whether it can go on."""
        return bool(self.queue) and (not isinstance(self.queue[0], Wait) or self.queue[0].event.happened)

    def advance(self) -> None:
        """Do the next thing."""
        self.arrive()
        self.queue.popleft().run(self)

    def arrive(self) -> None:
        """End the copy that is under way."""
        if self.arriving is not None:
            self.arriving()
            self.arriving = None


@dataclass(eq=False)
class Event:
    """Tell when a stream has come to a point; `capture` is where it was recorded, None outside of any."""

    stream: Stream
    capture: object = None
    happened: bool = False


@dataclass(frozen=True)
class Work:
    """Run a kernel; `touches` tells what it does to which arrays."""

    function: Callable[[int], None]
    touches: Sequence = ()

    def run(self, stream: Stream) -> None:
        """Run it on the device of the stream."""
        self.function(stream.device)


@dataclass(frozen=True)
class Transfer:
    """Copy an array; `early` draws whether the source is read at the start."""

    source: np.ndarray
    target: np.ndarray
    early: Callable[[], bool]
    touches: Sequence = ()

    def run(self, stream: Stream) -> None:
        """Start the copy."""
        values = self.source.copy() if self.early() else self.source
        self.target[...] = np.frombuffer(b"\xff" * self.target.itemsize, self.target.dtype)[0]

        def end() -> None:
            self.target[...] = values

        stream.arriving = end


@dataclass(frozen=True)
class Record:
    """Let an event happen."""

    event: Event

    def run(self, stream: Stream) -> None:
        """Let it happen."""
        self.event.happened = True


@dataclass(frozen=True)
class Wait:
    """Hold a stream until an event has happened."""

    event: Event

    def run(self, stream: Stream) -> None:
        """Go on."""


class Eager:
    """Run everything at once."""

    def early(self) -> bool:
        """Say when a copy reads its source."""
        return True

    def queued(self, stream: Stream) -> None:
        """Act on something new in a queue."""
        while stream.queue:
            stream.advance()
        stream.arrive()

    def finish(self, stream: Stream, streams: Iterable[Stream]) -> None:
        """Run what a stream holds, and what that needs."""


class Late(Eager):
    """Run what is needed, and nothing else."""

    def early(self) -> bool:
        """Say when a copy reads its source."""
        return False

    def queued(self, stream: Stream) -> None:
        """Act on something new in a queue."""

    def finish(self, stream: Stream, streams: Iterable[Stream]) -> None:
        """Run what a stream holds, and what that needs."""
        while stream.queue:
            self._advance(stream)
        stream.arrive()

    def _advance(self, stream: Stream) -> None:
        while not stream.ready:
            self._advance(stream.queue[0].event.stream)
        stream.advance()


class Random(Late):
    """Run anything that can run until what is needed has.

    Streams have ranks, drawn anew now and then, and the first of those that can go on does: so one of them is often
    far behind the others, which a fair draw would hardly ever show.
    """

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.ranks: WeakKeyDictionary[Stream, float] = WeakKeyDictionary()

    def early(self) -> bool:
        """Say when a copy reads its source."""
        return self.random.random() < 0.5

    def finish(self, stream: Stream, streams: Iterable[Stream]) -> None:
        """Run what a stream holds, and what that needs."""
        while stream.queue:
            max((each for each in streams if each.ready), key=self._rank).advance()
        stream.arrive()

    def _rank(self, stream: Stream) -> float:
        if stream not in self.ranks or self.random.random() < 0.1:
            self.ranks[stream] = self.random.random()
        return self.ranks[stream]


def order(name: str, seed: int) -> Eager:
    """Make the order of that name."""
    return {"eager": Eager, "late": Late, "random": lambda: Random(seed)}[name]()
