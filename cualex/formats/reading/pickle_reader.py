"""The few instructions of pickle that tensors need, read and never run.

A pickle is a program for a stack machine. Of its instructions those are known here that build numbers, text, tuples,
lists and dictionaries; of the things it can name, those that a reader allows by their full name. To build one,
nothing of that name is called: the reader's own function makes a plain description. All else is refused.
Long runs of bytes, as NumPy keeps numbers in, are passed over and described as a `Span`.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Cursor
from cualex.formats.reading.pickle_values import Bag, Made, Named, Short, Span
from cualex.formats.reading.tensors import said

STEPS = 100_000  # instructions: a network of AlexNet's kind takes about a thousand
TEXT = 4096  # bytes of a text; what is longer is a Span, or refused
WHOLE = 16  # bytes of a whole number


@dataclass
class Machine:
    """Read one pickle.

    allowed: by "module name", the function that describes what it would build; it gets the arguments.
    persistent: what becomes of a reference to something outside of the pickle.
    """

    contents: Contents
    cursor: Cursor
    allowed: Mapping[str, Callable]
    persistent: Callable[[object], object] | None = None
    stack: list = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def load(self) -> object:
        """Return the one value that the pickle builds."""
        if self.cursor.take(1) != b"\x80" or not 2 <= self.cursor.take(1)[0] <= 5:
            raise refused("it is not a pickle of protocol 2 to 5")
        for _ in range(STEPS):
            code = self.cursor.take(1)
            if code == b".":
                if len(self.stack) != 1 or self.marks:
                    raise refused("its stack is not empty at the end")
                return self.stack.pop()
            if code not in CODES:
                raise refused(f"instruction {code!r}")
            CODES[code](self)
        raise refused(f"more than {STEPS} instructions")

    def pop(self) -> object:
        """Take the last value."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise refused("it pops from an empty stack")
        return self.stack.pop()

    def since_mark(self) -> list:
        """Take the values above the last mark."""
        if not self.marks:
            raise refused("it pops from an empty stack")
        mark = self.marks.pop()
        values, self.stack[mark:] = self.stack[mark:], []
        return values

    def last(self, kind: type) -> object:
        """Return the last value, which must be a list or a dictionary to be filled."""
        value = self.pop()
        self.stack.append(value)
        if not isinstance(value, kind):
            raise refused(f"it fills {said(type(value).__name__)}")
        return value

    def bytes(self, form: str) -> None:
        """Put bytes: short ones themselves, long ones as a Span."""
        count = self.cursor.number(form)
        start = self.cursor.place
        if count > TEXT:
            self.stack.append(Span(self.cursor.skip(count), start + count))
        else:
            read = Short(self.cursor.take(count))
            read.start = start
            self.stack.append(read)

    def text(self, form: str) -> None:
        """Put a text."""
        count = self.cursor.number(form)
        if count > TEXT:
            raise refused(f"a text of {count} bytes")
        try:
            self.stack.append(self.cursor.take(count).decode())
        except UnicodeDecodeError:
            raise refused("a string that is not UTF-8") from None

    def whole(self) -> None:
        """Put a whole number of any size."""
        count = self.cursor.number("<B")
        if count > WHOLE:
            raise refused(f"a number of {count} bytes")
        self.stack.append(int.from_bytes(self.cursor.take(count), "little", signed=True))

    def items(self, values: list) -> None:
        """Fill a dictionary with keys and values in turn."""
        if len(values) % 2:
            raise refused("a key without a value")
        filled = self.last(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | bytes | int):
                raise refused(f"a key that is {said(type(key).__name__)}")
            if key in filled:
                raise refused(f"{said(key)} twice")
            filled[key] = value

    def name(self, module: object, name: object) -> None:
        """Put a thing by its name, if it is allowed."""
        full = f"{module} {name}"
        if not (isinstance(module, str) and isinstance(name, str)) or full not in self.allowed:
            raise refused(f"it names {said(full.replace(' ', '.'))}, which is not on the list of allowed constructors")
        self.stack.append(Named(full))

    def line(self) -> str:
        """Read a text that ends with a line."""
        text = b""
        while not text.endswith(b"\n"):
            text += self.cursor.take(1)
            if len(text) > 200:
                raise refused("an unterminated name")
        return text[:-1].decode("latin-1")

    def build(self) -> None:
        """Describe what a name with arguments would build."""
        arguments, thing = self.pop(), self.pop()
        if not isinstance(thing, Named) or not isinstance(arguments, tuple):
            raise refused("it calls something that is not a global")
        try:
            self.stack.append(self.allowed[thing.name](*arguments))
        except TypeError:
            raise refused(f"{said(thing.name)} with unexpected arguments") from None

    def state(self) -> None:
        """Give a thing its state; a dictionary's is of no interest."""
        state, thing = self.pop(), self.pop()
        if isinstance(thing, Made) and thing.state is None:
            thing.state = state
        elif not isinstance(thing, Bag):
            raise refused(f"it gives {said(type(thing).__name__)} a state")
        self.stack.append(thing)

    def outside(self) -> None:
        """Put what a reference stands for."""
        if self.persistent is None:
            raise refused("it has a persistent id")
        self.stack.append(self.persistent(self.pop()))

    def frame(self) -> None:
        """Hold a frame, which says only how much to read at once, against what is left."""
        if self.cursor.number("<Q") > self.cursor.left:
            raise refused("a truncated frame")

    def remember(self, place: int) -> None:
        """Keep the last value under a number."""
        value = self.pop()
        self.stack.append(value)
        self.memo[place] = value

    def recall(self, place: int) -> None:
        """Put what was kept under a number."""
        if place not in self.memo:
            raise refused("it reads a memo entry that was never written")
        self.stack.append(self.memo[place])

    def put(self, value: object) -> None:
        """Put a value."""
        self.stack.append(value)

    def pack(self, count: int) -> None:
        """Put a tuple of the last values."""
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))


def refused(reason: str) -> WeightsError:
    """Make the error for a pickle that is not only tensors."""
    return WeightsError(
        f"its pickle is refused: {reason}. Save the tensors alone (a state_dict, or safetensors) and import that."
    )


CODES: dict[bytes, Callable[[Machine], None]] = {
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
    b"a": lambda m: (value := m.pop(), m.last(list).append(value))[1],
    b"e": lambda m: (values := m.since_mark(), m.last(list).extend(values))[1],
    b"}": lambda m: m.put({}),
    b"s": lambda m: (value := m.pop(), key := m.pop(), m.items([key, value]))[2],
    b"u": lambda m: m.items(m.since_mark()),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: (name := m.pop(), module := m.pop(), m.name(module, name))[2],
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
