"""Graphs: what was queued on some streams, to be queued again as a whole, with CUDA's rules for capturing."""

from collections.abc import Callable, Sequence

from tests.emulator.streams import Event, Item, Record, Stream, Wait


class CaptureError(Exception):
    """Report what CUDA would refuse to capture."""


class Capture:
    """Collect what is queued on some streams, of which the first is where a graph of it will run."""

    def __init__(self, streams: Sequence[Stream]):
        self.streams = list(streams)
        self.items: list[tuple[Stream, Item]] = []

    def add(self, stream: Stream, item: Item) -> None:
        """Note one more thing; raise CaptureError where it is not bound to what was captured before."""
        if stream not in self.streams:
            raise CaptureError("work is queued on a stream that is not captured")
        if isinstance(item, Wait) and item.event.capture is not self:
            raise CaptureError("a captured stream waits for an event from outside")
        begun = {held for held, _ in self.items}
        if stream is not self.streams[0] and stream not in begun and not isinstance(item, Wait):
            raise CaptureError("a stream is captured without waiting for an event of the first one")
        self.items.append((stream, item))

    def check(self) -> None:
        """Raise CaptureError unless the first stream has waited for all that the others do."""
        known = {stream: dict.fromkeys(self.streams, 0) for stream in self.streams}  # items that come before
        at_event = {}
        for stream, item in self.items:
            if isinstance(item, Wait):
                for each, count in at_event[item.event].items():
                    known[stream][each] = max(known[stream][each], count)
            elif isinstance(item, Record):
                at_event[item.event] = dict(known[stream])
            else:
                known[stream][stream] += 1
        first = known[self.streams[0]]
        if any(first[stream] != known[stream][stream] for stream in self.streams):
            raise CaptureError("the first stream does not wait for all work of the others")


class EmulatedGraph:
    """Queue captured work again."""

    def __init__(self, capture: Capture, queue: Callable[[Stream, Item], None]):
        self.capture, self.queue = capture, queue

    def launch(self) -> None:
        """Queue it on the first stream; what other streams did runs beside, in no order with their own queues."""
        first, *others = self.capture.streams
        branches = {first: first} | {stream: Stream(stream.device) for stream in others}
        begin = Event(first)
        self.queue(first, Record(begin))
        for stream in others:
            self.queue(branches[stream], Wait(begin))
        events: dict[Event, Event] = {}
        for stream, item in self.capture.items:
            branch = branches[stream]
            if isinstance(item, Record):
                item = Record(events.setdefault(item.event, Event(branch)))
            elif isinstance(item, Wait):
                item = Wait(events[item.event])
            self.queue(branch, item)
        for stream in others:
            end = Event(branches[stream])
            self.queue(branches[stream], Record(end))
            self.queue(first, Wait(end))
