"""`cualex kernels`: what each kernel of a step does, and how long a model says that it takes; without a GPU."""

import click

from cualex.cli import _aliases, _model, _options, _output

NUMBERS = ("blocks", "waves", "registers", "spilled", "shared", "an SM", "occupancy", "loop", "MB", "us")


@click.command(cls=_aliases.Command)
@click.argument("network", default="alexnet")
@click.option(
    "--arch", type=int, default=90, show_default=True, metavar="NUMBER", help="Compute capability: 90 for sm_90."
)
@_options.batch_size(128)
@click.option(
    "--mode",
    type=click.Choice(["train", "infer"]),
    default="train",
    show_default=True,
    help="Step to look at: training (forward, backward, update) or inference.",
)
@click.option("--predict", "mode", flag_value="infer", help="The same as --mode infer.")
@_options.classes
@_options.crop
@_options.variant
@click.option(
    "--device",
    default="cuda:0",
    show_default=True,
    metavar="DEVICE",
    help="Placement of the towers, the halves of the network: cuda:0; or cuda:0,cuda:1, a GPU each. No GPU is used.",
)
@_options.precision
@click.option(
    "--sass",
    metavar="KERNEL",
    help="Print the machine code of this kernel, such as conv2:conv_forward (layer:kernel), instead of the table.",
)
@click.option("--ptx", metavar="KERNEL", help="Print the PTX of this kernel instead of the table.")
@_options.as_json
def kernels(network, arch, batch_size, mode, classes, crop, variant, device, precision, sass, ptx, as_json):
    """Count what GPU kernels do; model their time; need no GPU.

    NETWORK is an architecture, a weights file, or a run directory. The kernels of a training step, or with --predict
    of inference, are compiled and disassembled. For each launch: its kernel, with the tile of output rows x columns
    that a block computes, and /N where N blocks share its depth (split-K, whose parts sum_splits adds); blocks;
    waves: blocks over those that all SMs (multiprocessors) hold at once; registers of a thread, and bytes of them
    spilled; shared memory in bytes; blocks on an SM, and occupancy, their share of its warps; loop: of the
    instructions in a step of the main loop, those that multiply / all; megabytes read and written; microseconds of a
    model, and what limits them: tensor cores, issue (of instructions), shared memory, L2, memory, latency (of a block
    from load to store) or launch. Steps of layers that read the maps of both come once for each; dense weights are
    updated by their gradient's kernel. The model is of an H200 (sm_90); other architectures have counts alone. What
    it assumes is printed. --json has the instructions by kind, and the time of each resource alone. `cualex profile
    --against-model` compares it with a GPU.

    Needs compiler and disassembler: pip install 'cualex[kernels]'.

    \b
    Examples:
        cualex kernels
        cualex kernels alexnet --arch 90 -b 128 --precision bf16
        cualex kernels --predict -b 1 --json
        cualex kernels --sass conv2:conv_forward
        cualex kernels lenet5 --arch 80 --ptx softmax
    """
    from cualex.errors import UsageError
    from cualex.kernel_model.planned import Planned

    if sass and ptx:
        raise UsageError("--sass and --ptx print one kernel each: give one of them")
    if as_json and (sass or ptx):
        raise UsageError(f"--json has the table, and {'--sass' if sass else '--ptx'} prints code: give one of them")
    made = _network(network, variant, classes=classes, crop=crop)
    planned = Planned(made, batch_size, mode, precision=precision, architecture=arch, device=device)
    if sass or ptx:
        click.echo(planned.sass(sass) if sass else planned.ptx(ptx))
        return
    table = planned.table(_output.Compiling())
    if as_json:
        _output.document(table.document())
    else:
        _show(table)


def _network(named: str, variant: tuple[str, ...], **given: int | None):
    """Return the network of that name, or of a weights file or a run."""
    from cualex import networks, weights

    path = _model.weights_named(named, given, variant)
    return networks.named(named, variant, **given) if path is None else weights.describe(path).network


def _show(table) -> None:
    """Print the table, its total, and what is assumed."""
    said, seconds = table.conditions, table.seconds
    _output.echo(
        f"{said['network']['name']}, {said['mode']}, batch size {said['batch_size']}, {said['precision']}, "
        f"sm_{said['architecture']}{' (' + said['gpu'] + ')' if said['gpu'] else ''}, {said['device']}."
    )
    _output.echo()
    total = {"step": "total", "us": "" if seconds is None else f"{1e6 * seconds:.0f}", "MB": f"{table.bytes / 1e6:.0f}"}
    spare = ("spilled", "shared", "occupancy", "blocks", "registers", "an SM", "MB", "waves")
    _output.table([_cells(row) for row in table.rows], total, spare, NUMBERS)
    _output.echo(f"\nLaunches: {len(table.rows)}. Registers spilled: {table.spilled or 'none'}.")
    if seconds is not None:
        _output.echo(f"Modelled: {1000 * seconds:.3g} ms, {said['batch_size'] / seconds:,.0f} images/s.")
    _output.echo("\nAssumed\n" + "\n".join(f"  {each}" for each in table.assumptions))


def _cells(row) -> dict:
    """Return a row of the table."""
    found, modelled = row.counts, row.estimate
    tensor = found.main.get("tensor", 0) or found.main.get("float32", 0)
    return {
        "step": row.step.name,
        "kernel": row.launched,
        "blocks": f"{found.blocks:,}",
        "waves": "" if row.waves is None else f"{row.waves:.2f}",
        "registers": str(row.sass.registers),
        "spilled": str(row.sass.spilled or ""),
        "shared": f"{row.launch.shared:,}" if row.launch.shared else "",
        "an SM": str(found.resident),
        "occupancy": f"{row.occupancy:.0%}",
        "loop": f"{tensor}/{sum(found.main.values())}" if found.main else "",
        "MB": f"{found.bytes / 1e6:.1f}",
        "us": "" if modelled is None else f"{1e6 * modelled.seconds:.1f}",
        "limited by": "" if modelled is None else modelled.limit,
    }
