"""An interpreter for the few opcodes of pickle that tensors need; it calls nothing that a pickle names.

A pickle is a program for a stack machine. Only opcodes are known here that build numbers, text, tuples, lists and
dictionaries, and only globals that a reader allows by their full name. Such a global is not called: the reader's
function returns a plain description instead. Everything else is refused.
Long byte strings, in which NumPy stores arrays, are skipped and described as a `Span`.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cualex.formats.reading.contents import Contents, Cursor, Damaged
from cualex.formats.reading.pickle_values import Bag, Made, Named, Short, Span, refused
from cualex.formats.reading.tensors import short

STEPS = 100_000  # opcodes: a network like AlexNet takes about a thousand
TEXT = 4096  # bytes of a text; longer ones are a Span, or refused
WHOLE = 16  # bytes of an integer

Container = TypeVar("Container", bound=list[Any] | dict[Any, Any])


@dataclass
class Machine:
    """Stack machine of one pickle.

    allowed: "module name" -> the function that describes the object, from its arguments; None: not to be called.
    persistent: describes a persistent id, a reference out of the pickle.
    """

    contents: Contents
    cursor: Cursor
    allowed: Mapping[str, Callable[..., object] | None]
    persistent: Callable[[object], object] | None = None
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    @property
    def codes(self) -> dict[bytes, Callable[[Any], None]]:
        """The opcodes that are known."""
        return CODES

    def load(self) -> object:
        """Return the value that the pickle builds."""
        if self.cursor.take(1) != b"\x80" or not 2 <= self.cursor.take(1)[0] <= 5:
            raise refused("it is not a pickle of protocol 2 to 5")
        for _ in range(STEPS):
            code = self.cursor.take(1)
            if code == b".":
                if len(self.stack) != 1 or self.marks:
                    raise Damaged("values left over at the end of its pickle")
                return self.stack.pop()
            if code not in self.codes:
                raise refused(f"it has the opcode {code!r}")
            self.codes[code](self)
        raise refused(f"it has more than {STEPS} opcodes")

    def pop(self) -> Any:
        """Pop a value, which may be anything."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Damaged("its pickle pops from an empty stack")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Pop the values above the last mark."""
        if not self.marks:
            raise Damaged("its pickle pops from an empty stack")
        mark = self.marks.pop()
        values, self.stack[mark:] = self.stack[mark:], []
        return values

    def last(self, kind: type[Container]) -> Container:
        """Return the top of the stack, a list or dictionary to be filled."""
        value = self.pop()
        self.stack.append(value)
        if not isinstance(value, kind):
            raise refused(f"it fills {short(type(value).__name__)}")
        return value

    def bytes(self, form: str) -> None:
        """Push bytes: short ones themselves, long ones as a Span."""
        count = self.cursor.number(form)
        start = self.cursor.position
        if count > TEXT:
            self.stack.append(Span(self.cursor.skip(count), start + count))
        else:
            read = Short(self.cursor.take(count))
            read.start = start
            self.stack.append(read)

    def text(self, form: str) -> None:
        """Push a text."""
        count = self.cursor.number(form)
        if count > TEXT:
            raise refused(f"it has a string of {count} bytes")
        try:
            self.stack.append(self.cursor.take(count).decode())
        except UnicodeDecodeError:
            raise refused("it has a string that is not UTF-8") from None

    def whole(self) -> None:
        """Push an integer of any size."""
        count = self.cursor.number("<B")
        if count > WHOLE:
            raise refused(f"it has an integer of {count} bytes")
        self.stack.append(int.from_bytes(self.cursor.take(count), "little", signed=True))

    def extend(self, values: list[Any]) -> None:
        """Extend the list below by values."""
        self.last(list).extend(values)

    def items(self, values: list[Any]) -> None:
        """Set items of the dictionary below: keys and values in turn."""
        if len(values) % 2:
            raise refused("a key without a value")
        filled = self.last(dict)
        for key, value in zip(map(self.key, values[::2]), values[1::2], strict=True):
            if key in filled:
                raise refused(f"{short(key)} twice")
            filled[key] = value

    def key(self, value: object) -> object:
        """Return the key of a dictionary, if it may be one."""
        if not isinstance(value, str | bytes | int):
            raise refused(f"a key that is {short(type(value).__name__)}")
        return value

    def name(self, module: object, name: object) -> None:
        """Push a global, if it is allowed."""
        full = f"{module} {name}"
        if not (isinstance(module, str) and isinstance(name, str)) or full not in self.allowed:
            raise refused(f"it names {short(full.replace(' ', '.'))}, which is not on the list of allowed constructors")
        self.stack.append(Named(full))

    def stack_name(self) -> None:
        """Push the global whose module and name are on the stack."""
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def line(self) -> str:
        """Read a line of text."""
        text = b""
        while not text.endswith(b"\n"):
            text += self.cursor.take(1)
            if len(text) > 200:
                raise Damaged("an unterminated name in its pickle")
        return text[:-1].decode("latin-1")

    def build(self) -> None:
        """Push the description of what a global would return for the arguments."""
        arguments, thing = self.pop(), self.pop()
        if not isinstance(thing, Named) or not isinstance(arguments, tuple):
            raise refused("it calls something that is not a global")
        try:
            describe = self.allowed[thing.name]
            if describe is None:
                raise TypeError
            self.stack.append(describe(*arguments))
        except TypeError:
            raise refused(f"{short(thing.name)} with unexpected arguments") from None

    def state(self) -> None:
        """Set the state of the object below; a dictionary's is ignored."""
        state, thing = self.pop(), self.pop()
        if isinstance(thing, Made) and thing.state is None:
            thing.state = state
        elif not isinstance(thing, Bag):
            raise refused(f"it gives {short(type(thing).__name__)} a state")
        self.stack.append(thing)

    def outside(self) -> None:
        """Push the description of a persistent id."""
        if self.persistent is None:
            raise refused("it refers to storages in a way that torch.save does not")
        self.stack.append(self.persistent(self.pop()))

    def frame(self) -> None:
        """Check the length of a frame, which is otherwise ignored."""
        if self.cursor.number("<Q") > self.cursor.left:
            raise Damaged("a truncated frame in its pickle")

    def remember(self, position: int) -> None:
        """Store the top of the stack in the memo."""
        value = self.pop()
        self.stack.append(value)
        self.memo[position] = value

    def recall(self, position: int) -> None:
        """Push a value of the memo."""
        if position not in self.memo:
            raise Damaged("its pickle reads a memo entry that was never written")
        self.stack.append(self.memo[position])

    def put(self, value: object) -> None:
        """Push a value."""
        self.stack.append(value)

    def pack(self, count: int) -> None:
        """Push a tuple of the last `count` values."""
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))


