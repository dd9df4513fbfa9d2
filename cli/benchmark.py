"""`cualex benchmark`: images per second, beside the machine's matmul rate and beside PyTorch."""

import contextlib
import shlex

import click

from cualex.cli import _aliases, _options, _output, _ranks

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
@_ranks.ranks
@_ranks.peer_timeout
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

    Several ranks measure a training step alone: rank 0 with its share of the batch while the others sleep, one process
    on all of their cores, and all ranks together, with the time that sums leave a rank waiting and the bytes that it
    sends. The model of `cualex summary --ranks` predicts the step before.

    \b
    Examples:
        cualex benchmark
        cualex benchmark --ranks 2 --batch-size 128
        cualex benchmark --against torch
        cualex benchmark --against torch --batch-size 128 --json
    """
    from cualex import networks
    from cualex.benchmark import rounds as benchmarks
    from cualex.benchmark.results import Result
    from cualex.errors import UsageError

    command: list[object] = ["--network", network, "--batch-size", batch_size, "--rounds", rounds, "--device", device]
    extra = ["--against", against, "--allocator", allocator] if against else []
    extra += ["--precision", precision] if precision else []
    words = ["cualex", "benchmark", *map(str, command), *extra]
    if (ranks := _ranks.team()).size > 1:
        if against or precision:
            raise UsageError(f"{'--against' if against else '--precision'} is for one process: leave it or --ranks out")
        _together(ranks, networks.named(network), batch_size, rounds, device, [*words, *_ranks.words(ranks)], as_json)
        return
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


def _together(ranks, network, batch: int, rounds: int, device: str, words: list[str], as_json: bool) -> None:
    """Measure a step of several ranks, of which rank 0 prints."""
    from cualex.benchmark import scaling
    from cualex.ranks.model import Update

    records = scaling.benchmark(ranks, network, batch, rounds, device)
    with contextlib.closing(records):
        for record in records:
            if isinstance(record, Update):
                _output.say(f"Predicted: {1e3 * (record.seconds or 0):.4g} ms a step of {ranks.size} ranks")
            elif isinstance(record, scaling.Round):
                _output.say(f"Round {record.number} of {rounds}: {record.milliseconds:.4g} ms a step")
            else:
                document = record
    document["conditions"]["command"] = shlex.join(words)
    if not ranks.first:
        return
    if as_json:
        _output.document(document)
    else:
        _show_together(document)


def _show_together(document: dict) -> None:
    """Print the figures of several ranks."""
    count, batch, took = document["ranks"], document["batch_size"], document["milliseconds"]
    sides = [(f"rank 0 alone, {batch // count} images", document["alone_milliseconds"], batch / count, "efficiency")]
    if document["one_process_milliseconds"]:
        one = document["one_process_milliseconds"]
        sides.append((f"one process of all cores, {batch} images", one, batch, "efficiency_of_one_process"))
    rows = [
        {
            "median of the rounds": what,
            "ms a step": f"{each:.1f}",
            "images/s": f"{1e3 * images / each:.1f}",
            f"{count} ranks beside it": f"{document[key]:.0%}",
        }
        for what, each, images, key in sides
    ]
    together = {"median of the rounds": f"{count} ranks, {batch} images", "ms a step": f"{took:.1f}"}
    rows.append({**together, "images/s": f"{document['images_per_s']:.1f}", f"{count} ranks beside it": ""})
    _output.table(rows)
    predicted, exposed = document["predicted"], document["exposed_milliseconds"]
    _output.echo(
        f"\nPredicted: {predicted['milliseconds']:.1f} ms, from {predicted['alone_milliseconds']:.1f} ms alone, "
        f"{predicted['bytes_per_s'] / 1e6:,.0f} MB/s from each rank and {predicted['latency_s'] * 1e6:,.0f} us.\n"
        f"Exposed: a rank waits for losses and sums {exposed['least']:.1f} ms (the last to come) to "
        f"{exposed['most']:.1f} ms a step.\n"
        f"Sent: {document['bytes'] / 1e6:.2f} MB from each rank in an update; the formula says "
        f"{document['formula_bytes'] / 1e6:.2f}.\n"
        f"{_losses({**document, 'torch_loss_before': None})}\n{_output.machine(document['conditions'])} "
        "Cores are of rank 0."
    )
    _output.echo(f"Command: {document['conditions']['command']}")


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
