"""`cualex summary`: a network, or the memory of one of its steps, as a table."""

from dataclasses import asdict

import click
from click.core import ParameterSource

from cualex.cli import _aliases, _inputs, _model, _options, _output, _ranks_model
from cualex.training.options import OPTIMIZERS

LISTED = 10  # classes of a weights file that are printed; --json has all


@click.command(cls=_aliases.Command)
@click.argument("network", default="alexnet")
@_options.classes
@_options.crop
@_options.variant
@click.option(
    "--against",
    metavar="NETWORK",
    help="Print the differences from this network instead of the layers.",
)
@click.option("--memory", is_flag=True, help="Print the buffers of one step and its memory instead of the layers.")
@_options.batch_size(128)
@click.option(
    "--mode",
    type=click.Choice(["train", "infer"]),
    default="train",
    show_default=True,
    help="Step that --memory measures: training or inference.",
)
@click.option(
    "--optimizer",
    type=click.Choice(OPTIMIZERS),
    default=OPTIMIZERS[0],
    show_default=True,
    help="Optimizer of the training step that --memory measures.",
)
@_ranks_model.options
@_options.device
@_options.precision
@_options.as_json
def summary(
    network: str,
    classes: int | None,
    crop: int | None,
    variant: tuple[str, ...],
    against: str | None,
    memory: bool,
    batch_size: int,
    mode: str,
    optimizer: str,
    ranks: tuple[int, ...] | None,
    links: tuple[tuple[float, float], ...],
    per_machine: int,
    compute: float | None,
    memory_rate: float | None,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Print a network's layers, parameters and multiply-adds.

    NETWORK is an architecture, alexnet by default (`cualex help networks` lists them), a weights file, or a run
    directory. All figures are of both towers, the halves of the network that two GPUs held: output 96x55x55 is 2 x 48
    channels (in JSON `output` and `neurons` are of one tower). Multiply-adds are of one image; neurons are counted as
    in the paper: outputs of convolutional and dense layers, without the input. Narrow terminals omit columns, --json
    has all.
    --device cuda:0,cuda:1 adds which device computes a layer. --against alexnet-2012 prints where the paper and its
    code disagree. `cualex profile` has the operations and bytes of a training step, and its time.

    \b
    Examples:
        cualex summary
        cualex summary alexnet --classes 10 --crop 131
        cualex summary alexnet --device cuda:0,cuda:1
        cualex summary alexnet --memory --batch-size 128
        cualex summary alexnet --memory --optimizer lars
        cualex summary alexnet --against alexnet-2012
        cualex summary alexnet --variant norm=none --against alexnet
        cualex summary --ranks 2,8 --link 1.1,60 --compute 2977
        cualex summary --ranks 64,512 --link 370,20 --link 48,46 --compute 1.3 --memory-rate 4300
        cualex summary runs/train
        cualex summary cifar-relu --json
    """
    built, weights, names = _built(network, variant, classes=classes, crop=crop)
    if against:
        if memory or crop:
            raise click.UsageError(
                f"--against compares layers, without {'--memory' if memory else '--crop'}: leave one of them out."
            )
        other, *_ = _built(against, classes=None if _model.weights_named(against, {}) else classes)
        _differences(built, other, [" ".join((network, *variant)), against], as_json)
    elif ranks:
        if memory:
            raise click.UsageError("--ranks and --memory print different tables: leave one of them out.")
        given = click.get_current_context().get_parameter_source("batch_size") is not ParameterSource.DEFAULT
        batch = batch_size if given else None
        _ranks_model.show(built, ranks, batch, links, per_machine, compute, memory_rate, precision == "bf16", as_json)
    elif links or compute or memory_rate:
        raise click.UsageError("--link, --compute and --memory-rate belong to --ranks: add it, as --ranks 8.")
    elif memory:
        _memory(built, batch_size, mode, optimizer, device, precision, as_json)
    else:
        _layers(built, None if device == "auto" else device, as_json, weights, names)


def _built(name: str, variant: tuple[str, ...] = (), classes: int | None = None, crop: int | None = None) -> tuple:
    """Return the network of that name, or of a weights file with its path and its classes."""
    from cualex import networks, weights

    given = {"classes": classes, "crop": crop}
    path = _model.weights_named(name, given, variant)
    if path is None:
        return networks.named(name, variant, **given), None, None
    described = weights.describe(path)
    return described.network, path, described.classes


def _layers(network, device: str | None, as_json: bool, weights, classes: list[str] | None) -> None:
    from cualex.devices.placement import placement
    from cualex.networks.summary import summary
    from cualex.system.amounts import some

    found = summary(network)
    rows, cells = [asdict(row) for row in found.rows], found.cells()
    if device:
        placed = placement(device, network.towers)
        for row, record in zip(found.rows, rows, strict=True):
            record["devices"] = placed.of(row.towers)
        cells = [
            {"layer": cell["layer"], "device": " ".join(placed.of(row.towers)), **cell} for row, cell in found.table()
        ]
    if as_json:
        head = {"network": network.name, "arguments": network.arguments}
        head |= {"weights": weights, "classes": classes} if weights else {}
        _output.document(head | {"layers": rows, "totals": asdict(found.totals)})
        return
    _output.table(cells, found.total_cells(), ("crosses", "neurons", "towers"))
    click.echo("\n" + "\n".join(found.remarks()))
    if classes:
        shown = some([_inputs.title(name) for name in classes], LISTED)
        click.echo(f"Weights: {weights}; {network.name}, {len(classes):,} classes: {shown}")


def _differences(network, other, names: list[str], as_json: bool) -> None:
    from cualex.networks.differences import compare

    found, both = compare(network, other), (network, other)
    if as_json:
        said = {"networks": names, "differences": [asdict(each) for each in found]}
        _output.document(said | {"remarks": {name: each.remarks for name, each in zip(names, both, strict=True)}})
        return
    if not found:
        click.echo(f"{names[0]} and {names[1]} do not differ.")
    else:
        _output.table(
            [
                {
                    "where": each.where,
                    "what": each.what,
                    names[0]: each.first or "-",
                    names[1]: each.second or "-",
                }
                for each in found
            ]
        )
    told: dict[str, list[str]] = {}
    for name, each in zip(names, both, strict=True):
        for remark in each.remarks:
            told.setdefault(remark, []).append(name)
    for remark, whose in told.items():
        click.echo(f"\n{' and '.join(dict.fromkeys(whose))}: {remark}")


def _memory(network, batch: int, mode: str, optimizer: str, device: str, precision: str | None, as_json: bool) -> None:
    from cualex.plan.memory import measure

    memory = measure(network, batch, mode, device, precision, optimizer)
    if as_json:
        head = {"network": network.name, "arguments": network.arguments, "batch_size": batch, "mode": mode}
        head |= {"optimizer": optimizer} if mode == "train" else {}
        _output.document(head | asdict(memory) | {"total": memory.total})
        return
    rows = [
        {
            "buffer": held.name if len(device.split(",")) == 1 else f"{held.name} (device {held.place})",
            "shape": "x".join(map(str, held.shape)),
            "bytes": held.bytes,
            "from": "always" if held.lasting else held.first,
            "to": "" if held.lasting else held.last,
        }
        for held in memory.buffers
    ]
    _output.table(rows)
    averages = {"momentum": "momentum buffers", "adam": "moments", "lars": "momentum buffers"}[optimizer]
    kept = f", {memory.gradients:,} of them gradients, which {optimizer} needs whole" if memory.gradients else ""
    click.echo(f"""
{memory.shared:>13,} bytes of buffers, which share memory; without sharing {memory.side_by_side:,}{kept}
{memory.parameters:>13,} bytes of parameters{f" and {averages}" if mode == "train" else ""}
{memory.work:>13,} bytes of workspace
{memory.total:>13,} bytes in all ({_output.size(memory.total)}); plus Python and its libraries""")
