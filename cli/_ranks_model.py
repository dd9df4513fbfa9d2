"""`cualex summary --ranks`: what ranks would send in an update, and how long it would take."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cualex.cli import _options, _output

if TYPE_CHECKING:
    from cualex.networks import Network
    from cualex.ranks.model import Estimate, Link, Machines

IMAGES = 128  # of a rank, where no batch size is given
TRAINING = 95, 1_281_167  # epochs and images of ImageNet


class Numbers(click.ParamType):
    """Numbers above 0, separated by commas; `names` says which."""

    def __init__(self, names: str, whole: bool = False, count: int | None = None) -> None:
        self.name, self.names, self._kind, self._count = "numbers", names, int if whole else float, count

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | float, ...]:
        """Return the numbers of a text."""
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(self._kind(part) for part in str(value).split(","))
        except ValueError:
            found = ()
        if not found or not all(0 < each < 1e9 for each in found) or self._count not in (None, len(found)):
            self.fail(f"{value!r}: expected {self.names}", param, ctx)
        return found


def options(command):
    """Add the options of the model to a command."""
    for option in reversed(
        (
            click.option(
                "--ranks",
                type=Numbers("numbers of ranks of at least 1, as 8,64", whole=True),
                metavar="N,...",
                help="Print what N ranks send in an update, with the gradients summed and with the dense layers split; "
                "with --link and --compute the estimated time, too. Then -b is the whole batch; without it, "
                f"{IMAGES} images a rank.",
            ),
            click.option(
                "--link",
                "links",
                type=Numbers("GB/s and microseconds, as 1.1,60", count=2),
                multiple=True,
                metavar="RATE,LATENCY",
                help="Link of --ranks: GB/s that leave a rank, and microseconds. Given twice, the link within a "
                "machine and that between machines.",
            ),
            click.option(
                "--per-machine",
                type=click.IntRange(1),
                default=8,
                show_default=True,
                metavar="N",
                help="Ranks of a machine, where --link is given twice.",
            ),
            click.option(
                "--compute",
                type=_options.Number(0, min_open=True),
                metavar="MS",
                help="Milliseconds that a rank of --ranks takes for a training step on its images alone, as `cualex "
                "benchmark` measures it.",
            ),
            click.option(
                "--memory-rate",
                type=_options.Number(0, min_open=True),
                metavar="GB/S",
                help="GB/s of a device's memory for --ranks: counts dense gradients that are no longer fused with "
                "their update, and dense weights that a rank no longer has.",
            ),
        )
    ):
        command = option(command)
    return command


def show(
    network: Network,
    ranks: tuple[int, ...],
    batch: int | None,
    links: tuple[tuple[float, float], ...],
    per_machine: int,
    compute: float | None,
    memory_rate: float | None,
    halved: bool,
    as_json: bool,
) -> None:
    """Print the model for each number of ranks. batch: the whole one, or None. halved: bfloat16 maps."""
    from cualex.benchmark.scaling import sizes
    from cualex.errors import UsageError
    from cualex.ranks import model

    if len(links) > 2:
        raise UsageError(f"--link is given {len(links)} times: give that within a machine and that between machines")
    near, far = [model.Link(rate * 1e9, latency * 1e-6) for rate, latency in links] + [None] * (2 - len(links))
    timed = None if near is None or compute is None else compute / 1e3
    on = model.Machines(
        near or model.Link(1e9, 0.0), far, per_machine, timed, memory_rate and memory_rate * 1e9, halved
    )
    made = []
    for count in ranks:
        if batch is not None and batch % count:
            raise UsageError(f"batch size {batch} cannot be dealt to {count} ranks: give a multiple of {count} as -b")
        try:
            made.append(model.estimate(sizes(network), count, batch // count if batch else IMAGES, on))
        except ValueError as error:
            raise UsageError(f"--ranks {count}: {error}; give a multiple of --per-machine") from None
    if as_json:
        _output.document(_document(network, made, on, near, far))
        return
    _output.table([_cells(each) for each in made])
    for line in _assumptions(near, compute, on, made):
        click.echo(line)


def _cells(each: Estimate) -> dict[str, str | int]:
    cells: dict[str, str | int] = {"ranks": each.ranks, "images a rank": each.images, "batch": each.ranks * each.images}
    for name, update in (("sum", each.sum), ("split", each.split)):
        cells[f"{name}, MB"] = f"{update.bytes / 1e6:.1f}"
        if update.seconds is not None:
            cells[f"{name}, ms"] = f"{update.seconds * 1e3:.3g}"
    fastest = _fastest(each)
    if fastest is not None:
        epochs, images = TRAINING
        cells["images/s"] = f"{each.ranks * each.images / fastest:,.0f}"
        cells[f"{epochs} epochs"] = _output.duration(epochs * images * fastest / (each.ranks * each.images))
    return cells


def _fastest(each: Estimate) -> float | None:
    found = [update.seconds for update in (each.sum, each.split) if update.seconds is not None]
    return min(found) if found else None


def _assumptions(near: Link | None, compute: float | None, on: Machines, made: list[Estimate]) -> list[str]:
    """Return what the table assumes, in sentences."""
    from cualex.ranks.model import HIDDEN

    maps = "bfloat16" if on.halved else "float32"
    groups = ", ".join(f"{each.group} of {each.ranks}" for each in made)
    said = [
        "",
        f"MB that leave a rank in an update; gradients are float32, maps {maps}. sum: all gradients, by all-to-all and "
        f"all-gather. split: dense layers in groups of ranks ({groups}), the other gradients as sum.",
    ]
    if on.compute is None:
        missing = [name for name, value in (("--link", near), ("--compute", compute)) if value is None]
        return [*said, f"No times: give {' and '.join(missing)}."]
    assert near is not None
    links = f"{near.rate / 1e9:g} GB/s and {near.latency * 1e6:g} us"
    if on.far:
        links += (
            f" within machines of {on.per_machine}, {on.far.rate / 1e9:g} GB/s and {on.far.latency * 1e6:g} us between"
        )
    memory = "memory traffic is not counted" if on.memory is None else f"memory at {on.memory / 1e9:g} GB/s"
    return [
        *said,
        f"An estimate, not measured: {on.compute * 1e3:g} ms of computing a rank, of which {HIDDEN:.0%}, the "
        f"convolutions' backward pass, hide sums; {links}; {memory}. Reading images is not counted; "
        f"{TRAINING[0]} epochs are of {TRAINING[1]:,} images.",
    ]


def _document(
    network: Network, made: list[Estimate], on: Machines, near: Link | None, far: Link | None
) -> dict[str, object]:
    from cualex.ranks.model import HIDDEN

    return {
        "network": network.name,
        "arguments": network.arguments,
        "ranks": [asdict(each) for each in made],
        "assumptions": {
            "links": [{"bytes_per_s": each.rate, "latency_s": each.latency} for each in (near, far) if each],
            "ranks_per_machine": on.per_machine if far else None,
            "compute_s": on.compute,
            "memory_bytes_per_s": on.memory,
            "hidden": HIDDEN,
            "bfloat16_maps": on.halved,
        },
    }
