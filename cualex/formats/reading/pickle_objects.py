"""Objects of other code in a pickle: described by their names and skipped, neither imported nor called.

Checkpoints of training scripts hold the arguments, the scheduler or a configuration beside the weights. What pickle
would call for these is noted as a `Foreign` name, and what would come of it as a `Thing`. Code that only an attack
names is refused all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cualex.formats.reading.pickle_reader import CODES, TEXT, Container, Machine
from cualex.formats.reading.pickle_values import Span

LONGEST = 1 << 20  # bytes of a text that is skipped
# Modules whose functions run commands or code, open files or connections; no checkpoint has a reason to name them.
ATTACKS = frozenset(
    (
        *("os", "posix", "nt", "sys", "subprocess", "commands", "pty", "platform", "shutil", "signal", "io", "_io"),
        *("importlib", "imp", "runpy", "code", "codeop", "pdb", "bdb", "timeit", "trace", "profile", "cProfile"),
        *("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "ctypes", "_ctypes", "cffi"),
        *("socket", "_socket", "ssl", "http", "urllib", "requests", "ftplib", "smtplib", "webbrowser", "asyncio"),
        *("multiprocessing", "threading", "pip", "ensurepip", "venv", "tempfile", "linecache", "inspect", "gc"),
    )
)
BUILTINS = ("builtins", "__builtin__")
RUNNING = ("eval", "exec", "execfile", "compile", "open", "file", "input", "breakpoint", "__import__", "apply")
PLAIN_KEYS = (str, bytes, int, float, type(None))


@dataclass(frozen=True)
class Foreign:
    """A global of other code."""

    name: str


@dataclass(eq=False)
class Thing:
    """What a call of other code would return: its name, and the state that was set afterwards."""

    name: str
    state: object = None


@dataclass
class Skipping(Machine):
    """A machine that skips objects of other code; `foreign` are their names, in the order of the file."""

    foreign: dict[str, None] = field(default_factory=dict)

    def name(self, module: object, name: object) -> None:
        """Push a global: an allowed one, or the name of another."""
        full = f"{module} {name}"
        if full in self.allowed or not (isinstance(module, str) and isinstance(name, str)):
            super().name(module, name)
            return
        first, last = module.partition(".")[0], name.rpartition(".")[2]
        if first in ATTACKS or ATTACKS.intersection(name.split(".")[:-1]) or (first in BUILTINS and last in RUNNING):
            super().name(module, name)  # which refuses it
        self.foreign[f"{module}.{name}"] = None
        self.stack.append(Foreign(f"{module}.{name}"))

    def build(self) -> None:
        """Push the description of what a global would return."""
        arguments, thing = self.pop(), self.pop()
        if isinstance(thing, Foreign | Thing):
            self.stack.append(Thing(thing.name))
            return
        self.stack += [thing, arguments]
        super().build()

    def new_with_keywords(self) -> None:
        """Push the description of a new object, without its keyword arguments."""
        self.pop()
        self.build()

    def state(self) -> None:
        """Set the state of the object below."""
        state, thing = self.pop(), self.pop()
        if isinstance(thing, Thing):
            thing.state = state
            self.stack.append(thing)
            return
        self.stack += [thing, state]
        super().state()

    def last(self, kind: type[Container]) -> Container:
        """Return the top of the stack, or a container to be forgotten where that is a skipped object."""
        if self.stack and isinstance(self.stack[-1], Thing):
            return kind()
        return super().last(kind)

    def key(self, value: object) -> object:
        """Return the key of a dictionary; one of another type, of which hashing may take for ever, is described."""
        return value if isinstance(value, PLAIN_KEYS) else Thing("key")

    def text(self, form: str) -> None:
        """Push a text; a long one as a Span."""
        start = self.cursor.position
        count = self.cursor.number(form)
        if TEXT < count <= LONGEST:
            begin = self.cursor.skip(count)
            self.stack.append(Span(begin, begin + count))
            return
        self.cursor.position = start
        super().text(form)

    @property
    def codes(self) -> dict[bytes, Callable[[Any], None]]:
        """The opcodes."""
        return ALL_CODES


ALL_CODES: dict[bytes, Callable[[Any], None]] = CODES | {
    b"0": lambda m: m.pop(),
    b"R": Skipping.build,
    b"b": Skipping.state,
    b"\x81": Skipping.build,
    b"\x92": Skipping.new_with_keywords,
    b"\x8f": lambda m: m.put(Thing("set")),
    b"\x90": lambda m: m.since_mark(),
    b"\x91": lambda m: (m.since_mark(), m.put(Thing("frozenset"))),
    b"\x8d": lambda m: m.text("<Q"),
    b"\x96": lambda m: m.bytes("<Q"),
}
