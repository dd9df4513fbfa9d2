"""The text of a kernel: its .cu with the headers put in, its signature, and the constants it wants.

A `.cu` file holds one kernel of the file's own name. Lines of its opening comment list its constants:

    // dimensions: PICTURES ROWS COLUMNS       whole numbers of the plan; code never branches on them with #if
    // reals: ALPHA BETA                       numbers with a point
    // choices: PRECISION RELU TILE_ROWS       whole numbers or words that shape the code
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
INCLUDE = re.compile(r'^#include "([\w./]+)"\n', re.MULTILINE)
SIGNATURE = re.compile(r'extern "C" __global__ void(?:\s+__launch_bounds__\([^()]*\))?\s+(\w+)\(([^)]*)\)')
CONSTANTS = re.compile(r"^// (dimensions|reals|choices):([ \w]*)$", re.MULTILINE)


@dataclass(frozen=True)
class Argument:
    """Describe one argument of a kernel: its C type without `const`, its name, whether it is a pointer."""

    type: str
    name: str
    pointer: bool


@dataclass(frozen=True)
class Kernel:
    """Describe a kernel: its arguments in order, the constants to compile it with, and the text of its file."""

    name: str
    arguments: tuple[Argument, ...]
    dimensions: tuple[str, ...]
    reals: tuple[str, ...]
    choices: tuple[str, ...]
    text: str = field(repr=False)

    @property
    def constants(self) -> tuple[str, ...]:
        """Return the names of all constants."""
        return (*self.dimensions, *self.reals, *self.choices)


def names() -> list[str]:
    """Return the names of all kernels."""
    return sorted(path.stem for path in FOLDER.glob("*.cu"))


@cache
def find(name: str) -> Kernel:
    """Read a kernel's signature and constants out of its file."""
    path = FOLDER / f"{name}.cu"
    if not path.is_file():
        raise LookupError(f"there is no kernel {name!r}; there are {', '.join(names())}")
    return parse(name, path.read_text())


def parse(name: str, text: str) -> Kernel:
    """Read a kernel's signature and constants out of the text of its file."""
    found = SIGNATURE.findall(text)
    if [entry for entry, _ in found] != [name]:
        raise ValueError(f"{name}.cu must hold one kernel, of the name {name}; it holds {[e for e, _ in found]}")
    listed: dict[str, tuple[str, ...]] = {}
    for kind, words in CONSTANTS.findall(text):  # a kind may take several lines
        listed[kind] = (*listed.get(kind, ()), *words.split())
    arguments = tuple(_argument(part) for part in found[0][1].split(","))
    constants = (listed.get(kind, ()) for kind in ("dimensions", "reals", "choices"))
    return Kernel(name, arguments, *constants, text)


def assemble(kernel: Kernel, replaced: Mapping[str, str] | None = None) -> str:
    """Return a kernel's text with its headers in place of their `#include`, each once, with `#line` marks.

    `replaced` gives other texts for some headers: the emulator's primitives.
    """
    file = f"{kernel.name}.cu"
    return _with_headers(file, {**(replaced or {}), file: kernel.text}, set())


def defines(kernel: Kernel, constants: Mapping) -> tuple[str, ...]:
    """Return the compiler's options for these constants; raise TypeError unless they are just those it wants."""
    if set(constants) != set(kernel.constants):
        missing, unknown = set(kernel.constants) - set(constants), set(constants) - set(kernel.constants)
        raise TypeError(f"{kernel.name}.cu: constants missing {sorted(missing)}, unknown {sorted(unknown)}")
    return tuple(f"-D{name}={_written(kernel, name, constants[name])}" for name in kernel.constants)


def _written(kernel: Kernel, name: str, value) -> str:
    if name in kernel.reals:
        return f"{float(value)!r}f"
    if name in kernel.choices and isinstance(value, str):
        return value
    return str(int(value))


def _argument(text: str) -> Argument:
    pointer = "*" in text
    words = [w for w in text.replace("*", " ").split() if w not in ("const", "__restrict__")]
    return Argument(" ".join(words[:-1]), words[-1], pointer)


def _with_headers(file: str, replaced: dict[str, str], seen: set[str]) -> str:
    """Put headers in, depth first; `seen` are those that are in already."""
    text = replaced.get(file) or (FOLDER / file).read_text()
    text = text.replace("#pragma once\n", "\n")
    parts, line, end = [f'#line 1 "{file}"\n'], 1, 0
    for include in INCLUDE.finditer(text):
        parts.append(text[end : include.start()])
        line += text.count("\n", end, include.end())
        end = include.end()
        header = include.group(1)
        if header not in seen:
            seen.add(header)
            parts.append(_with_headers(header, replaced, seen))
        parts.append(f'#line {line} "{file}"\n')
    parts.append(text[end:])
    return "".join(parts)
