"""List the tests that no part of the check has run, by reason: `python not_run.py REPORT...` (JUnit XML of pytest)."""

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ORDERS = {"late", "eager", "random"}  # of streams, by which pytest --gpu=cpu multiplies a test


def name(case) -> str:
    """Return a test's name, the same in every order of streams; that of a file that was skipped whole is the file's."""
    plain, _, given = case.get("name").rstrip("]").partition("[")
    chosen = [word for word in given.split("-") if word not in ORDERS]
    return "::".join(filter(None, (case.get("classname"), plain, "-".join(chosen))))


def main():
    """Count, for each reason, the tests that were skipped in every report that names them."""
    ran, files, skipped = set(), set(), {}
    for report in map(Path, sys.argv[1:]):
        for case in ElementTree.parse(report).iter("testcase"):
            found = case.find("skipped")
            if found is None:
                ran.add(name(case))
                files.add(case.get("classname"))
            else:
                said = found.get("message") or "no reason given"
                if said == "collection skipped":  # then the text is the place and the reason, as Python writes a tuple
                    said = found.text.strip("()'\"\n ")
                skipped[name(case)] = re.sub(r".*Skipped: |\s+", " ", said).strip()
    reasons = Counter(reason for test, reason in skipped.items() if test not in ran | files)
    for reason, count in reasons.most_common():
        print(f"  {count:4} tests: {reason}")
    if not reasons:
        print("  every test has run in one of the parts")


if __name__ == "__main__":
    main()
