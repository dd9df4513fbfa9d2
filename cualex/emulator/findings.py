"""From what the emulated machine says, in addresses and bytes, to findings and costs by line of the user's files."""

import re
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

from cualex.emulator import binding
from cualex.emulator.arguments import VOID, Type
from cualex.emulator.report import Finding, Requests
from cualex.emulator.source import Source

KINDS = {
    "race": r"race: ",
    "misaligned address": r"misaligned address: |touches a misaligned",
    "out of bounds": r"out of bounds: |index out of bounds|touches .*(past the end|before|nobody has|far from)",
    "uninitialised read": r"reads what (this block has never|nobody has) written|takes the value of a lane",
    "divergent barrier": r"divergent barriers?: |deadlock: |the lanes of a warp disagree|a lane is not in the mask",
    "null pointer": r"touches a null pointer|out of bounds: \w+ a null pointer",
    "endless loop": r"the kernel does not end",
    "assertion": r"assertion failed",
}


Arrays = dict[int, tuple[str, Type, int]]  # name, type and elements of each, by the machine's number of it


class Lines:
    """The lines of a user's files, by places in the code of a library."""

    def __init__(self, path: Path, user: Source, file: str):
        """Take the library, the files that it is of, and the name of the first."""
        self.path, self.user, self.file = path, user, file

    def findings(
        self, faults: list[binding.Fault], block: tuple[int, int, int], arrays: Arrays, steps: int
    ) -> list[Finding]:
        """Return faults with their lines, those of one line and kind as one."""
        both = self._places([fault.code for fault in faults] + [fault.other for fault in faults])
        places, others = both[: len(faults)], both[len(faults) :]
        shared = shared_variables(self.path)
        found: dict[tuple, Finding] = {}
        for fault, (file, line), (_, other) in zip(faults, places, others, strict=True):
            text, where, thread, count = _taken_apart(fault.text, block)
            kind = kind_of(text)
            if barrier := re.search(r"\bat line (\d+)|the barrier of line (\d+)", text):
                line = int(barrier.group(1) or barrier.group(2))
            text = re.sub(r"^(race|out of bounds|divergent barriers?|misaligned address|assertion failed): ", "", text)
            text = _in_words(text, arrays, shared, steps)
            # A misaligned access is told by the machine's signal and, with the array's name, by the checks.
            told = other if kind == "race" else "" if kind == "misaligned address" else re.sub(r"\d+", "", text)
            key = (kind, file, line, told)
            if key in found:
                before = found[key]
                if kind == "misaligned address":
                    named = text if before.text.startswith("touches") else before.text
                    found[key] = replace(before, count=max(before.count, count), text=named)
                else:
                    found[key] = replace(before, count=before.count + count)
                continue
            if kind == "race" and other:
                text += f"; the other access is in line {other}"
            own_line = self.user.line(file, line or 0)
            found[key] = Finding(
                kind, file, line, text, own_line, where, thread, count, other if kind == "race" else None
            )
        # What the checker has seen goes on to a page that nobody may touch: the same once more.
        seen = {each.text.partition(" ")[2] for each in found.values() if not each.text.startswith("touches ")}
        kept = [each for each in found.values() if each.text.removeprefix("touches ") not in seen]
        return sorted(kept, key=lambda each: (each.file, each.line or 0))

    def requests(self) -> list[Requests]:
        """Return what the requests of the last launch cost, by line."""
        totals = binding.request_totals()
        sums: dict[tuple, list[int]] = {}
        for total, (file, line) in zip(totals, self._places([total.code for total in totals]), strict=True):
            key = file, line or 0, "shared" if total.in_shared else "global", "write" if total.write else "read"
            before = sums.get(key, [0, 0, 0])
            sums[key] = [before[0] + total.requests, before[1] + total.cost, before[2] + total.ideal]
        return [Requests(*key, *counts) for key, counts in sorted(sums.items())]

    def _places(self, codes: list[int | None]) -> list[tuple[str, int | None]]:
        """Return file and line of each place: the innermost of the user's, where functions are inlined."""
        places: list[tuple[str, int | None]] = []
        for frames in binding.frames_of(self.path, codes):
            each = (frame.rpartition(":")[::2] for frame in frames)
            own = [(file, int(line)) for file, line in each if file in self.user.files and line.isdigit()]
            places.append(own[0] if own else (self.file, None))
        return places


def kind_of(text: str) -> str:
    """Return which kind of fault the machine speaks of."""
    kinds = [kind for kind, pattern in KINDS.items() if re.match(pattern, text)]
    return kinds[-1] if "null pointer" in kinds else next(iter(kinds), "fault")


def _taken_apart(text: str, block: tuple) -> tuple[str, tuple | None, tuple | None, int]:
    """Return what the machine says, block, thread, and how often."""
    found = re.fullmatch(r"(.*?) \(block (\d+),(\d+),(\d+) thread (\d+)\)(?:, (\d+) times)?", text, re.DOTALL)
    if found is None:
        return text, None, None, 1
    what, *numbers, count = found.groups()
    x, y, z, thread = map(int, numbers)
    index = thread % block[0], thread // block[0] % block[1], thread // block[0] // block[1]
    return what, (x, y, z), index, int(count or 1)


def _in_words(text: str, arrays: Arrays, shared: list[tuple[int, int, str]], steps: int) -> str:
    """Return what the machine says with elements of arrays and names of variables in place of bytes."""

    def element(found: re.Match) -> str:
        name, kind, count = arrays.get(int(found.group(3)), ("an array", Type(VOID, 1, True, False), 0))
        offset, size = int(found.group(1)), kind.bytes
        if found.group(2) == "before":
            return f"{name}[{-(offset // size)}], before its {count:,} elements"
        if found.group(2) == "past":
            return f"{name}[{count + offset // size}], which has {count:,} elements"
        return f"{name}[{offset // size}]"

    def variable(found: re.Match) -> str:
        offset, size = int(found.group(1)), int(found.group(3))
        inside = [(offset - start, name) for start, length, name in shared if start <= offset < start + length]
        if found.group(2):  # dynamic
            inside = [(offset, "extern __shared__ memory")]
        return f"element {inside[0][0] // size} of {inside[0][1]}" if inside else found.group()

    text = re.sub(r"(\d+) bytes (past) the end of array (\d+)", element, text)
    text = re.sub(r"(\d+) bytes (before) array (\d+)", element, text)
    text = re.sub(r"byte (\d+) (of) array (\d+)", element, text)
    text = re.sub(r"byte (\d+) of (dynamic )?shared memory @(\d+)", variable, text)
    text = re.sub(r" @\d+$", "", text)
    text = re.sub(
        r"(\d+) bytes past the end of dynamic shared memory",
        r"extern __shared__ memory \1 bytes past its end (--shared)",
        text,
    )
    text = text.replace("index out of bounds of an array: ", "an array has no element ")
    return text.replace("the kernel does not end", f"not done after {steps:,} steps (--steps allows more)")


@cache
def shared_variables(path: Path) -> list[tuple[int, int, str]]:
    """List the variables in __shared__ memory: where they begin, their bytes, their names."""
    listed = subprocess.run(["nm", "-C", "-f", "sysv", str(path)], capture_output=True, text=True).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in listed.splitlines() if "|" in line]
    found = [row for row in rows if len(row) > 4 and row[3] == "TLS" and row[1] and row[4]]
    return [
        (int(row[1], 16), int(row[4], 16), row[0] if row[0].startswith("guard") else row[0].rpartition("::")[2])
        for row in found
    ]
