"""The results of self-tests as `cualex doctor` lists them."""

import time

from cualex.devices.fallbacks import FOLDER
from cualex.devices.self_test import records
from cualex.devices.self_test.launches import REFERENCES
from cualex.system.cache import place


def rows() -> list[dict[str, str]]:
    """Return a row for each group of kernels on each type of GPU: what, where, the result, and the day of the last."""
    found: list[dict[str, str]] = []
    for conditions, results in records.every(place() / FOLDER):
        where = " ".join(filter(None, (conditions.get("gpu"), conditions.get("architecture"))))
        for what in sorted({each.what for each in results.values()}):
            group = [each for each in results.values() if each.what == what]
            day = time.strftime("%Y-%m-%d", time.localtime(max(each.when for each in group)))
            found.append({"self-test": what, "gpu": where, "result": _result(group), "last": day})
        known = {each.what.split()[0] for each in results.values()}
        if other := sorted(set(REFERENCES) - known):
            found.append({"self-test": f"{len(other)} other kernels", "gpu": where, "result": "untested", "last": ""})
    return found


def _result(group: list[records.Record]) -> str:
    """Return how many passed, and how many failed and why."""
    failed = [each.why for each in group if not each.passed]
    passed = len(group) - len(failed)
    parts = [f"{passed} passed"] * bool(passed) + [f"{len(failed)} failed: {failed[0]}" for _ in failed[:1]]
    return ", ".join(parts)
