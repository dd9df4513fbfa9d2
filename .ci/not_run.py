"""List the tests that no part of the check has run, by reason: `python not_run.py REPORT...` (JUnit XML of pytest)."""

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def main():
    """Count, for each reason, the tests that were skipped in every report that names them."""
    ran, skipped = set(), {}
    for report in map(Path, sys.argv[1:]):
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            found = case.find("skipped")
            if found is None:
                ran.add(name)
            else:
                skipped[name] = re.sub(r"^Skipped: |\s+", " ", found.get("message") or "no reason given").strip()
    reasons = Counter(reason for name, reason in skipped.items() if name not in ran)
    for reason, count in reasons.most_common():
        print(f"  {count:4} tests: {reason}")
    if not reasons:
        print("  every test has run in one of the parts")


if __name__ == "__main__":
    main()
