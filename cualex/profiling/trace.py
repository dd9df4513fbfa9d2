"""A pass as a timeline that Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev) show.

Trace Event Format: an event "X" has a begin `ts` and a length `dur` in microseconds; events of one row (`tid`) must
lie inside each other or apart. Here a row is a place, which has a device and a stream of its own.
"""

import errno
import json
import os
from pathlib import Path

from cualex.profiling.table import Profile
from cualex.system import files

PROCESS = 1


def check(path: Path) -> None:
    """Raise OutputError where a file cannot be written, before anyone has waited for what should be in it."""
    code = None
    if path.is_dir():
        code = errno.EISDIR
    elif not path.parent.is_dir():
        code = errno.ENOENT
    elif not os.access(path.parent, os.W_OK):
        code = errno.EACCES
    if code is not None:
        raise files.cannot_write(path, OSError(code, os.strerror(code)))


def document(profile: Profile) -> dict:
    """Return the events of the profile's example pass, in the order in which they began."""
    conditions = profile.conditions
    network, mode = conditions["network"]["name"], conditions["mode"]
    title = f"cualex {network}, {mode}, {conditions['batch_size']} pictures"
    events = [_named("process_name", 0, title)]
    for place, device in enumerate(conditions["device"].split(",")):
        own = (row.towers for row in profile.rows if row.place == place and row.kind != "link")
        towers = sorted({tower for each in own for tower in each})
        said = " and ".join(map(str, towers))
        events.append(_named("thread_name", place, f"{device}, tower{'s' if len(towers) > 1 else ''} {said}"))
    spans = zip(profile.rows, profile.example.began, profile.example.seconds, strict=True)
    events += [_event(row, began, seconds) for row, began, seconds in spans]
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": conditions}


def write(profile: Profile, path: Path) -> None:
    """Write the timeline to a file, whole or not at all; raise OutputError where it cannot be written."""
    files.replace_text(path, json.dumps(document(profile), default=str))


def _named(what: str, row: int, name: str) -> dict:
    return {"name": what, "ph": "M", "pid": PROCESS, "tid": row, "args": {"name": name}}


def _event(row, began: float, seconds: float) -> dict:
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
