"""A step as a timeline for Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev).

Trace Event Format: an event "X" has a begin `ts` and a duration `dur` in microseconds; events of one row (`tid`) are
nested or disjoint. Here a row is a stream of a device of the placement.
"""

import errno
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cualex.profiling.overlap import COMPUTE, HOST, LINK, Span
from cualex.profiling.table import Profile, Row
from cualex.system import files

PROCESS = 1


def check(path: Path) -> None:
    """Raise OutputError when a file cannot be written, before the measurement that it is for."""
    code = None
    if path.is_dir():
        code = errno.EISDIR
    elif not path.parent.is_dir():
        code = errno.ENOENT
    elif not os.access(path.parent, os.W_OK):
        code = errno.EACCES
    if code is not None:
        raise files.cannot_write(path, OSError(code, os.strerror(code)))


@dataclass(frozen=True)
class Bar:
    """A piece of work of a lane. row: that of the profile, None for a copy from the host.

    began, seconds: since the first step began.
    """

    name: str
    began: float
    seconds: float
    bytes: int
    row: Row | None = None


@dataclass(frozen=True)
class Lane:
    """What one stream does, in order; the streams of a device have one `place`."""

    name: str
    place: int
    stream: str
    bars: tuple[Bar, ...]


def lanes(profile: Profile) -> list[Lane]:
    """Return the streams of all devices in the step whose streams run at once, or of a CPU in a serial step."""
    rows, overlap = profile.rows, profile.overlap
    if overlap:
        spans = overlap.spans
    else:
        timed = zip(rows, profile.example.began, profile.example.seconds, strict=True)
        spans = tuple(Span(row.place, COMPUTE, index, row.bytes, *times) for index, (row, *times) in enumerate(timed))
    found: list[Lane] = []
    for place, device in enumerate(profile.conditions["device"].split(",")):
        towers = sorted({tower for row in rows if row.place == place and row.kind != "link" for tower in row.towers})
        numbers = f"tower{'s' if len(towers) > 1 else ''} {' and '.join(map(str, towers))}"
        names = {
            COMPUTE: f"{device}, {numbers}",
            LINK: f"{device}, links to it",
            HOST: f"{device}, copies from the host",
        }
        for stream, name in names.items():
            own = [span for span in spans if (span.place, span.stream) == (place, stream)]
            if own:
                found.append(Lane(name, place, stream, tuple(_bar(span, rows) for span in own)))
    return found


def _bar(span: Span, rows: Sequence[Row]) -> Bar:
    row = rows[span.step] if span.step >= 0 else None
    name = f"{row.name} {row.direction}" if row else "next batch"
    return Bar(name, span.began, span.seconds, row.bytes if row else span.bytes, row)


def document(profile: Profile) -> dict[str, Any]:
    """Return the events of a step, lane by lane."""
    conditions = profile.conditions
    network, mode = conditions["network"]["name"], conditions["mode"]
    events = [_named("process_name", 0, f"cualex {network}, {mode}, {conditions['batch_size']} pictures")]
    for number, lane in enumerate(made := lanes(profile)):
        events.append(_named("thread_name", number, lane.name))
    events += [_event(bar, number) for number, lane in enumerate(made) for bar in lane.bars]
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": conditions}


def write(profile: Profile, path: Path) -> None:
    """Write the timeline to a file, whole or not at all; raise OutputError when it cannot be written."""
    files.replace_text(path, json.dumps(document(profile), default=str))


def _named(what: str, row: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": PROCESS, "tid": row, "args": {"name": name}}


def _event(bar: Bar, number: int) -> dict[str, Any]:
    row, seconds = bar.row, bar.seconds or math.inf
    arguments: dict[str, Any] = {"bytes": bar.bytes, "bytes_per_s": bar.bytes / seconds}
    if row:
        arguments |= {
            "function": row.function,
            "towers": "+".join(map(str, row.towers)),
            "gives": list(row.gives),
            "operations": row.operations,
            "operations_per_s": row.operations / seconds,
        }
    return {
        "name": bar.name,
        "cat": row.kind if row else HOST,
        "ph": "X",
        "pid": PROCESS,
        "tid": number,
        "ts": 1e6 * bar.began,
        "dur": 1e6 * bar.seconds,
        "args": arguments,
    }
