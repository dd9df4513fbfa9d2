"""`cualex profile`: where the time of a step goes, layer by layer."""

import contextlib
import shlex
from pathlib import Path

import click

from cualex.cli import _options, _output, _packing


@click.command()
@click.argument("network", default="alexnet")
@click.option(
    "--mode",
    type=click.Choice(["train", "infer"]),
    default="train",
    show_default=True,
    help="Which step: of training, forward and backward, or of inference.",
)
@_options.batch_size(32)
@click.option("--classes", type=click.IntRange(1), help="Number of classes; the network's own if not given.")
@_options.crop
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How often every step is timed, after two times that do not count.",
)
@click.option(
    "--against", type=click.Choice(["torch"]), help="Set PyTorch's time per layer beside, where it is installed."
)
@click.option("--data", metavar="DATA", help="Also measure how long a step waits for pictures of this set.")
@click.option("--trace", type=_options.FILE, metavar="FILE", help="Write a timeline for Chrome or Perfetto (JSON).")
@click.option("--no-pack", is_flag=True, help="Decode the pictures of --data each time instead of packing the set.")
@_options.cache
@_options.workers
@_options.yes
@_options.device
@_options.precision
@_options.as_json
def profile(
    network, mode, batch_size, classes, crop, repeat, against, data, trace, device, precision, as_json, **packing
):
    """Measure a step, layer by layer.

    NETWORK is the name of a network, a weights file, or the directory of a run. The plan's steps run one by one, each
    between two looks at the clock: median and 95th percentile, share of the step, operations and bytes a second, and
    the share of the roofline: of what the device could do at most with as many operations and bytes, measured in
    the same run. dx is the gradient of a layer's maps, dw that of its parameters with their update. The rows
    add up to the serial step; the real step stands below. Leave the machine alone meanwhile.

    With --against torch the same network runs in PyTorch, layer by layer, in a second process.

    \b
    Examples:
        cualex profile
        cualex profile alexnet --mode infer -b 1 --repeat 100
        cualex profile runs/train --data demo --trace step.json
        cualex profile --against torch --json
    """
    from cualex.profiling import profile as profiles
    from cualex.profiling import trace as timeline

    command = [network, "--mode", mode, "--batch-size", batch_size, "--repeat", repeat, "--device", device]
    given = {"--classes": classes, "--crop": crop, "--precision": precision}
    given |= {"--against": against, "--data": data, "--trace": trace}
    command += [word for name, value in given.items() if value is not None for word in (name, value)]
    problem = _problem(network, batch_size, classes, crop)
    pack = _pack(data, problem.network, batch_size, **packing) if data else None
    wanted = {"precision": precision, "against": against, "pack": pack, "data": data}
    records = profiles.profile(problem, mode, device, repeat, **wanted)
    measured = _watch(records, repeat)
    measured.conditions["command"] = shlex.join(map(str, ["cualex", "profile", *command]))
    if trace is not None:
        timeline.write(measured, trace)
        _output.say(f"Timeline: {trace}, for chrome://tracing or ui.perfetto.dev")
    if as_json:
        _output.document(measured.document())
    else:
        _show(measured)


def _problem(named: str, batch: int, classes: int | None, crop: int | None):
    """Make weights and a batch for the network of that name, or take the weights of a file or a run."""
    from dataclasses import replace

    from cualex import networks, weights
    from cualex.benchmark import problem
    from cualex.errors import UsageError

    given = {name: value for name, value in (("classes", classes), ("crop", crop)) if value is not None}
    path = Path(named)
    if named in networks.names() or not (path.exists() or path.suffix == ".safetensors"):
        return problem.make(networks.build(named, **given), batch)
    if given:
        raise UsageError(f"--{next(iter(given))}: {named} says that itself; leave the option out")
    kept = weights.load(path / "best.safetensors" if path.is_dir() else path)
    return replace(problem.make(kept.network, batch), tensors=kept.tensors, mean=kept.mean)


def _pack(data: str, network, batch: int, *, no_pack: bool, cache, workers, yes):
    """Pack the training pictures of a set whose classes the network has room for."""
    from cualex.data import batches, sources
    from cualex.errors import UsageError

    source = sources.find(data)
    if len(source.classes) > network.classes:
        raise UsageError(
            f"--data {data}: {len(source.classes):,} classes, and the network has {network.classes:,}. "
            f"Add --classes {len(source.classes)}, or name another set."
        )
    settings = {"cache": cache, "workers": workers, "yes": yes, "keep": not no_pack}
    pack = _packing.packs(source, ["train"], network.stored, **settings)["train"]
    batches.check_batch(pack, batch)
    return pack


def _watch(records, repeat: int):
    """Show progress until the profile is there, and return it."""
    from cualex.profiling.measuring import Pass

    with contextlib.closing(records), _output.Progress("Profiling", repeat, "passes") as progress:
        for done, record in enumerate(records, 1):
            if isinstance(record, Pass):
                progress(done, f"serial {1000 * record.serial:.4g} ms, real {1000 * record.real:.4g} ms")
    return record


