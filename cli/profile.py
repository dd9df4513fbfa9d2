"""`cualex profile`: where the time of a step goes, layer by layer."""

import contextlib
import shlex

import click

from cualex.cli import _aliases, _model, _options, _output, _packing, _profile, _ranks


@click.command(cls=_aliases.Command)
@click.argument("network", default="alexnet")
@_options.data()
@click.option(
    "--mode",
    type=click.Choice(["train", "infer"]),
    default="train",
    show_default=True,
    help="Step to profile: training (forward, backward, update) or inference.",
)
@_options.batch_size(32)
@_options.classes
@_options.crop
@_options.variant
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Timed repetitions of the step, after two warm-up ones.",
)
@click.option(
    "--against",
    type=click.Choice(["torch"]),
    help="Time PyTorch layer by layer too, if it is installed.",
)
@click.option(
    "--against-model",
    is_flag=True,
    help="Print the times that `cualex kernels` models beside those of the GPU.",
)
@click.option(
    "--trace",
    type=_options.FILE,
    metavar="FILE",
    help="Write the timeline of a step: .json for Chrome or Perfetto, .png drawn.",
)
@_options.no_pack
@_options.cache
@_options.workers
@_options.yes
@_options.device
@_options.precision
@_ranks.ranks
@_ranks.peer_timeout
@_options.as_json
def profile(
    network,
    mode,
    batch_size,
    classes,
    crop,
    variant,
    repeat,
    against,
    against_model,
    data,
    trace,
    device,
    precision,
    as_json,
    **packing,
):
    """Profile a step, layer by layer, against the roofline.

    NETWORK is an architecture, a weights file, or a run directory. With DATA, a data set as `cualex train` takes it,
    also measures how long a step waits for its images, and how many CPU cores keep the device fed.

    Prints what a step costs: floating-point operations (two per multiply-add) and bytes of each layer, and its time,
    when it runs alone: median and 95th percentile, share of the step, FLOP/s, bytes/s, and the fraction of the
    roofline, whose peak FLOP/s and bandwidth are measured in the same run. dx is the gradient of a layer's input, dw
    that of its parameters, with the update. The rows add up to the serial step; below it stands the actual step, with
    overlap. Narrow terminals omit columns, --json has all. Keep the machine idle.

    --against torch runs the same network in PyTorch, layer by layer, in a second process.

    Several ranks take a training step together, each of its part of the batch: rows are of rank 0, and below them
    stand the sums over ranks, each alone and beside the backward pass, with the time that a rank waits for them.

    \b
    Examples:
        cualex profile
        cualex profile alexnet --mode infer -b 1 --repeat 100
        cualex profile alexnet --variant norm=none
        cualex profile runs/train demo --trace step.json
        cualex profile --against torch --json
        cualex profile --ranks 2 -b 64
    """
    from cualex.benchmark import scaling
    from cualex.errors import UsageError
    from cualex.profiling import profile as profiles
    from cualex.profiling import trace as timeline

    command = [
        network,
        *([data] if data else []),
        "--mode",
        mode,
        "--batch-size",
        batch_size,
        "--repeat",
        repeat,
        "--device",
        device,
    ]
    given = {"--classes": classes, "--crop": crop, "--precision": precision}
    given |= {"--against": against, "--trace": trace}
    command += [word for name, value in given.items() if value is not None for word in (name, value)]
    command += ["--against-model"] * against_model
    command += [word for each in variant for word in ("--variant", each)]
    if trace is not None:
        timeline.check(trace)
    if (ranks := _ranks.team()).size > 1:
        single = {"DATA": data, "--against": against, "--against-model": against_model, "--mode infer": mode == "infer"}
        single |= {"--precision": precision}
        if named := next((name for name, value in single.items() if value), None):
            raise UsageError(f"{named} is for one process: leave it or --ranks out")
        command += _ranks.words(ranks)
    problem = _problem(network, batch_size, classes, crop, variant)
    if ranks.size > 1:
        scaling.check(ranks, problem.network, batch_size, device)
    source, pack = _pack(data, problem.network, batch_size, **packing) if data else (None, None)
    wanted = {"precision": precision, "against": against, "pack": pack, "data": data, "source": source}
    wanted |= {"modelled": against_model, "compiling": _output.Compiling(), "ranks": ranks}
    records = profiles.profile(problem, mode, device, repeat, **wanted)
    measured = _watch(records, repeat)
    measured.conditions["command"] = shlex.join(map(str, ["cualex", "profile", *command]))
    if not ranks.first:
        return
    if trace is not None:
        if trace.suffix.lower() == ".png":
            from cualex.plots import timeline as plot

            plot.draw(measured, trace)
            _output.say(f"Timeline: {trace}")
        else:
            timeline.write(measured, trace)
            _output.say(f"Timeline: {trace}, for chrome://tracing or ui.perfetto.dev")
    if as_json:
        _output.document(measured.document())
    else:
        _profile.show(measured)


def _problem(named: str, batch: int, classes: int | None, crop: int | None, variant: tuple[str, ...]):
    """Make weights and a batch for the network of that name, or take the weights of a file or a run."""
    from dataclasses import replace

    from cualex import networks, weights
    from cualex.benchmark import problem

    given = {"classes": classes, "crop": crop}
    path = _model.weights_named(named, given, variant)
    if path is None:
        return problem.make(networks.named(named, variant, **given), batch)
    kept = weights.load(path)
    return replace(problem.make(kept.network, batch), tensors=kept.tensors, mean=kept.mean)


def _pack(data: str, network, batch: int, *, no_pack: bool, cache, workers, yes):
    """Pack the training images of a data set; raise UsageError if it has more classes than the network."""
    from cualex.data import batches, sources
    from cualex.errors import UsageError

    source = sources.find(data)
    if len(source.classes) > network.classes:
        raise UsageError(
            f"{data}: {len(source.classes):,} classes, and the network has {network.classes:,}. "
            f"Add --classes {len(source.classes)}, or name another data set."
        )
    settings = {"cache": cache, "workers": workers, "yes": yes, "keep": not no_pack}
    pack = _packing.packs(source, ["train"], network.stored, **settings)["train"]
    batches.check_batch(pack, batch)
    return source, pack


def _watch(records, repeat: int):
    """Show progress until the profile is there, and return it."""
    from cualex.profiling.passes import Pass

    with contextlib.closing(records), _output.Progress("Profiling", repeat, "passes") as progress:
        for done, record in enumerate(records, 1):
            if isinstance(record, Pass):
                progress(done, f"serial {1000 * record.serial:.4g} ms, real {1000 * record.real:.4g} ms")
    return record
