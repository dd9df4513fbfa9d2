"""`cualex benchmark`: images per second, beside the machine's matmul rate and beside PyTorch."""

import contextlib
import shlex

import click

from cualex.cli import _aliases, _options, _output

PARTS = {"train": "training", "infer": "inference", "infer_batch_1": "one image"}


@click.command(cls=_aliases.Command)
@_options.network
@_options.batch_size(32)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Rounds to measure, of which the median is printed.",
)
@click.option("--against", type=click.Choice(["torch"]), help="Measure PyTorch too, if it is installed.")
@click.option(
    "--allocator",
    type=click.Choice(["tuned", "default"]),
    default="tuned",
    show_default=True,
    help="malloc of the PyTorch process, on the CPU: tuned to keep freed memory, or glibc's, with its page faults.",
)
@_options.device
@_options.precision
@_options.as_json
def benchmark(
    network: str,
    batch_size: int,
    rounds: int,
    against: str | None,
    allocator: str,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Measure images per second and memory.

    Measures training and inference at --batch-size and inference of one image: images/s, and the fraction of the FLOP/s
    of a large matrix multiplication in the same round. Then the peak memory of a training step, in its own process.

    --against torch runs the same network in PyTorch, in a second process: same weights and batch, LRN per tower (half
    of the network), as many threads, the faster memory layout. The two alternate, and the ratio is the median over the
    rounds: at 2 PyTorch takes twice as long. PyTorch without LRN, a different network, is measured too. This takes
    minutes; keep the machine idle.

    \b
    Examples:
        cualex benchmark
        cualex benchmark --against torch
        cualex benchmark --against torch --batch-size 128 --json
    """
    from cualex import networks
    from cualex.benchmark import rounds as benchmarks
    from cualex.benchmark.results import Result

    command: list[object] = ["--network", network, "--batch-size", batch_size, "--rounds", rounds, "--device", device]
    extra = ["--against", against, "--allocator", allocator] if against else []
    extra += ["--precision", precision] if precision else []
    words = ["cualex", "benchmark", *map(str, command), *extra]
    records = benchmarks.benchmark(
        networks.named(network),
        batch_size,
        rounds,
        device,
        against,
        allocator == "tuned",
        precision=precision,
    )
    with contextlib.closing(records):
        for record in records:
            if isinstance(record, Result):
                document = record.document()
            else:
                _output.say(_line(record, rounds))
    document["conditions"]["command"] = shlex.join(words)
    if as_json:
        _output.document(document)
    else:
        _show(document)


def _line(played, rounds: int) -> str:
    """Return a round as a line of progress."""
    said = f"{PARTS[played.part.name]}, round {played.number} of {rounds}: {played.images_per_s:.3g} images/s"
    if played.ratio:
        said += f"; PyTorch {played.torch_images_per_s:.3g}, ratio {played.ratio:.2f}"
    return said


ROWS = {
    "batch size": ("batch_size", "{}"),
    "cualex, images/s": ("images_per_s", "{:.1f}"),
    "cualex, ms a step": ("milliseconds", "{:.1f}"),
    "fraction of the matmul rate": ("share_of_product_rate", "{:.0%}"),
    "matmul rate, GFLOP/s": ("product_operations_per_s", "{:.0f}"),
    "PyTorch, images/s": ("torch_images_per_s", "{:.1f}"),
    "PyTorch, ms a step": ("torch_milliseconds", "{:.1f}"),
    "ratio": ("ratio", "{:.2f}"),
    "  lowest to highest": ("ratio_range", "{:.2f}"),
    "PyTorch without LRN, images/s": ("torch_without_lrn_images_per_s", "{:.1f}"),
    "ratio to that": ("ratio_without_lrn", "{:.2f}"),
    "   lowest to highest": ("ratio_without_lrn_range", "{:.2f}"),
}


def _show(document: dict) -> None:
    """Print the figures as a table, then losses, memory and conditions."""
    rows = []
    for label, (key, form) in ROWS.items():
        values = {said: _write(document[part][key], form, key) for part, said in PARTS.items()}
        if any(values.values()):
            rows.append({"median of the rounds": label, **values})
    _output.table(rows)
    said, conditions = document["train"], document["conditions"]
    _output.echo(f"\n{_losses(said)}\n{_memory(document)}\n{_output.machine(conditions)}")
    if conditions["torch"]:
        _output.echo(_torch(conditions["torch"]))
    _output.echo(f"Command: {conditions['command']}")


def _write(value, form: str, key: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " to ".join(form.format(number) for number in value)
    return form.format(value / 1e9 if key == "product_operations_per_s" else value)


def _losses(train: dict) -> str:
    ours = f"Loss of the batch: {train['loss_before']:.6f} at first, {train['loss_after']:.6f}"
    ours += f" after {train['updates']} updates"
    if train["torch_loss_before"] is None:
        return f"{ours}."
    return (
        f"{ours}; PyTorch {train['torch_loss_before']:.6f} and {train['torch_loss_after']:.6f}\n"
        "(same initial weights; the dropout masks differ)."
    )


def _memory(document: dict) -> str:
    peak, planned, interpreter = (document[f"{name}_memory_bytes"] for name in ("peak", "planned", "interpreter"))
    if peak is None or interpreter is None:
        known = "not measured on this system" if peak is None else _output.size(peak)
        return f"Memory of a training step: {known}. The plan needs {_output.size(planned)}."
    over = peak / (planned + interpreter) - 1
    return (
        f"Memory of a training step, in its own process: peak RSS {_output.size(peak)}. The plan needs "
        f"{_output.size(planned)}, Python and its libraries\n{_output.size(interpreter)}: "
        f"the peak is {abs(over):.1%} {'above' if over >= 0 else 'below'} their sum."
    )


def _torch(torch: dict) -> str:
    layouts = "; ".join(
        f"{PARTS[part]}: {', '.join(f'{layout} {which}' for which, layout in chosen.items())}"
        for part, chosen in torch["layouts"].items()
    )
    allocator = " ".join(f"{name}={value}" for name, value in torch["allocator"].items()) or "default"
    return (
        f"PyTorch {torch['version']}, {torch['threads']} threads, eager, SGD(fused=True); {layouts}.\n"
        f"Its allocator: {allocator}"
    )
