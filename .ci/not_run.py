"""Read JUnit XML of pytest: which tests has no part of the check run?

python not_run.py REPORT...             how many, by reason
python not_run.py --names REPORT...     their names, one a line, as `pytest @FILE` reads them
"""

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


def argument(case) -> str:
    """Return what pytest calls a test, or a file that was skipped whole; there are no classes of tests here."""
    if not case.get("classname"):
        return case.get("name").replace(".", "/") + ".py"
    return f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"


def skipped(reports) -> dict[str, tuple[str, str]]:
    """Return the tests that were skipped in every report that names them: name -> (argument of pytest, reason)."""
    ran, files, found = set(), set(), {}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            skip = case.find("skipped")
            if skip is None:
                ran.add(name(case))
                files.add(case.get("classname"))
            else:
                said = skip.get("message") or "no reason given"
                if said == "collection skipped":  # then the text is the place and the reason, as Python writes a tuple
                    said = skip.text.strip("()'\"\n ")
                found[name(case)] = argument(case), re.sub(r".*Skipped: |\s+", " ", said).strip()
    return {test: what for test, what in found.items() if test not in ran | files}


def main():
    """Print what the options ask for."""
    names = "--names" in sys.argv
    left = skipped(map(Path, (word for word in sys.argv[1:] if word != "--names")))
    if names:
        print(*dict.fromkeys(test for test, _ in left.values()), sep="\n")
        return
    reasons = Counter(reason for _, reason in left.values())
    for reason, count in reasons.most_common():
        print(f"  {count:4} tests: {reason}")
    if not reasons:
        print("  every test has run in one of the parts")


if __name__ == "__main__":
    main()
