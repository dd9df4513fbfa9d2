"""Errors that the user can fix: one line that says what, expected and got, and the way out.

    CualexError             1
    ├── DataError           1   a data set: missing, empty, an unknown class
    │   └── ImageError      1   an image that cannot be read
    ├── WeightsError        1   a weights file: damaged, or of another network
    │   └── ForeignWeights  1   no weights file of cualex, and perhaps one of another program
    ├── DeviceError         1   a device that does not exist or cannot be used: busy, too old, no driver
    │   ├── NoGpu           1   there is no GPU, or no CuPy to use it with
    │   └── DeviceLost      7   a GPU that failed while it computed; a training resumes from its last checkpoint
    ├── OutputError         1   a path that cannot be written: disk full, permission denied
    ├── KernelError         1   a kernel of the user's that cannot be compiled or emulated
    ├── UsageError          2   an invalid argument
    ├── Unreadable          3   finished, but some inputs could not be read; the results are written
    ├── Diverged            4   the loss or the weights are not finite (NaN or Inf)
    ├── OutOfMemory         5   the device has too little memory for this batch size
    ├── RunLocked           6   another process is training in this run
    ├── RanksDiffer         1   ranks that do not train the same network on the same images
    └── RankLost            7   a rank that does not answer; a training resumes from its last checkpoint

The number is the exit code of the command that meets the error. Any other exception is a bug of cualex and keeps its
traceback.
"""

# Line breaks, and codes that a terminal obeys.
_CONTROL = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def one_line(text: str) -> str:
    """Return a text with line breaks and other control characters escaped: a name of a file or class may hold them."""
    return text.translate(_CONTROL)


class CualexError(Exception):
    """An error that the user can fix, in one line: what is wrong, and what to do."""

    exit_code = 1

    def __init__(self, what: str = "", way_out: str = "") -> None:
        """Join what is wrong and what to do; `what` is kept for those who have another way out."""
        super().__init__(f"{what} {way_out}".rstrip())
        self.what = what

    def __str__(self) -> str:
        """Return the line, with control characters (of file or class names) escaped."""
        return one_line(super().__str__())


class DataError(CualexError):
    """A data set that cannot be used as it is."""


class ImageError(DataError):
    """An image that cannot be read: its name, and the reason."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


PictureError = ImageError  # its name in cualex 0.1


class WeightsError(CualexError):
    """A weights file that is damaged or of another network."""


class ForeignWeights(WeightsError):
    """A file that is no weights file of cualex; it may be one of another program, which `cualex import` reads."""


class DeviceError(CualexError):
    """A device that does not exist or cannot be used."""


class NoGpu(DeviceError):
    """A machine without a GPU, without a driver, or without CuPy."""


class DeviceLost(DeviceError):
    """A GPU that failed while it computed: this process can use none any more."""

    exit_code = 7


class OutputError(CualexError):
    """A file or directory that cannot be written."""


class KernelError(CualexError):
    """A kernel of the user's that cannot be compiled or emulated; `details` are all that the compiler says."""

    def __init__(self, what: str = "", way_out: str = "", details: str = ""):
        super().__init__(what, way_out)
        self.details = details


class UsageError(CualexError):
    """An invalid argument."""

    exit_code = 2


class Unreadable(CualexError):
    """Work that is finished, except for inputs that could not be read."""

    exit_code = 3


class Diverged(CualexError):
    """A loss or weights that are not finite (NaN or Inf)."""

    exit_code = 4


class OutOfMemory(CualexError):
    """A device with too little memory for what was asked."""

    exit_code = 5


class RunLocked(CualexError):
    """A run in which another process is training."""

    exit_code = 6


class RanksDiffer(CualexError):
    """Ranks that have other versions, recipes, images or weights than rank 0."""


class RankLost(CualexError):
    """A rank that is gone or stuck."""

    exit_code = 7


class GpuNotUsed(UserWarning):
    """The warning that --device auto computes on the CPU though there is a GPU; its text says why."""
