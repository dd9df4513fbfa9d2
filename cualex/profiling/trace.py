"""A pass as a timeline for Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev).

Trace Event Format: an event "X" has a begin `ts` and a duration `dur` in microseconds; events of one row (`tid`) are
nested or disjoint. Here a row is a device of the placement, with its stream.
"""

import errno
import json
import os
from pathlib import Path
from typing import Any

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


def document(profile: Profile) -> dict[str, Any]:
    """Return the events of the profile's example pass, by begin."""
    conditions = profile.conditions
    network, mode = conditions["network"]["name"], conditions["mode"]
    title = f"cualex {network}, {mode}, {conditions['batch_size']} pictures"
    events = [_named("process_name", 0, title)]
    for index, device in enumerate(conditions["device"].split(",")):
        rows = [row for row in profile.rows if row.place == index and row.kind != "link"]
        towers = sorted({tower for row in rows for tower in row.towers})
        numbers = " and ".join(map(str, towers))
        events.append(_named("thread_name", index, f"{device}, tower{'s' if len(towers) > 1 else ''} {numbers}"))
    spans = zip(profile.rows, profile.example.began, profile.example.seconds, strict=True)
    events += [_event(row, began, seconds) for row, began, seconds in spans]
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": conditions}


def write(profile: Profile, path: Path) -> None:
    """Write the timeline to a file, whole or not at all; raise OutputError when it cannot be written."""
    files.replace_text(path, json.dumps(document(profile), default=str))


def _named(what: str, row: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": PROCESS, "tid": row, "args": {"name": name}}


def _event(row: Row, began: float, seconds: float) -> dict[str, Any]:
    towers = "+".join(map(str, row.towers))
    return {
        "name": f"{row.name} {row.direction}",
        "cat": row.kind,
        "ph": "X",
        "pid": PROCESS,
        "tid": row.place,
        "ts": 1e6 * began,
        "dur": 1e6 * seconds,
        "args": {
            "function": row.function,
            "towers": towers,
            "gives": list(row.gives),
            "operations": row.operations,
            "bytes": row.bytes,
            "operations_per_s": row.operations / seconds,
            "bytes_per_s": row.bytes / seconds,
        },
    }
