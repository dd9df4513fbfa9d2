"""SASS, the code that a GPU runs: its instructions by kind, its loops, and the registers that a kernel needs.

cuobjdump prints an instruction a line: `/*1dc0*/ @!P0 LDSM.16.M88.4 R4, [R2] ;`. A loop is what a branch backwards
encloses. Instructions are those of a warp: all of its 32 threads at once.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(@\S+\s+)?([A-Z][\w.]*)\s*([^;]*);", re.MULTILINE)
TARGET = re.compile(r"\b0x([0-9a-f]+)\b")
USED = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
WIDTH = re.compile(r"\.(64|128)\b")
WGMMA = re.compile(r"^HGMMA\.64x(\d+)x16\.")
MATRICES = re.compile(r"^LDSM\.\w+\.\w+\.([24])\b")

# The kinds of instructions, by how their names begin: the first that fits. What fits none is integer arithmetic: on
# Hopper also a move (IMAD.MOV), and the rounding to TF32 together with FSETP.
KINDS = {
    "tensor": ("HMMA", "HGMMA", "IMMA", "DMMA", "QGMMA"),
    "async_copy": ("LDGSTS", "LDGDEPBAR", "DEPBAR", "UBLKCP"),
    "shared": ("LDS", "STS"),  # LDSM too
    "global": ("LDG", "STG", "LD.", "ST.", "ATOM", "RED"),
    "spill": ("LDL", "STL"),
    "constant": ("LDC", "ULDC"),
    "float32": ("FFMA", "FADD", "FMUL", "FSETP", "FMNMX", "FSEL", "FSWZ", "FCHK", "F2FP"),
    "float64": ("DFMA", "DADD", "DMUL", "DSETP", "DMNMX"),
    "special": ("MUFU", "F2", "I2F", "FRND"),
    "barrier": ("BAR", "WARPSYNC", "BSSY", "BSYNC", "SHFL", "VOTE"),
    "branch": ("BRA", "BRX", "EXIT", "CALL", "RET", "BREAK"),
}


@dataclass(frozen=True)
class Instruction:
    """An instruction of a warp: its address, its name with all suffixes, its operands."""

    address: int
    name: str
    operands: str = ""

    @property
    def kind(self) -> str:
        """Return the kind of work that it is."""
        return next((kind for kind, starts in KINDS.items() if self.name.startswith(starts)), "integer")

    @property
    def bytes(self) -> int:
        """Return the bytes that a thread loads or stores."""
        found = WIDTH.search(self.name)
        return int(found[1]) // 8 if found else 2 if ".U16" in self.name else 1 if ".U8" in self.name else 4

    @property
    def wgmma_columns(self) -> int:
        """Return N of a wgmma m64nNk16, 0 of any other instruction."""
        found = WGMMA.match(self.name)
        return int(found[1]) if found else 0

    @property
    def wavefronts(self) -> int:
        """Return the clocks of shared memory that a warp's access takes without bank conflicts: 128 bytes each.

        A wgmma reads 64 and N lines of 32 bytes: a quarter for each of its four warps.
        """
        if columns := self.wgmma_columns:
            return (64 + columns) * 32 // 128 // 4
        if matrices := MATRICES.match(self.name):
            return int(matrices[1])
        return max(1, 32 * self.bytes // 128) if self.kind == "shared" or self.name.startswith("LDGSTS") else 0


@dataclass(frozen=True)
class Loop:
    """The addresses of a loop's first instruction and of the branch back to it."""

    first: int
    last: int

    def holds(self, address: int) -> bool:
        """Return whether an instruction lies in the loop."""
        return self.first <= address <= self.last

    def within(self, other: "Loop") -> bool:
        """Return whether this loop lies in another."""
        return self != other and other.first <= self.first and self.last <= other.last


@dataclass(frozen=True)
class Sass:
    """A kernel's code: its instructions in order, its loops by address, outer ones first, and what a thread needs."""

    instructions: tuple[Instruction, ...] = field(repr=False)
    loops: tuple[Loop, ...]
    registers: int
    spilled: int
    shared: int

    @property
    def main_loop(self) -> Loop | None:
        """Return the loop with most of the multiply-adds, on tensor cores or else in float32; None without any."""
        for kind in ("HMMA", "HGMMA", "FFMA"):
            found = {loop: sum(each.name.startswith(kind) for each in self.within(loop)) for loop in self.loops}
            if found and (most := max(found.values())):
                return min(
                    (loop for loop, count in found.items() if count == most), key=lambda each: len(self.within(each))
                )
        return None

    def within(self, loop: Loop) -> list[Instruction]:
        """Return the instructions of a loop."""
        return [each for each in self.instructions if loop.holds(each.address)]


def read(text: str) -> Sass:
    """Read what cuobjdump prints for a cubin of one kernel; raise ValueError where that is not in it."""
    used = USED.search(text)
    made = [Instruction(int(found[1], 16), found[3], found[4].strip()) for found in LINE.finditer(text)]
    if used is None or not made:
        raise ValueError("expected the resources and the SASS of a kernel, as `cuobjdump -res-usage -sass` prints them")
    registers, stack, shared, local = map(int, used.groups())
    return Sass(tuple(each for each in made if each.name != "NOP"), _loops(made), registers, stack + local, shared)


def by_kind(instructions: Iterable[Instruction]) -> dict[str, int]:
    """Count instructions by kind, those there are."""
    found = Counter(each.kind for each in instructions)
    return {kind: found[kind] for kind in [*KINDS, "integer"] if found[kind]}


def _loops(instructions: list[Instruction]) -> tuple[Loop, ...]:
    """Find branches backwards; of those to one address the last is the loop's. A branch to itself, a trap, is none."""
    last: dict[int, int] = {}
    for each in instructions:
        target = TARGET.search(each.operands) if each.name.startswith("BRA") else None
        if target and (first := int(target[1], 16)) < each.address:
            last[first] = max(each.address, last.get(first, 0))
    return tuple(Loop(*ends) for ends in sorted(last.items(), key=lambda ends: (ends[0], -ends[1])))
