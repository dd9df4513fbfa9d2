"""`cualex train`: from pictures in folders to a trained network."""

from pathlib import Path

import click

from cualex.cli import _options, _output, _packing, _resume, _training


@click.command()
@click.argument("data", default="demo")
@_resume.option
@_options.network
@_options.crop
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training pictures, at most.")
@_options.batch_size()
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Learning rate.")
@click.option(
    "--momentum", type=click.FloatRange(0, 1, max_open=True), help="Share of the last update that goes on."
)
@click.option("--weight-decay", type=click.FloatRange(0), help="Share of the weights lost, times the rate.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Share dropped; 0 for none.")
@click.option(
    "--drop-epochs",
    metavar="N,N,...",
    help="Divide the rate by ten after these epochs, not when validation stops improving.",
)
@click.option(
    "--augment/--no-augment",
    default=None,
    help="Random crops, mirror images and colour noise, or none of these.",
)
@click.option(
    "--colour-noise",
    type=click.FloatRange(0),
    metavar="DEVIATION",
    help="Shift the colours of a picture by this share of what they vary in the set: 0.1 in the paper, 0 for none.",
)
@click.option(
    "--colour-components",
    type=click.Choice(["data", "2012"]),
    help="Whose principal components the noise is along: the training pictures', or those of ILSVRC-2012.",
)
@click.option(
    "--mean-at",
    type=click.Choice(["crop", "centre"]),
    help="Where the mean picture is taken: at the crop, or at its centre for every crop, as in 2012.",
)
@click.option(
    "--plain-epochs", type=click.IntRange(0), metavar="N", help="The last epochs have no colour noise."
)
@click.option("--paper", is_flag=True, help="The paper's recipe, on the demo set as well.")
@_options.seed
@_options.device
@_options.precision
@click.option(
    "--output", type=_options.FILE, default=Path("runs"), show_default=True, help="Where runs are kept."
)
@click.option("--name", default="train", show_default=True, help="Name of the run's directory.")
@click.option(
    "--save-every",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="MINUTES",
    help="How often to write a checkpoint; one is written at the ends of epochs too.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="After each epoch, a line a layer: mean |w| and its change, zeros, dead filters.",
)
@click.option("--no-pack", is_flag=True, help="Decode every picture each time instead of packing the set.")
@_options.val_split
@_options.names
@_options.cache
@_options.workers
@_options.yes
@_options.as_json
def train(resume, network, seed, output, name, paper, as_json, **options):
    """Train a network on DATA; keep all in a run directory.

    DATA is a folder, .zip or .tar with a folder a class, below train/ and val/ or split by --val-split; or `demo`,
    a small set of generated pictures, for which alexnet has a quick recipe of its own.

    Ctrl-C or SIGTERM saves and leaves. With --resume a run goes on where it was, on its own data set and with its
    own options, but for those that are given; the weights become those of a run never stopped, to the bit.

    \b
    Examples:
        cualex train
        cualex train photos --epochs 30
        cualex train photos --epochs 30 --watch
        cualex train photos --crop 131 -b 64 --lr 0.005
        cualex train demo --paper
        cualex train cifar10.zip --network cifar-relu
        cualex train --resume
        cualex train --resume runs/train-2 --epochs 60
    """
    from cualex import networks, placements
    from cualex.data import batches, sources
    from cualex.errors import Unreadable, UsageError
    from cualex.pictures import samples
    from cualex.training import recipes, resuming
    from cualex.training.loop import train as training
    from cualex.training.run import Run

    run = _resume.find(resume, output)
    if run is None:
        recipe = recipes.choose(network, options["data"], paper).but(seed=seed)
    else:
        recipe, options = _resume.begin(run, network, seed, options)
    recipe = recipe.but(
        crop=options["crop"],
        batch=options["batch_size"],
        rate=options["lr"],
        momentum=options["momentum"],
        decay=options["weight_decay"],
        dropout=options["dropout"],
        epochs=options["epochs"],
        drop_epochs=_numbers(options["drop_epochs"]),
        augment=options["augment"],
        colour_noise=options["colour_noise"],
        colour_components=options["colour_components"],
        plain_epochs=options["plain_epochs"],
        mean_at=options["mean_at"],
    )
    if run is not None:
        resuming.check(run, recipe)
    if options["dropout"] is not None and recipe.network not in recipes.DROPPING:
        raise UsageError(f"--dropout: {recipe.network} has no dropout; leave the option out")
    if options["colour_noise"] and not recipe.augment:
        raise UsageError("--colour-noise with --no-augment, which switches it off: leave one of them out")
    source = sources.find(options["data"], val_split=options["val_split"], names=options["names"])
    built = networks.build(recipe.network, **recipe.arguments(len(source.classes)))
    placed = placements.placement(options["device"], built.towers)
    placements.open_devices(placed, options["precision"])  # refuse a device now, and not after packing
    if run is None:
        Run.prepare(output, name)
    _introduce(recipe, source)
    validation = source.validation or "train"
    if validation == "train":
        _output.say("Note: no validation pictures, so the training pictures are evaluated, at their centres.")
    packs = _packing.packs(
        source,
        dict.fromkeys(("train", validation)),
        built.stored,
        cache=options["cache"],
        workers=options["workers"],
        yes=options["yes"],
        keep=not options["no_pack"],
    )
    batches.check_batch(packs["train"], recipe.batch)
    if run is None:
        run = Run.create(output, name)
        _output.say(f"Run directory: {run.path}")
    described = {
        "data": source.name,
        "val_split": options["val_split"],
        "names": options["names"] and str(Path(options["names"]).absolute()),
        "device": str(placed),
        "precision": options["precision"],
        "save_every": options["save_every"],
        "no_pack": options["no_pack"],
        "watch": options["watch"],
        "recipe": recipe.described(),
        "colours": {"covariance": packs["train"].covariance, **vars(packs["train"].components)},
    }
    records = training(
        recipe,
        packs["train"],
        packs[validation],
        run,
        str(placed),
        options["precision"],
        described,
        60 * options["save_every"],
        _output.Compiling(),
        options["watch"],
    )
    try:
        _training.show(records, run, options["watch"])
    except KeyboardInterrupt:
        _output.say(f"Go on with: cualex train --resume {run.path}")
        raise
    best = _training.best(run)
    if as_json:
        _output.document(best)
    else:
        click.echo(f"Best validation top-1 {best['top1']:.1%} (epoch {best['epoch']}): {best['weights']}")
    if source.name == "demo":
        samples.write(packs[validation], run.path / "samples")
        _output.say(f"Name some pictures: cualex predict {run.path / 'samples'}")
    if skipped := sum(len(pack.skipped) for pack in packs.values()):
        raise Unreadable(
            f"{skipped} pictures could not be read and were left out: {run.path / 'skipped.csv'}"
        )


def _numbers(text):
    """Read a list of epochs such as 6,8."""
    from cualex.errors import UsageError

    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--drop-epochs {text}: expected whole numbers such as 6,8") from None


def _introduce(recipe, source) -> None:
    """Print what is about to be trained, on what, and where the recipe departs from the paper's."""
    counts = ", ".join(f"{len(pictures):,} {split}" for split, pictures in source.splits.items())
    _output.say(f"{source.name}: {len(source.classes)} classes; pictures: {counts}")
    for note in source.notes:
        _output.say(f"Note: {note}")
    _output.say("Recipe" + " " * 26 + "here" + " " * 21 + "in the paper")
    for what, here, paper in recipe.against_paper():
        _output.say(f"  {what:<29} {here:<24} {paper or 'the same'}")
