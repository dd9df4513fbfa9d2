"""Ctrl-C and SIGTERM in training: noted, and obeyed between two updates, where the state is whole."""

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Note the first signal until `obey` is called; a second one is obeyed at once.

    To obey is to call the handler that was there before. Only the main thread can set handlers; in another
    thread nothing is noted.
    """

    def __init__(self):
        """Note nothing yet."""
        self.noted: tuple | None = None
        self._before: dict = {}

    def __enter__(self) -> "Interrupts":
        """Set the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Put back the handlers that were there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def obey(self) -> None:
        """Hand the noted signal, if there is one, to the handler that was there before."""
        if self.noted:
            number, frame = self.noted
            self.noted = None
            self._hand_on(number, frame)

    def _note(self, number: int, frame) -> None:
        if self.noted:
            self._hand_on(number, frame)
        self.noted = number, frame

    def _hand_on(self, number: int, frame) -> None:
        handler = self._before[number]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            raise KeyboardInterrupt
