"""What the user can put right: each error is one line that says what, expected and got, and the way out.

    CualexError             1
    ├── DataError           1   a data set: missing, empty, an unknown class
    │   └── ImageError      1   one image that cannot be read
    ├── WeightsError        1   a weights file: damaged, or of another network
    ├── DeviceError         1   a device that is not there
    ├── OutputError         1   a place that cannot be written: full, or not permitted
    ├── UsageError          2   an argument that cannot be
    ├── Unreadable          3   finished, but some inputs could not be read; the results are written
    ├── Diverged            4   training left the finite numbers
    ├── OutOfMemory         5   the device has too little memory for this batch
    └── RunLocked           6   another process trains in this run

The number is the exit code of the command that meets the error. Every other exception is a fault of cualex
itself and keeps its traceback.
"""

# Line breaks, and codes that a terminal obeys.
_CONTROL = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


class CualexError(Exception):
    """Say in one line what is wrong and what to do about it."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the line; what the name of a file or class may hold and a line may not is written out."""
        return super().__str__().translate(_CONTROL)


class DataError(CualexError):
    """Report a data set that cannot be used as it is."""


class ImageError(DataError):
    """Report an image that cannot be read: its name, and why."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


PictureError = ImageError  # its name in cualex 0.1


class WeightsError(CualexError):
    """Report a weights file that is damaged or belongs to another network."""


class DeviceError(CualexError):
    """Report a device that was asked for and is not there."""


class OutputError(CualexError):
    """Report a file or directory that cannot be written."""


class UsageError(CualexError):
    """Report an argument that cannot be."""

    exit_code = 2


class Unreadable(CualexError):
    """Report that the work is done but for inputs that could not be read."""

    exit_code = 3


class Diverged(CualexError):
    """Report that the loss or the weights are no longer finite."""

    exit_code = 4


class OutOfMemory(CualexError):
    """Report that the device has too little memory for what was asked."""

    exit_code = 5


class RunLocked(CualexError):
    """Report that another process trains in a run."""

    exit_code = 6
