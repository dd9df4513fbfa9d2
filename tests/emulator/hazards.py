"""Work on two streams that touches the same memory: an event must say which comes first.

Streams, and the host, have a vector clock: how much of every stream comes before what they do next. Of two touches of
the same bytes, of which one writes, the earlier must be in the clock of the later. So a forgotten wait is found in any
run, in whatever order things happen to run there. Kernels touch all of an array that they are given; they write those
whose pointer is not const.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from cualex.emulator import binding
from tests.emulator.streams import Event, Item, Record, Stream, Wait

Clock = dict[Stream, int]


class HazardError(Exception):
    """Report two pieces of work on the same memory that no event brings into order."""


@dataclass(frozen=True)
class Touch:
    """Describe what a piece of work does to an array; `what` names both."""

    array: np.ndarray
    writes: bool
    what: str

    @property
    def extent(self) -> tuple[int, int]:
        """Return its first address and the first behind it."""
        return np.lib.array_utils.byte_bounds(self.array)


@dataclass(frozen=True)
class Entry:
    """Remember a touch: where, on which stream, and the how-manieth piece of work it was there."""

    start: int
    end: int
    writes: bool
    what: str
    stream: Stream
    time: int


class Hazards:
    """Watch what is queued."""

    def __init__(self):
        self.host: Clock = {}
        self.clocks: dict[Stream, Clock] = defaultdict(dict)
        self.events: dict[Event, Clock] = {}
        self.entries: dict[int, list[Entry]] = defaultdict(list)  # by array

    def queued(self, stream: Stream, item: Item) -> None:
        """Take note of something new on a stream; raise HazardError where it is not in order with the rest."""
        clock = self.clocks[stream]
        _join(clock, self.host)
        if isinstance(item, Record):
            self.events[item.event] = dict(clock)
        elif isinstance(item, Wait):
            _join(clock, self.events[item.event])
        else:
            clock[stream] = clock.get(stream, 0) + 1
            for touch in item.touches:
                self._touch(stream, clock, touch)

    def waited(self, stream: Stream) -> None:
        """Take note that the host has waited for all that is queued on a stream."""
        _join(self.host, self.clocks[stream])

    def _touch(self, stream: Stream, clock: Clock, touch: Touch) -> None:
        start, end = touch.extent
        number = binding.machine().emulator_array_at(start)
        if not number:  # memory of the host, whose values were taken at the call
            return
        kept = []
        for entry in self.entries[number]:
            meets = entry.start < end and start < entry.end and (entry.writes or touch.writes)
            if meets and clock.get(entry.stream, 0) < entry.time:
                raise HazardError(
                    f"{touch.what} on a stream of device {stream.device}, {entry.what} on a stream of device "
                    f"{entry.stream.device}: no event says which comes first"
                )
            replaced = touch.writes or (entry.stream is stream and not entry.writes)
            if not (replaced and start <= entry.start and entry.end <= end):
                kept.append(entry)
        kept.append(Entry(start, end, touch.writes, touch.what, stream, clock[stream]))
        self.entries[number] = kept


def _join(clock: Clock, other: Clock) -> None:
    for stream, time in other.items():
        clock[stream] = max(clock.get(stream, 0), time)
