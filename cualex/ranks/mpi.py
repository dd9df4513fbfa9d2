"""Ranks on MPI: the one file that imports mpi4py. One thread makes all of its calls (exchange_thread.py)."""

import faulthandler
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from cualex.errors import CualexError, UsageError
from cualex.ranks import share
from cualex.ranks.exchange_thread import NAP, ExchangeThread
from cualex.ranks.launch import INSTALL, Launch
from cualex.system import environment

T = TypeVar("T")
WORDS = 2048  # bytes of the last words of a rank
ABORT = 10.0  # seconds after which a rank no longer waits for MPI_Abort
LAST = 2.0  # seconds that a failed rank waits for those of the others
CHUNK = 1 << 30  # bytes of one message: MPI counts in 32 bits


class MpiRanks(ExchangeThread):
    """All ranks of a launch, numbered machine by machine; see `Ranks`.

    timeout: seconds.  exchanges_rows: set by a command (rows.py).
    here: how many ranks this machine has.  machines: how many machines there are.
    """

    def __init__(self, launch: Launch) -> None:
        """Start MPI; raise UsageError without mpi4py, and where another MPI's launcher was used."""
        super().__init__()
        self.exchanges_rows = False
        self._submit(lambda: self._connect(launch)).result()

    @property
    def first(self) -> bool:
        """Return whether this is rank 0."""
        return self.rank == 0

    # --- what every rank asks for

    def add_up(self, values: np.ndarray, add: Callable[[np.ndarray], np.ndarray], what: str) -> Callable[[], None]:
        """Begin to replace a flat array by the sum of all ranks'; return what waits for it."""

        def work() -> None:
            if self._levels:
                within, between = self._levels
                self._add_up(within, values, add, what, lambda part: self._add_up(between, part, add, what))
            else:
                self._add_up(self._world, values, add, what)

        return self._submit(work).result

    def _add_up(
        self,
        ranks: Any,
        values: np.ndarray,
        add: Callable[[np.ndarray], np.ndarray],
        what: str,
        further: Callable[[np.ndarray], None] = lambda part: None,
    ) -> None:
        """Add up over the ranks of a communicator; `further` adds to the sum of a share before it is sent to all."""
        own = [share(len(values), ranks.size, rank) for rank in range(ranks.size)]
        counts, starts = [each.stop - each.start for each in own], [each.start for each in own]
        mine, kind = counts[ranks.rank], values.dtype.char
        shares = np.empty((ranks.size, mine), values.dtype)
        received = [mine] * ranks.size, [mine * rank for rank in range(ranks.size)]
        self._wait(ranks.Ialltoallv([values, counts, starts, kind], [shares, *received, kind]), what)
        total = add(shares)
        further(total)
        self._wait(ranks.Iallgatherv([total, kind], [values, counts, starts, kind]), what)

    def exchange(
        self, sent: np.ndarray, counts: list[int], received: np.ndarray, from_each: list[int], what: str
    ) -> Callable[[], None]:
        """Begin to send rows to every rank; return what waits for `received`."""

        def work() -> None:
            row = self._mpi.BYTE.Create_contiguous(received[0].nbytes).Commit()  # MPI counts in 32 bits
            try:
                starts = [np.cumsum([0, *each[:-1]]).tolist() for each in (counts, from_each)]
                buffers = [sent, counts, starts[0], row], [received, from_each, starts[1], row]
                self._wait(self._world.Ialltoallv(*buffers), what)
            finally:
                row.Free()

        return self._submit(work).result

    def gather(self, values: np.ndarray, what: str) -> Callable[[], np.ndarray]:
        """Begin to collect an array of every rank, all of one shape; return what waits for (size, *shape)."""

        def work() -> np.ndarray:
            received = np.empty((self.size, *values.shape), values.dtype)
            self._wait(self._world.Iallgather(values, received), what)
            return received

        return self._submit(work).result

    def collect(self, value: T, what: str) -> list[T]:
        """Return a plain value of every rank."""
        packed = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = self.gather(np.array([len(packed)]), what)()[:, 0]
        padded = np.zeros(lengths.max(), np.uint8)
        padded[: len(packed)] = packed
        return [
            pickle.loads(row[:length].tobytes())
            for row, length in zip(self.gather(padded, what)(), lengths, strict=True)
        ]

    def at_first(self, call: Callable[[], T], what: str) -> T:
        """Return what `call` gives on rank 0; an error of it that the user can fix is raised on every rank."""
        told: tuple[Any, str, int] = (None, "", 0)
        fault: CualexError | None = None
        if self.first:
            try:
                told = call(), "", 0
            except CualexError as error:
                told, fault = (None, str(error), error.exit_code), error
        value, text, code = self._from_first(told, what)
        if fault:
            raise fault
        if text:
            of_first = CualexError(text)
            of_first.exit_code = code  # of rank 0's own kind
            raise of_first
        return value

    def begin_updates(self, over: bool = False) -> None:
        """From here on, give up after `timeout` seconds without an answer; `over`: wait without limit again."""
        self._limited = not over

    # --- the end

    def close(self, words: str, code: int) -> list[tuple[str, int]] | None:
        """Exchange last words and exit codes; end MPI, and return those of all ranks.

        A rank that has done its work, whose code is 0, waits for the others; one that has failed waits a moment only,
        since the others may wait for what it will never send: None says that there is no answer, and `abort` follows.
        """
        self._failed = bool(code)
        own = np.zeros(WORDS + 1, np.uint8)
        said = np.frombuffer(words.encode()[-WORDS:], np.uint8)
        own[0], own[1 : 1 + len(said)] = min(code, 255), said

        def work() -> list[tuple[str, int]] | None:
            received = np.empty((self.size, len(own)), np.uint8)
            request, until = self._words.Iallgather(own, received), time.monotonic() + LAST
            while not request.Test():
                if code and time.monotonic() > until:
                    return None
                time.sleep(NAP)
            if not self._cut_off:  # else what was begun is still on its way
                self._mpi.Finalize()
            return [(bytes(row[1:]).rstrip(b"\0").decode(errors="replace"), int(row[0])) for row in received]

        return self._submit(work, always=True).result()

    def abort(self, code: int) -> None:
        """End all ranks with this exit code.

        Where another rank or the network is lost, this rank alone ends: MPI_Abort of MPICH 5 waits for what is on its
        way, without end where a cable is cut, and holds the interpreter lock meanwhile. The launcher sees a rank that
        ended without a word to MPI, and ends the others that it can reach; those that it cannot have given up, too.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if self._lost:
            os._exit(code)
        # The cable may be cut in just this moment. What watches needs no lock of the interpreter; its exit code is 1.
        faulthandler.dump_traceback_later(ABORT, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115
        self._submit(lambda: self._world.Abort(code), always=True).result()

    # --- measurements

    def library(self) -> str:
        """Return the name and version of the MPI library."""
        return _name(self._submit(self._mpi.Get_library_version).result())

    # --- the thread

    def _connect(self, launch: Launch) -> None:
        try:
            import mpi4py
        except ImportError:
            raise UsageError(
                f"{launch.launcher} started {launch.size} processes, and there is no mpi4py: {INSTALL}"
            ) from None
        mpi4py.rc.initialize = mpi4py.rc.finalize = False
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # mpi4py alone has no library of MPI
            told = str(error).partition("\n")[0]
            raise UsageError(f"mpi4py finds no library of MPI ({told}): {INSTALL}") from None

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another MPI's launcher, which is told below
            MPI.Init_thread(MPI.THREAD_SERIALIZED)
        world = MPI.COMM_WORLD
        if world.size != launch.size:
            seen = world.size
            MPI.Finalize()
            library = _name(MPI.Get_library_version())
            raise UsageError(
                f"{launch.launcher} started {launch.size} processes, but mpi4py uses {library}, which sees "
                f"{seen}: use the mpiexec of that library, or --ranks {launch.size}"
            )
        self._mpi = MPI
        machines = world.allgather(MPI.Get_processor_name())  # MPI has just started: nothing else wants the cores
        order = list(dict.fromkeys(machines))
        self._world = world.Split(0, order.index(machines[world.rank]) * world.size + world.rank)
        self._words = self._world.Dup()  # for last words alone, which may come in the middle of anything
        self.size, self.rank, self.machines = self._world.size, self._world.rank, len(order)
        self.machine_of = tuple(self._world.allgather(order.index(machines[world.rank])))
        ranks = [rank for rank, machine in enumerate(self.machine_of) if machine == self.machine_of[self.rank]]
        self.here, self.first_here = len(ranks), ranks[0] == self.rank
        # Several machines with equally many ranks: sums are made within each first, and then between ranks of the same
        # index there, as an all-to-all of all crosses the network `here` times as often. A tree of the ranks has those
        # of a machine as a branch, if they are a power of two; else the bits would change with the machines.
        equal = set(self._world.allgather(self.here)) == {self.here}
        self._levels: tuple[Any, Any] | None = None
        if self.machines > 1 and self.here > 1 and equal and self.here & (self.here - 1) == 0:
            machine, index = divmod(self.rank, self.here)
            self._levels = self._world.Split(machine, self.rank), self._world.Split(index, self.rank)
        bound = self._world.allgather(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [])
        environment.sharing = sum(bound[rank] == bound[self.rank] for rank in ranks)

    def _from_first(self, value: Any, what: str) -> Any:
        packed = np.frombuffer(pickle.dumps(value if self.first else None), np.uint8)

        def work() -> Any:
            length = np.array([len(packed)])
            self._wait(self._world.Ibcast(length, root=0), what)
            received = packed.copy() if self.first else np.empty(int(length[0]), np.uint8)
            for start in range(0, len(received), CHUNK):
                self._wait(self._world.Ibcast(received[start : start + CHUNK], root=0), what)
            return None if self.first else pickle.loads(received.data)

        sent = self._submit(work).result()
        return value if self.first else sent


def _name(version: str) -> str:
    """Return the first line of what an MPI library says about itself."""
    return " ".join(version.replace("\0", "").splitlines()[0].replace(" Version:", "").split())