CODES: dict[bytes, Callable[[Any], None]] = {
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": lambda m: m.put(None),
    b"\x88": lambda m: m.put(True),
    b"\x89": lambda m: m.put(False),
    b"J": lambda m: m.put(m.cursor.number("<i")),
    b"K": lambda m: m.put(m.cursor.number("<B")),
    b"M": lambda m: m.put(m.cursor.number("<H")),
    b"\x8a": Machine.whole,
    b"G": lambda m: m.put(struct.unpack(">d", m.cursor.take(8))[0]),
    b"T": lambda m: m.bytes("<i"),
    b"U": lambda m: m.bytes("<B"),
    b"B": lambda m: m.bytes("<I"),
    b"C": lambda m: m.bytes("<B"),
    b"\x8e": lambda m: m.bytes("<Q"),
    b"X": lambda m: m.text("<I"),
    b"\x8c": lambda m: m.text("<B"),
    b")": lambda m: m.put(()),
    b"\x85": lambda m: m.pack(1),
    b"\x86": lambda m: m.pack(2),
    b"\x87": lambda m: m.pack(3),
    b"t": lambda m: m.put(tuple(m.since_mark())),
    b"]": lambda m: m.put([]),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"}": lambda m: m.put({}),
    b"s": lambda m: m.items([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.items(m.since_mark()),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": Machine.stack_name,
    b"R": Machine.build,
    b"b": Machine.state,
    b"Q": Machine.outside,
    b"q": lambda m: m.remember(m.cursor.number("<B")),
    b"r": lambda m: m.remember(m.cursor.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.recall(m.cursor.number("<B")),
    b"j": lambda m: m.recall(m.cursor.number("<I")),
    b"\x95": Machine.frame,
}
