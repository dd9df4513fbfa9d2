"""The text of a kernel: its .cu with the headers put in, its signature, and the constants that it takes.

A `.cu` file holds the kernels of one operation, forward and backward. What they share comes first, then each kernel
from a line `// --- name` on. Only the kernel asked for is compiled: the lines of the others are left blank, so that
line numbers stay those of the file. A file of one kernel, which then has the file's name, needs no such line.
Comments list the constants, those of all kernels before the first `// ---`, those of one kernel after its own:

    // dimensions: IMAGES ROWS COLUMNS         integers of the plan; code never branches on them with #if
    // reals: ALPHA BETA                       floating-point numbers
    // choices: PRECISION RELU TILE_ROWS       integers or words that shape the code

and `// needs: sm_90a` says that a kernel has instructions of that one architecture.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
INCLUDE = re.compile(r'^#include "([\w./]+)"\n', re.MULTILINE)
SECTION = re.compile(r"^// --- (\w+)$", re.MULTILINE)
SIGNATURE = re.compile(r'extern "C" __global__ void(?:\s+__launch_bounds__\([^()]*\))?\s+(\w+)\(([^)]*)\)')
NEEDS = re.compile(r"^// needs: sm_(\d+)a$", re.MULTILINE)
CONSTANTS = re.compile(r"^// (dimensions|reals|choices):([ \w]*)$", re.MULTILINE)


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel: its C type without `const`, its name, whether it is a pointer, and to what is const."""

    type: str
    name: str
    pointer: bool
    constant: bool = False


@dataclass(frozen=True)
class Kernel:
    """A kernel: its arguments in order, the constants to compile it with, its file, and the file's text for it.

    needs: the only architecture that it runs on, 90 for sm_90a; None where any will do.
    """

    name: str
    arguments: tuple[Argument, ...]
    dimensions: tuple[str, ...]
    reals: tuple[str, ...]
    choices: tuple[str, ...]
    file: str
    text: str = field(repr=False)
    needs: int | None = None

    def target(self, architecture: int) -> str:
        """Return the architecture to compile for, as NVRTC names it: "90", or "90a" with what only that one has."""
        return f"{architecture}a" if self.needs == architecture else str(architecture)

    @property
    def gemm(self) -> bool:
        """Return whether this is a gemm of tiles in shared memory (gemm.cuh)."""
        return "TILE_DEPTH" in self.choices

    @property
    def constants(self) -> tuple[str, ...]:
        """Return the names of all constants."""
        return (*self.dimensions, *self.reals, *self.choices)


def names() -> list[str]:
    """Return the names of all kernels."""
    return sorted(_kernels(FOLDER))


@cache
def find(name: str) -> Kernel:
    """Return a kernel with its signature and constants; raise LookupError where no file holds it."""
    kernel = _kernels(FOLDER).get(name)
    if kernel is None:
        raise LookupError(f"there is no kernel {name!r}; there are {', '.join(names())}")
    return kernel


def parse(file: str, text: str) -> dict[str, Kernel]:
    """Read the kernels of a file out of its text, by name."""
    starts = [section.start() for section in SECTION.finditer(text)] or [0]
    listed = SECTION.findall(text) or [file.removesuffix(".cu")]
    parts = zip(listed, starts, [*starts[1:], len(text)], strict=True)
    blank = {start: "\n" * text.count("\n", starts[0], start) for start in starts}
    cut = {name: text[: starts[0]] + blank[start] + text[start:end] for name, start, end in parts}
    return {name: _kernel(name, file, own) for name, own in cut.items()}


def assemble(kernel: Kernel, replaced: Mapping[str, str] | None = None) -> str:
    """Return a kernel's text with its headers in place of their `#include`, each once, with `#line` marks.

    `replaced` gives other texts for some headers: the emulator's primitives.
    """
    return _with_headers(kernel.file, {**(replaced or {}), kernel.file: kernel.text}, set())


def defines(kernel: Kernel, constants: Mapping) -> tuple[str, ...]:
    """Return the compiler's options for these constants; raise TypeError unless they are just the kernel's."""
    if set(constants) != set(kernel.constants):
        missing, unknown = set(kernel.constants) - set(constants), set(constants) - set(kernel.constants)
        raise TypeError(f"{kernel.name}: constants missing {sorted(missing)}, unknown {sorted(unknown)}")
    return tuple(f"-D{name}={_written(kernel, name, constants[name])}" for name in kernel.constants)


@cache
def _kernels(folder: Path) -> dict[str, Kernel]:
    """Read all files of a folder."""
    found: dict[str, Kernel] = {}
    for path in sorted(folder.glob("*.cu")):
        for name, kernel in parse(path.name, path.read_text()).items():
            if name in found:
                raise ValueError(f"{path.name} and {found[name].file} both hold a kernel {name}")
            found[name] = kernel
    return found


def _kernel(name: str, file: str, text: str) -> Kernel:
    """Read a kernel out of the text that is compiled for it."""
    found = SIGNATURE.findall(text)
    if [entry for entry, _ in found] != [name]:
        raise ValueError(f"{file} must hold one kernel {name} there; it holds {[entry for entry, _ in found]}")
    listed: dict[str, tuple[str, ...]] = {}
    for kind, words in CONSTANTS.findall(text):  # a kind may take several lines
        listed[kind] = (*listed.get(kind, ()), *words.split())
    arguments = tuple(_argument(part) for part in found[0][1].split(","))
    dimensions, reals, choices = (listed.get(kind, ()) for kind in ("dimensions", "reals", "choices"))
    needs = NEEDS.search(text)
    return Kernel(name, arguments, dimensions, reals, choices, file, text, int(needs[1]) if needs else None)


def _written(kernel: Kernel, name: str, value) -> str:
    if name in kernel.reals:
        return f"{float(value)!r}f"
    if name in kernel.choices and isinstance(value, str):
        return value
    return str(int(value))


def _argument(text: str) -> Argument:
    pointer = "*" in text
    words = [w for w in text.replace("*", " ").split() if w not in ("const", "__restrict__")]
    return Argument(" ".join(words[:-1]), words[-1], pointer, constant=text.split()[0] == "const")


def _with_headers(file: str, replaced: dict[str, str], seen: set[str]) -> str:
    """Put headers in, depth first, each found from the folder of the file that includes it; `seen` are in already."""
    text = replaced.get(file) or (FOLDER / file).read_text()
    text = text.replace("#pragma once\n", "\n")
    parts, line, end = [f'#line 1 "{file}"\n'], 1, 0
    for include in INCLUDE.finditer(text):
        parts.append(text[end : include.start()])
        line += text.count("\n", end, include.end())
        end = include.end()
        header = posixpath.normpath(posixpath.join(posixpath.dirname(file), include.group(1)))
        if header not in seen:
            seen.add(header)
            parts.append(_with_headers(header, replaced, seen))
        parts.append(f'#line {line} "{file}"\n')
    parts.append(text[end:])
    return "".join(parts)
