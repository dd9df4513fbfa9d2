"""The dimensions of a convolution or dense layer, from its arrays."""

from dataclasses import dataclass
from math import prod

from cualex.errors import UsageError

LARGEST = 2**31 - 1  # offsets within an array are 32 bits in the kernels


@dataclass(frozen=True)
class Shape:
    """The dimensions of a convolution as the kernels name them; `sources`: how many maps one tower reads."""

    batch: int
    rows: int
    columns: int
    channels: int
    sources: int
    reads_all: int
    out_rows: int
    out_columns: int
    filters: int
    towers: int
    groups: int
    filter_size: int
    stride: int
    pad: int

    @classmethod
    def of(cls, x, y, shared, groups=1, *, size=1, stride=1, pad=0) -> "Shape":
        """Return the dimensions of the arrays; maps of a dense layer have one pixel."""
        batch, *maps, channels = x[0].shape
        towers, _, *out, filters = y.shape
        if max(prod(x[0].shape), prod(y.shape)) > LARGEST:
            raise UsageError(f"batch size {batch} overflows the kernels' 32-bit offsets; use a smaller one")
        rows, columns = maps or (1, 1)
        out_rows, out_columns = out or (1, 1)
        sources = len(x) if shared else 1
        return cls(
            batch, rows, columns, channels, sources, int(shared),
            out_rows, out_columns, filters, towers, groups, size, stride, pad,
        )  # fmt: skip

    @property
    def pixels(self) -> int:
        """Return the pixels of one tower's output."""
        return self.batch * self.out_rows * self.out_columns

    @property
    def read(self) -> int:
        """Return the channels that a group reads of one source."""
        return self.channels // self.groups

    @property
    def made(self) -> int:
        """Return the filters of a group."""
        return self.filters // self.groups

    @property
    def window(self) -> int:
        """Return the values of a window: the summands of one output value."""
        return self.sources * self.filter_size**2 * self.read

    def constants(self, without: str = "") -> dict[str, int]:
        """Return the constants by their names in the kernels."""
        return {name.upper(): value for name, value in vars(self).items() if name != without}
