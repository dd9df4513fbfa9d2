"""`cualex train`: from pictures in folders to a trained network."""

from pathlib import Path

import click

from cualex.cli import _debugging, _finetuning, _options, _output, _packing, _recipe, _start, _training


@click.command()
@click.argument("data", default="demo")
@_start.option
@_options.network
@_recipe.options
@_finetuning.options
@_options.seed
@_options.device
@_options.precision
@click.option("--output", type=_options.FILE, default=Path("runs"), show_default=True, help="Where runs are kept.")
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
@_training.keep
@_debugging.options
@click.option("--no-pack", is_flag=True, help="Decode every picture each time instead of packing the set.")
@_options.val_split
@_options.val
@_options.names
@_options.cache
@_options.workers
@_options.yes
@_options.as_json
def train(resume, network, start, pretrained, scratch, seed, output, name, as_json, **options):
    """Train a network on DATA; keep all in a run directory.

    DATA is a folder, .zip or .tar with a folder a class, below train/ and val/ or divided by --val-split; or `demo`,
    which it is if not given: a small set of generated pictures.

    The recipe follows from the number of images and the kind of device; --recipe names another, and every option wins
    over it. Small sets begin with the bundled pretrained network, unless --scratch, --network, --crop, --variant or
    --recipe is given.

    Ctrl-C or SIGTERM saves and leaves. With --resume a run goes on where it was, on its own data set and with its
    own options, but for those that are given; the weights become those of a run never stopped, to the bit. A run that
    has come to its end goes on, with more --epochs, if it was begun with --keep.

    \b
    Examples:
        cualex train
        cualex train photos
        cualex train photos --scratch --epochs 30 --watch
        cualex train photos --crop 131 -b 64 --lr 0.005
        cualex train photos --recipe paper
        cualex train cifar10.zip --network cifar-relu
        cualex train photos --overfit 32
        cualex train photos --check-gradients
        cualex train photos --from runs/train/best.safetensors --freeze conv1,conv2 --head-lr 10
        cualex train photos --schedule 2012 --epochs 91
        cualex train --resume
        cualex train photos --keep
        cualex train --resume runs/train-2 --epochs 60
    """
    from cualex import networks
    from cualex import pretrained as bundled
    from cualex.data import batches, sources
    from cualex.data.sources import hold_out
    from cualex.devices import placement
    from cualex.errors import Unreadable
    from cualex.plots import samples
    from cualex.training import finetuning, recipes
    from cualex.training.loop import train as training
    from cualex.training.rates import Course
    from cualex.training.run import Run, restore
    from cualex.training.run.checkpoints import Room

    first_aid = _debugging.wanted(options, resume)
    run, found = _start.find(resume, output), None
    if run is None:
        found = _finetuning.find(start, pretrained, scratch, network)
        start = Path(bundled.NAME) if pretrained else start
        network = found.network.name if found else network
        options["named"] = _recipe.name(options, options["data"], network)
        _recipe.changed(recipes.named("paper", network), options)  # refuse now, and not after a look at the set
    else:
        recipe, options = _start.begin(run, network, seed, options)
    rule = options.get("split_rule", hold_out.RULE)
    divided = {"val_split": options["val_split"], "split_rule": rule, "val": options["val"]}
    source = sources.find(options["data"], names=options["names"], **divided)
    images = len(source.splits["train"])
    if run is None:
        if found is None and not first_aid:
            found = _finetuning.default(source.name, images, scratch)
            start = Path(bundled.NAME) if found else None
        recipe = _recipe.begin(options, images, network, found).but(seed=seed)
    automatic = recipe if run is None and options["named"] == _recipe.AUTO else None
    recipe = _recipe.changed(recipe, options)
    if first_aid:
        if run is not None:
            restore.check_fixed(run, recipe)
        recipe = _debugging.recipe(options, recipe)
    elif run is not None:
        restore.check(run, recipe)
    begun = finetuning.start(found, recipe, source.classes) if found else None
    arguments = found.network.arguments if found else {}  # with those that no recipe has
    built = networks.build(recipe.network, **arguments | recipe.arguments(len(source.classes)))
    Course(recipe, built).check()
    placed = placement.placement(options["device"], built.towers)
    placement.open_devices(placed, options["precision"])  # refuse a device now, and not after packing
    if not first_aid:
        batches.check_batch(source.splits["train"], recipe.batch)
        if run is None:
            Run.prepare(output, name)
    _introduce(source)
    if automatic and not first_aid:
        settings = {"device": str(placed), "precision": options["precision"]}
        _recipe.introduce(recipe, automatic, source, start, settings)
    else:
        _recipe.table(recipe)
    if begun:
        _output.say(f"Weights of {start}: {begun.said}.")
    validation = source.validation or "train"
    if validation == "train" and not first_aid:
        _output.say("Note: no validation pictures, so the training pictures are evaluated, at their centres.")
        if "test" in source.splits:
            _output.say("Note: the test images are left alone; --val test validates with them.")
    room = Room.of(built, recipe)
    if not first_aid:
        _training.announce(room, run, output, options["keep"])
    packs = _packing.packs(
        source,
        dict.fromkeys(("train", "train" if first_aid else validation)),
        built.stored,
        cache=options["cache"],
        workers=options["workers"],
        yes=options["yes"],
        keep=not options["no_pack"],
    )
    if first_aid:
        kept = run.weights() if run else begun and begun.weights
        _debugging.give(options, recipe, packs["train"], kept, str(placed), as_json)
        return
    if automatic and options["batch_size"] is None:  # images that cannot be read leave fewer than were counted
        recipe = recipe.but(batch=min(recipe.batch, len(packs["train"])))
    batches.check_batch(packs["train"], recipe.batch)
    _training.check_room(room, run, output, options["keep"])  # again, after packs that may lie on the same disk
    if run is None:
        run = Run.create(output, name)
        _output.say(f"Run directory: {run.path}")
    described = {
        "data": source.name,
        **divided,
        "names": options["names"] and str(Path(options["names"]).absolute()),
        "device": str(placed),
        "precision": options["precision"],
        "start": bundled.named(start) if start else options.get("start"),
        "save_every": options["save_every"],
        "no_pack": options["no_pack"],
        "watch": options["watch"],
        "keep": options["keep"],
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
        begun,
        options["keep"],
    )
    try:
        _training.show(records, run, _training.Pace(len(packs[validation]), room.best), options["watch"])
    except KeyboardInterrupt:
        _output.say(_training.stopped(run))
        raise
    best = _training.best(run)
    if as_json:
        _output.document(best)
    else:
        _training.conclude(best, len(source.classes))
    if source.name == "demo":
        samples.write(packs[validation], run.path / "samples")
        _output.say(f"Name some pictures: cualex predict {run.path / 'samples'}")
    if skipped := sum(len(pack.skipped) for pack in packs.values()):
        raise Unreadable(f"{skipped} pictures could not be read and were left out: {run.path / 'skipped.csv'}")


def _introduce(source) -> None:
    """Print what is about to be trained on."""
    counts = ", ".join(f"{len(pictures):,} {split}" for split, pictures in source.splits.items())
    _output.say(f"{source.name}: {len(source.classes)} classes; pictures: {counts}")
    for note in source.notes:
        _output.say(f"Note: {note}")
