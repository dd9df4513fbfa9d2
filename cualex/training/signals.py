"""Signal handler of a training: Ctrl-C, SIGTERM and SIGHUP wait until the state is consistent, between two updates."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Ctrl-C; a batch system's or a container's end; the terminal's or the connection's end. Windows lacks the last.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class SignalHandler:
    """Delays the first signal until `obey` is called; further ones are handled at once.

    To handle a signal is to call the previous handler. Only the main thread can set handlers; in another thread this
    does nothing. A signal that still waits at the end is handled there.

    noted: the signal that waits.  urgent: there was a second one, so nothing more shall be saved.
    """

    def __init__(self) -> None:
        """Start without a signal."""
        self.noted: tuple[int, FrameType | None] | None = None
        self.urgent = False
        self._obeyed = False
        self._before: dict[int, Any] = {}  # handlers, or SIG_DFL and the like

    def __enter__(self) -> "SignalHandler":
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS if _heard(number)}
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.obey()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Restore the previous handlers within a block, in which the caller of a generator runs."""
        self.__exit__(None)
        try:
            yield
        finally:
            self.__enter__()

    def obey(self, instead: int | None = None) -> None:
        """Call the previous handler for the signal that waits, if there is one; or for one that another rank got."""
        if waiting := self.noted or (instead and (instead, None)):
            number, frame = waiting
            self.noted, self._obeyed = None, True
            self._hand_on(number, frame)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted or self._obeyed:
            self.noted, self._obeyed, self.urgent = None, True, True
            self._hand_on(number, frame)
        else:
            self.noted = number, frame

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        handler = self._before.get(number, signal.SIG_DFL)
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            raise KeyboardInterrupt


def _heard(number: int) -> bool:
    """Return whether a signal is not ignored, as `nohup` ignores SIGHUP, and not handled outside of Python."""
    return signal.getsignal(number) not in (signal.SIG_IGN, None)
