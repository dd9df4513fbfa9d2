"""`cualex emulate`: run a CUDA kernel of one's own on the CPU, and see what is wrong with it, by line."""

from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output

SHOWN = 10  # values of an array on the screen
EXTENT = "X[,Y[,Z]]"


class Extent(click.ParamType):
    """One to three numbers, as 64 or 16,16."""

    name = "extent"

    def convert(self, value, param, ctx):
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(size) for size in value.replace("x", ",").split(","))
        except ValueError:
            self.fail(f"{value!r} is not one to three numbers, as 64 or 16,16.", param, ctx)


@click.command(cls=_aliases.Command)
@click.argument("file", type=_options.FILE)
@click.option(
    "--kernel", metavar="NAME", help="Kernel of the file; of a template with its arguments: 'sum<float, 64>'."
)
@click.option("--grid", type=Extent(), default="1", show_default=True, metavar=EXTENT, help="Blocks of the launch.")
@click.option("--block", type=Extent(), default="32", show_default=True, metavar=EXTENT, help="Threads of a block.")
@click.option(
    "--args",
    "arguments",
    default="",
    metavar="LIST",
    help="Arguments of the kernel, with commas between: numbers; zeros(N), ones, full(V, N), arange, empty, "
    "random(N, seed=1), randint(LOW, HIGH, N); FILE.npy; null.",
)
@click.option("--shared", type=click.IntRange(0), default=0, metavar="BYTES", help="Bytes for extern __shared__.")
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME[=VALUE]", help="Define a macro; repeatable.")
@click.option(
    "--schedule",
    default="ascending",
    show_default=True,
    metavar="ORDER",
    help="Order of threads and blocks: ascending, descending, or a random seed.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=50_000_000,
    show_default=True,
    help="Stop after so many steps of all threads (a step is code without a branch), as an endless loop.",
)
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="DIR",
    help="Write the arrays that the kernel may write as DIR/NAME.npy.",
)
@_options.as_json
def emulate(file, kernel, grid, block, arguments, shared, defines, schedule, steps, output, as_json):
    """Run your CUDA kernel on the CPU, with faults by line.

    FILE is a .cu as nvcc takes it: kernels, __device__ functions, templates; what is the host's, such as main, is left
    out. No GPU is needed, but Linux and g++. Threads run one after the other, each until it waits, and every access to
    memory is watched. Reported by line: races, also those that do no harm here; accesses out of bounds and misaligned;
    reads of what nobody has written; barriers that not all threads of a block reach; endless loops. Then what the
    requests of each warp cost: wavefronts in shared memory (more than one at best: a bank conflict), and sectors of 32
    bytes in global memory. Registers, caches and time are not emulated.

    Types of arrays are the kernel's. Results are printed, or written with -o. Exit code 1: the kernel has a fault.
    Begin with `cualex help kernels`.

    \b
    Examples:
        cualex emulate sum.cu --grid 2 --block 64 --args 'arange(128), zeros(2)'
        cualex emulate tile.cu --kernel 'transpose<32>' --block 32,8 --args 'random(32, 32), zeros(32, 32), 32'
        cualex emulate sum.cu --block 64 --shared 256 --args 'x.npy, zeros(1)' -o results --json
    """
    import contextlib

    from cualex import emulator
    from cualex.emulator import arguments as descriptions
    from cualex.errors import KernelError
    from cualex.system import files

    with contextlib.suppress(ValueError):
        schedule = int(schedule)
    given = descriptions.split(arguments)
    macros = {name: value if sign else "1" for name, sign, value in (each.partition("=") for each in defines)}
    options = {"kernel": kernel, "grid": grid, "block": block, "shared": shared, "defines": macros}
    try:
        report = emulator.run(file, *given, **options, schedule=schedule, steps=steps)
    except KernelError as error:
        for line in error.details.splitlines():
            _output.say(line)
        raise
    written = {}
    if output is not None:
        files.make_directory(output)
        written = {name: _write(output / f"{name}.npy", report.arrays[name]) for name in report.written}
    if as_json:
        _output.document({"file": str(file), **report.document(), "output": written})
    else:
        _show(report, written)
    if report.findings:
        raise click.exceptions.Exit(1)


def _write(path: Path, array) -> str:
    import numpy as np

    from cualex.errors import OutputError

    try:
        np.save(path, array)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another -o.") from None
    return str(path)


def _show(report, written: dict) -> None:
    """Print faults with their lines of code, the costs by line, what the kernel printed, and its arrays."""
    if report.printed:
        click.echo(report.printed, nl=not report.printed.endswith("\n"))
    for each in report.findings:
        times = f", {each.count:,} times" if each.count > 1 else ""
        first = "" if each.block is None else f" (block {_index(each.block)}, thread {_index(each.thread)}{times})"
        _output.echo(f"{each}{first}")
        if each.source:
            click.echo(f"    {each.line} | {each.source}")
    if report.findings:
        _output.echo()
    if report.requests:
        dear = any(each.note for each in report.requests)
        _output.table([{**_row(each, report), **({"": each.note} if dear else {})} for each in report.requests])
        _output.echo()
    for name in report.written:
        shown = f"{name}: {written[name]}" if name in written else f"{name} = {_values(report.arrays[name])}"
        _output.echo(shown)
    faults = f"{len(report.findings):,} {'fault' if len(report.findings) == 1 else 'faults'}"
    conflicts = f"{len(report.conflicts):,} {'line' if len(report.conflicts) == 1 else 'lines'} with bank conflicts"
    ended = "" if report.complete else "; the kernel did not come to its end"
    _output.echo(f"{faults}, {conflicts}{ended}.")


def _row(each, report) -> dict:
    """Return a line of the table of costs, a request of a warp on average."""
    place = f"{each.file}:{each.line}" if len({one.file for one in report.requests}) > 1 else str(each.line)
    unit = "wavefronts" if each.memory == "shared" else "sectors"
    mean = each.cost / each.requests
    return {
        "line": place,
        "memory": each.memory,
        "access": each.access,
        "requests": each.requests,
        "per request": f"{mean:.4g} {unit if mean != 1 else unit[:-1]}",
        "at best": f"{each.ideal / each.requests:.4g}",
    }


def _index(index: tuple[int, int, int]) -> str:
    """Return an index without the dimensions that are not used."""
    kept = 3 if index[2] else 2 if index[1] else 1
    return ",".join(map(str, index[:kept]))


def _values(array) -> str:
    """Return some values of an array in a line."""
    shown = " ".join(
        f"{value:.6g}" if array.dtype.kind == "f" else str(value) for value in array.ravel()[:SHOWN].tolist()
    )
    return f"{shown} ... ({array.size:,} values)" if array.size > SHOWN else shown