def _show(measured) -> None:
    """Print the table, its sum beside the step, links, data and PyTorch, and the conditions."""
    said, form = measured.conditions, "{:9.2f}" if measured.serial > 0.1 else "{:9.3f}"

    def ms(seconds: float) -> str:
        return form.format(1000 * seconds)

    click.echo(
        f"{said['network']['name']}, {said['mode']}, {said['batch_size']} pictures a step on {said['device']} "
        f"({said['precision']}); {said['repeat']} passes."
    )
    for name, roof in measured.rooflines.items():
        click.echo(
            f"Roofline of {name}: {roof.operations_per_s / 1e9:.4g} GFLOP/s and {roof.bytes_per_s / 1e9:.4g} GB/s, "
            f"measured in this run by\n{roof.measured}."
        )
    click.echo()
    _output.table([_cells(row, ms) for row in measured.rows])
    click.echo("\n" + "\n".join(f"{ms(seconds)} ms  {what}" for seconds, what in _sums(measured)))
    if not measured.attributed:
        click.echo(
            f"The rest is above 3 %; {measured.between / measured.serial:.1%} lies between steps, the other part comes "
            "of medians,\nwhich do not add up on a busy machine: leave it alone, or take more --repeat."
        )
    click.echo(f"\n{_links(measured.rows)}\n{_waiting(measured.waiting)}")
    if measured.torch:
        _against(measured, ms)
    load = said["load_average_before"]
    click.echo(
        f"\nMachine: {said['processor']}, {said['cores']} cores{'' if load is None else f', load {load:.1f} before'}; "
        f"Python {said['python']}, NumPy {said['numpy']}, {', '.join(said['blas'])}.\nCommand: {said['command']}"
    )


def _cells(row, ms) -> dict:
    """Write a row for the table, in columns that fit a terminal of 100."""
    rate = row.operations / row.seconds / 1e9
    return {
        "layer": row.name,
        "tower": "+".join(map(str, row.towers)),
        "pass": " ".join([row.direction, *row.gives]),
        "       ms": ms(row.seconds),
        "      p95": ms(row.p95),
        " share": f"{row.share:6.1%}",
        "GFLOP/s": f"{rate:7.1f}" if rate else "",
        "  GB/s": f"{row.bytes / row.seconds / 1e9:6.1f}",
        "roof": f"{row.roofline:4.0%}",
        "bound by": row.bound,
    }


def _sums(measured) -> list[tuple[float, str]]:
    """List what the rows come to, and the real step beside it."""
    serial, images = measured.serial, measured.conditions["batch_size"] / measured.real
    gained = measured.gained / serial
    return [
        (measured.sum, "the rows"),
        (measured.rest, f"in no row: {measured.rest / serial:.1%} of the serial step"),
        (serial, "the serial step: one thing at a time"),
        (measured.gained, f"gained by overlap and graph: {gained:.1%}"),
        (measured.real, f"the real step: {images:.4g} images/s"),
    ]


def _links(rows) -> str:
    """Say what crosses between places: half of what a copy moves, which reads as much as it writes."""
    links = [row for row in rows if row.kind == "link"]
    if not links:
        return "Links: none; all towers are on one place."
    seconds, crossed = sum(row.seconds for row in links), sum(row.bytes // 2 for row in links)
    lines = [
        f"  {row.name} {row.direction}, from tower {'+'.join(map(str, row.towers))}: "
        f"{row.bytes // 2:,} bytes, {row.bytes / 2 / row.seconds / 1e9:.3g} GB/s"
        for row in links
    ]
    total = f"{crossed:,} bytes in {1000 * seconds:.4g} ms, {crossed / seconds / 1e9:.3g} GB/s"
    return "\n".join(["Links between places:", *lines, f"  all: {total}"])


def _waiting(waiting) -> str:
    if waiting is None:
        return "Waiting for data: not measured, no set was given (--data DATA)."
    step, waited, handed = (
        1000 * seconds / waiting.steps for seconds in (waiting.seconds, waiting.waited, waiting.handed)
    )
    return (
        f"Waiting for data ({waiting.data}): {waited:.3g} ms of a step of {step:.4g} ms, "
        f"{waiting.waited / waiting.seconds:.1%}; handing it in: {handed:.3g} ms."
    )


def _against(measured, ms) -> None:
    """Print PyTorch's time beside ours: a row for what we run in one step."""
    torch, said = measured.torch, measured.conditions["torch"]
    rows = [_beside(row, ms) for row in torch["rows"]]
    update = torch["torch_update_milliseconds"]
    if update is not None:
        rows.append({"layer": "update", **dict.fromkeys(list(rows[0])[1:], ""), "  PyTorch ": ms(update / 1000)})
    click.echo("\nPyTorch, layer by layer; ratio 2: it takes twice as long. Our update is part of backward.\n")
    _output.table(rows)
    whole = torch["torch_milliseconds"] / 1000
    click.echo(
        f"\n{ms(measured.serial)} ms  the serial step\n{ms(whole)} ms  PyTorch's, ratio {whole / measured.serial:.2f}\n"
        f"PyTorch {said['version']}, {said['threads']} threads, eager, SGD(fused=True), {said['layout']}; "
        f"its allocator: {' '.join(f'{name}={value}' for name, value in said['allocator'].items())}"
    )


def _beside(row: dict, ms) -> dict:
    cells = {"layer": row["layers"]}
    for way, mark in (("forward", ""), ("backward", " ")):
        ours, torch = row[f"{way}_milliseconds"], row[f"torch_{way}_milliseconds"]
        cells[f"{way:>9}"] = ms(ours / 1000) if ours else ""
        cells[f"  PyTorch{mark}"] = "" if torch is None else ms(torch / 1000)
        cells[f"ratio{mark}"] = f"{torch / ours:5.2f}" if torch and ours else ""
    return cells
