"""Build kernels for the CPU with g++: once for each text and choice; what is built stays in cualex's cache.

A kernel's library needs no header but the emulator's and takes a tenth of a second. The machine that it runs on
(machine/*.cpp) is a library of its own, built once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cualex.system import cache as caches

FOLDER = Path(__file__).parent / "machine"
# fma and vectors of 8 floats where the processor has them: g++ would call a function for each fma.
VECTORS = {"avx2", "fma"}
CPUINFO = Path("/proc/cpuinfo")
HAS_VECTORS = CPUINFO.exists() and set(CPUINFO.read_text().split()) >= VECTORS
# Of DWARF 5, addr2line does not find the names that #line gives. Lines are all it asks for: no place of any variable.
DEBUG = ["-g1", "-gdwarf-4", "-fno-var-tracking"]
COMMON = ["-std=c++17", *DEBUG, "-fPIC", "-shared", "-fno-stack-protector", "-U_FORTIFY_SOURCE"]
COMMON += ["-mavx2", "-mfma"] if HAS_VECTORS else []
MACHINE = [*COMMON, "-O2"]
# CUDA C++ as NVRTC has it: no library, types may be punned, whole numbers wrap, every operation rounds.
KERNEL = [*COMMON, "-fno-strict-aliasing", "-fwrapv", "-ffp-contract=off", "-fno-math-errno", "-fno-builtin"]
KERNEL += ["-nostartfiles", "-nodefaultlibs", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden"]
KERNEL += ["-Werror=undef", "-Werror=return-type", "-Werror=uninitialized", "-Wno-maybe-uninitialized"]
KERNEL += [f"-I{FOLDER}"]
# g++ calls hooks at every access to memory (checker.cpp) and at misaligned or foreign places of local arrays; a
# vector is read and written whole.
CHECKED = [*KERNEL, "-O1", "-fno-tree-sra", "-fsanitize=thread,alignment,bounds"]
# Kernels of users: also atomics, and how much work is done (own.cpp).
OWN = [*CHECKED, "-fsanitize-coverage=trace-pc", "-Wno-undef", "-fmax-errors=20"]
AT_ONCE = 2  # processes of g++


class BuildError(Exception):
    """Report what g++ says about a kernel; files and lines are those of the .cu."""


@cache
def compiler() -> str:
    """Say which g++ there is and for which machine; empty without one, or not on Linux."""
    if sys.platform != "linux" or shutil.which("g++") is None:
        return ""
    words = ["g++", "-dumpfullversion", "-dumpmachine"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def library(name: str, source: str, flags: Sequence[str]) -> Path:
    """Return the library of a whole text; build it where it is missing."""
    made = _place(name, source, flags, machine().name)
    if not made.exists():
        run([*flags, "-x", "c++", "-", "-x", "none", str(machine()), "-lm"], made, source)
    return made


@cache
def machine() -> Path:
    """Return the library of the emulated machine."""
    sources = sorted(FOLDER.glob("*.cpp"))
    texts = "".join(file.read_text() for file in [*sources, *sorted(FOLDER.glob("*.h"))])
    made = _place("machine", texts, MACHINE)
    if not made.exists():
        # As one text: g++ reads the headers of C++ once, and one file's functions into another's.
        whole = "".join(f'#include "{source}"\n' for source in sources)
        run([*MACHINE, f"-Wl,-soname,{made.name}", "-x", "c++", "-", "-x", "none"], made, whole)
    return made


def _place(name: str, *parts: object) -> Path:
    digest = hashlib.sha256(repr((compiler(), parts)).encode()).hexdigest()[:24]
    return caches.directory() / "emulator" / f"{name}-{digest}.so"


def run(words: list[str], made: Path, source: str | None = None, parts: Sequence[Path] = ()) -> None:
    """Run g++, and put its output in its place when it is whole; wait where another process is at the same.

    `parts` are compiled first, several at once.
    """
    import fcntl  # which Windows lacks: nothing is built there, but all can be imported

    made.parent.mkdir(exist_ok=True)
    part = made.with_name(f".{made.name}.{os.getpid()}.{id(words)}.part")
    with open(made.with_name(f".{made.name}.lock"), "w") as lock, TemporaryDirectory() as place:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return
        objects = [f"{place}/{i}-{each.stem}.o" for i, each in enumerate(parts)]  # two may have one name
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda each, out: _call([*words, "-c", str(each)], out), parts, objects))
        try:
            _call([*words, *objects], str(part), source)
            os.replace(part, made)
        finally:
            part.unlink(missing_ok=True)  # g++ failed, or Ctrl-C ended it


def _call(words: list[str], out: str, source: str | None = None) -> None:
    """Call g++ and raise what it says."""
    plain = {**os.environ, "LC_ALL": "C"}  # English, whatever the user's language
    done = subprocess.run(["g++", *words, "-o", out], input=source, capture_output=True, text=True, env=plain)
    if done.returncode:
        raise BuildError(done.stderr)
