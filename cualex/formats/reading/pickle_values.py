"""What is read from a pickle beside plain numbers, text, tuples, lists and dictionaries: descriptions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Say where bytes of the file begin and end."""

    start: int
    end: int


class Short(bytes):
    """Hold bytes that were read, and where they begin."""

    start: int

    @property
    def end(self) -> int:
        """Return where they end."""
        return self.start + len(self)


@dataclass
class Made:
    """Hold what an allowed name built: `kind`, what it was built from, and the state that it was given after."""

    kind: str
    values: tuple
    state: object = None


@dataclass(frozen=True)
class Named:
    """Hold a name that is allowed."""

    name: str


class Bag(dict):
    """Be a dictionary whose type may be given a state, which is not looked at."""
