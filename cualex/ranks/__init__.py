"""Ranks: processes that train one network together. MPI moves bytes between them, and cualex adds.

`Alone` is one process without MPI; mpi.py, the one file that imports mpi4py, has `MpiRanks`. Every rank calls the same
methods in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


class Ranks(Protocol):
    """The processes of one command: this is `rank` of `size`.

    what: names an exchange in the error of a rank that waits for it in vain.
    """

    @property
    def size(self) -> int:
        """Return the number of ranks."""

    @property
    def rank(self) -> int:
        """Return the index of this rank; 0 alone locks, writes and prints."""

    @property
    def machines(self) -> int:
        """Return the number of machines that the ranks are on."""

    @property
    def machine_of(self) -> tuple[int, ...]:
        """Return the machine of each rank, by index."""

    @property
    def exchanges_rows(self) -> bool:
        """Return whether each machine reads its own rows of the training images only (rows.py)."""

    @property
    def first(self) -> bool:
        """Return whether this is rank 0."""

    @property
    def first_here(self) -> bool:
        """Return whether this is the first rank of its machine."""

    def add_up(self, values: np.ndarray, add: Callable[[np.ndarray], np.ndarray], what: str) -> Callable[[], None]:
        """Begin to replace a flat array by the sum of all ranks'; return what waits for it.

        Each rank gets its share of every rank's array (all-to-all), `add` makes (size, share) its sum, and every rank
        gets all sums (all-gather): 2 (size - 1) / size of the array leave a rank.
        """

    def exchange(
        self, sent: np.ndarray, counts: list[int], received: np.ndarray, from_each: list[int], what: str
    ) -> Callable[[], None]:
        """Begin to send rows to every rank, `counts` of them, those for rank 0 first; return what waits for `received`.

        It gets `from_each` rows, those of rank 0 first.
        """

    def gather(self, values: np.ndarray, what: str) -> Callable[[], np.ndarray]:
        """Begin to collect an array of every rank, all of one shape; return what waits for (size, *shape)."""

    def collect(self, value: T, what: str) -> list[T]:
        """Return a plain value of every rank."""

    def at_first(self, call: Callable[[], T], what: str) -> T:
        """Return what `call` gives on rank 0; an error of it that the user can fix is raised on every rank."""

    def begin_updates(self, over: bool = False) -> None:
        """From here on, give up after `timeout` seconds without an answer; `over`: wait without limit again."""


class Alone:
    """One process, which is rank 0 of 1: nothing is sent."""

    size, rank, machines, machine_of, exchanges_rows, first, first_here = 1, 0, 1, (0,), False, True, True

    def add_up(self, values: np.ndarray, add: Callable[[np.ndarray], np.ndarray], what: str) -> Callable[[], None]:
        """Leave the array as it is: it is the sum."""
        return lambda: None

    def exchange(
        self, sent: np.ndarray, counts: list[int], received: np.ndarray, from_each: list[int], what: str
    ) -> Callable[[], None]:
        """Copy the rows."""
        received[...] = sent
        return lambda: None

    def gather(self, values: np.ndarray, what: str) -> Callable[[], np.ndarray]:
        """Return (1, *shape)."""
        return lambda: values[None]

    def collect(self, value: T, what: str) -> list[T]:
        """Return the value."""
        return [value]

    def at_first(self, call: Callable[[], T], what: str) -> T:
        """Call it."""
        return call()

    def begin_updates(self, over: bool = False) -> None:
        """Wait for nobody."""


ALONE = Alone()


def share(length: int, size: int, rank: int) -> slice:
    """Return the part of a flat array that a rank adds up: equal parts, to within one number."""
    return slice(rank * length // size, (rank + 1) * length // size)


def differing(values: list[Any]) -> int | None:
    """Return the first rank whose value is not that of rank 0, or None."""
    return next((rank for rank, value in enumerate(values) if value != values[0]), None)
