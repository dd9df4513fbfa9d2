"""How a command ends: its exit code, and one line on stderr for errors that the user can fix.

0 done, 2 wrong usage, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM, 1 and no word when nobody reads stdout any more (Click's);
the others are those of `cualex.errors`.
"""

import _thread
import contextlib
import errno
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import click

from cualex.errors import CualexError, GpuNotUsed, OutOfMemory
from cualex.system import files

INTERRUPTED = 130
SIGHUP = getattr(signal, "SIGHUP", None)  # not on Windows
AGAIN = 0.01  # seconds until a signal is sent again
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
FORBIDDEN = {errno.EACCES, errno.EPERM}


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a kind of Ctrl-C: what handles that (training saves a checkpoint) handles this too."""

    said, exit_code = "Terminated.", 143


class HungUp(Terminated):
    """SIGHUP: the terminal was closed, or the connection to it was lost."""

    said, exit_code = "Hung up.", 129


class Fault(click.ClickException):
    """The line and the exit code of an error that the user can fix."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # Click has one code a class


def fault(error: Exception) -> Fault | None:
    """Return an error that the user can fix as its line and exit code; None for bugs of cualex."""
    if isinstance(error, CualexError):
        return Fault(str(error), error.exit_code)
    if isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        way = "choose a smaller --batch-size, or a smaller network"
        return Fault(f"not enough memory{reason}: {way}.", OutOfMemory.exit_code)
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return fault(files.cannot_write(error.filename or "the output", error))
    if isinstance(error, OSError) and error.errno in FORBIDDEN and error.filename:
        return Fault(f"{error.filename}: permission denied. Change its permissions, or choose another path.", 1)
    return None


def finish(call: Callable[[], object]) -> int:
    """Run `call` and return the exit code that it earned, with its line printed."""
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream is not None and stream.isatty()]
    with _signals(terminals), _notes():
        try:
            code = call()
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk behind stdout shows here and not at the interpreter's end
            return code if isinstance(code, int) else 0
        except BrokenPipeError:
            _settle_stdout()
            return 1
        except Exception as error:
            if _lost(terminals, error):
                _forget_terminal(terminals)
                return HungUp.exit_code
            signalled = _hidden_interrupt(error)
            if signalled is not None or isinstance(error, click.Abort):
                return _interrupted(signalled)
            told = error if isinstance(error, click.ClickException) else fault(error)
            if told is None:
                raise
            _settle_stdout()
            told.show()
            return told.exit_code


@contextlib.contextmanager
def _notes() -> Iterator[None]:
    """Print the library's own warnings as notes, in one line."""
    show = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *where: Any, **further: Any) -> None:
        if issubclass(category, GpuNotUsed):
            click.echo(f"Note: {message}", err=True)
        else:
            show(message, category, *where, **further)

    warnings.showwarning = note
    try:
        yield
    finally:
        warnings.showwarning = show


def _interrupted(signalled: BaseException | None) -> int:
    """Print which signal ended the program, and return its exit code."""
    click.echo(getattr(signalled, "said", "Interrupted."), err=True)
    return getattr(signalled, "exit_code", INTERRUPTED)


def _hidden_interrupt(error: BaseException) -> BaseException | None:
    """Return the interrupt in whose place something else raised `error`, if so.

    Python (3.11 and older, while it makes a class) and extension modules raise their own error from one that came upon
    them. And where a signal comes while `threading` holds no lock yet, leaving `with` raises.
    """
    signalled: BaseException | None = error
    while signalled is not None and not isinstance(signalled, KeyboardInterrupt):
        signalled = signalled.__cause__ or (signalled.__context__ if _of_a_lock(signalled) else None)
    return signalled


def _of_a_lock(error: BaseException) -> bool:
    """Return whether `threading` itself raised `error`."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code.co_filename == threading.__file__


@contextlib.contextmanager
def _signals(terminals: list[Any]) -> Iterator[None]:
    """Raise `Terminated` where SIGTERM finds the program, `HungUp` where SIGHUP does, KeyboardInterrupt where Ctrl-C.

    Where Python drops what is raised (a weak reference's callback, of imports and thread pools too, or a `__del__`)
    the signal would be lost: it is sent again a moment later. Only the main thread may set a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    kinds: dict[int, type[KeyboardInterrupt]] = {signal.SIGTERM: Terminated, signal.SIGINT: KeyboardInterrupt}
    if SIGHUP is not None and signal.getsignal(SIGHUP) != signal.SIG_IGN:  # nohup ignores it
        kinds[SIGHUP] = HungUp

    def leave(number: int, frame: FrameType | None) -> None:
        if number == SIGHUP:
            _forget_terminal(terminals)
        raise kinds[number]

    def dropped(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            report(unraisable)
            return
        number = next((each for each, kind in kinds.items() if kind is unraisable.exc_type), signal.SIGINT)
        # not threading's Thread: the callback may have come while its lock is held
        _thread.start_new_thread(_send_again, (number,))

    report, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.signal(number, leave) for number in kinds if signal.getsignal(number) is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = report


def _send_again(number: int) -> None:
    time.sleep(AGAIN)
    os.kill(os.getpid(), number)


def _lost(terminals: list[Any], error: Exception) -> bool:
    """Return whether an error is that a terminal is gone, of which SIGHUP has not told yet."""
    return isinstance(error, OSError) and error.errno == errno.EIO and any(not each.isatty() for each in terminals)


def _forget_terminal(terminals: list[Any]) -> None:
    """Send what is printed from here on nowhere: to a terminal that is gone each line would be an error (EIO)."""
    for stream in terminals:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def silence() -> tuple[Any, Any]:
    """Send what is printed from here on nowhere: of several ranks the first alone prints. Return stdout and stderr."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until this process ends)
    return before


def _settle_stdout() -> None:
    """Flush stdout, or redirect it to nowhere: the interpreter's last flush must not fail."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
