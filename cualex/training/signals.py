"""Ctrl-C and SIGTERM in training: noted, and obeyed between two updates, where the state is whole."""

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Note the first signal until `obey` is called; from the second on they are obeyed at once.

    To obey is to call the handler that was there before. Only the main thread can set handlers; in another
    thread nothing is noted. What is still noted at the end is obeyed there.

    noted: the signal that waits to be obeyed.  urgent: there was a second one, so nothing more is to be saved.
    """

    def __init__(self):
        """Note nothing yet."""
        self.noted: tuple | None = None
        self.urgent = False
        self._obeyed = False
        self._before: dict = {}

    def __enter__(self) -> "Interrupts":
        """Set the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Put back the handlers that were there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.obey()

    def obey(self) -> None:
        """Hand the noted signal, if there is one, to the handler that was there before."""
        if self.noted:
            number, frame = self.noted
            self.noted, self._obeyed = None, True
            self._hand_on(number, frame)

    def _note(self, number: int, frame) -> None:
        if self.noted or self._obeyed:
            self.noted, self._obeyed, self.urgent = None, True, True
            self._hand_on(number, frame)
        else:
            self.noted = number, frame

    def _hand_on(self, number: int, frame) -> None:
        handler = self._before[number]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            raise KeyboardInterrupt
