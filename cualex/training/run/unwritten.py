"""The run of a rank that writes nothing: rank 0 has its directory, and has told what it holds."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from cualex.ranks import Ranks
from cualex.training.run.directory import Run
from cualex.training.run.log import Log
from cualex.weights import Weights

T = TypeVar("T", Run, Run | None)


class NoLog(Log):
    """A log that keeps nothing."""

    def __init__(self) -> None:
        """Begin empty."""
        self.size = 0

    def append(self, record: dict[str, Any]) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Write nothing."""

    def cut(self, size: int) -> None:
        """Cut nothing."""

    def records(self) -> list[dict[str, Any]]:
        """Return nothing."""
        return []


class Unwritten(Run):
    """A run of which this process may read what `told` has, and write nothing."""

    def __init__(self, path: Path, told: dict[str, Any]) -> None:
        """Keep what rank 0 has read (`shared`)."""
        super().__init__(path)
        self._told = told

    @property
    def begun(self) -> bool:
        """Whether the run had begun."""
        return bool(self._told["begun"])

    @property
    def resumable(self) -> bool:
        """Whether there was a checkpoint."""
        return bool(self._told["resumable"])

    def arguments(self) -> dict[str, Any]:
        """Return args.json."""
        return dict(self._told["arguments"])

    def outcome(self) -> dict[str, Any] | None:
        """Return finished.json, or None for an unfinished run."""
        told: dict[str, Any] | None = self._told["outcome"]
        return told

    def skipped(self) -> list[tuple[str, str]]:
        """Return skipped.csv."""
        return list(self._told["skipped"])

    def checkpoint(self) -> Weights | None:
        """Return None: the loop is told the checkpoint."""
        return None

    def log(self) -> Log:
        """Return a log that keeps nothing."""
        return NoLog()

    def lock(self) -> None:
        """Leave the lock to rank 0."""

    def unlock(self) -> None:
        """Leave the lock to rank 0."""

    def describe(
        self,
        arguments: dict[str, Any],
        environment: dict[str, Any],
        classes: Iterable[str],
        skipped: Iterable[tuple[str, str]],
    ) -> None:
        """Write nothing."""

    def write_results(self, log: Log) -> None:
        """Write nothing."""

    def save_best(self, kept: Weights) -> None:
        """Write nothing."""

    def save(self, kept: Weights) -> None:
        """Write nothing."""

    def remove_checkpoints(self) -> None:
        """Remove nothing."""

    def finish(self, outcome: dict[str, Any]) -> None:
        """Write nothing."""

    def go_on(self) -> None:
        """Remove nothing."""


def shared(ranks: Ranks, opened: Callable[[], T]) -> T:
    """Return the run, if any, that rank 0 opens, and on the other ranks one of which they may read what it has told."""
    if ranks.size == 1:
        return opened()
    own: list[Any] = []

    def told() -> dict[str, Any] | None:
        own.append(run := opened())
        if run is None:
            return None
        begun = run.begun
        return {
            "path": run.path,
            "begun": begun,
            "arguments": run.arguments() if begun else {},
            "outcome": run.outcome(),
            "skipped": run.skipped() if begun else [],
            "resumable": run.resumable,
        }

    of_first = ranks.at_first(told, "open the run")
    run: Any = own[0] if own else of_first and Unwritten(of_first["path"], of_first)
    return run
