"""Event files of a run for TensorBoard: the numbers of its log, written by the package tensorboard."""

import time
from pathlib import Path
from typing import Any

from cualex.errors import UsageError

# Numbers of the log, and what TensorBoard calls them: as the columns of results.csv where those have them.
OF_UPDATES = {"loss": "train/loss", "rate": "lr"}
OF_EPOCHS = {
    "loss": "train/loss_epoch",
    "val_loss": "val/loss",
    "top1": "metrics/accuracy_top1",
    "top5": "metrics/accuracy_top5",
}


def check() -> None:
    """Raise UsageError where tensorboard is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError(
            '--tensorboard: tensorboard is not installed. Install it: pip install "cualex[tensorboard]"'
        ) from None


class EventFiles:
    """Writes the lines of a log as scalars by update; the file is made with the first of them.

    A start of the training has a file of its own. A file that cannot be written does not end the training.
    """

    def __init__(self, directory: Path) -> None:
        """Keep the directory, in which TensorBoard finds the files."""
        self.directory = directory
        self._writer: Any = None
        self._failed = False

    def resume(self, update: int) -> str | None:
        """Let TensorBoard drop what an earlier start wrote after `update`, the checkpoint's or 0, if there was one."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        if not any(self.directory.glob("events.out.tfevents.*")):
            return None

        return self._write(step=update + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, line: dict[str, Any]) -> str | None:
        """Write the numbers of a line of the log; return what went wrong, once."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        ends = "val_loss" in line
        tags = {name: tag for name, tag in (OF_EPOCHS if ends else OF_UPDATES).items() if name in line}
        if not tags:
            return None
        values = [Summary.Value(tag=tag, simple_value=line[name]) for name, tag in tags.items()]
        return self._write(flush=ends, step=line["update"], summary=Summary(value=values))

    def close(self) -> None:
        """Write what is pending."""
        if self._writer is not None and not self._failed:
            self._attempt(self._writer.close)

    def _write(self, flush: bool = False, **event: Any) -> str | None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        def write() -> None:
            self._writer = self._writer or EventFileWriter(str(self.directory))
            self._writer.add_event(Event(wall_time=time.time(), **event))
            if flush:
                self._writer.flush()

        return None if self._failed else self._attempt(write)

    def _attempt(self, work: Any) -> str | None:
        try:
            work()
        except OSError as error:
            self._failed = True
            return f"The event files are not written any further: {error}"
        return None
