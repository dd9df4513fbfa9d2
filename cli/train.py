"""`cualex train`: from images in folders to a trained network."""

from pathlib import Path

import click

from cualex.cli import _aliases, _debugging, _output, _packing, _recipe, _start, _train_options, _training
from cualex.cli._train_options import AUTO, TrainOptions


@click.command(cls=_aliases.Command)
@click.argument("data", default="demo")
@_train_options.options
def train(**given) -> None:
    """Train a network on DATA and save it in a run directory.

    DATA is a folder, .zip or .tar of images in one of the layouts below, or `demo`, a small generated data set, which
    is the default. Hyperparameters follow from the number of images and the device; --recipe names others, and every
    option overrides its value. Up to 5,000 training images fine-tune the bundled network, unless --scratch, --network,
    --crop, --variant or --recipe is given; `cualex help recipes` has the tables.

    Ctrl-C and SIGTERM save a checkpoint. --resume continues from it with the run's own data and options, except those
    that are given, to the same bits as an uninterrupted run. A finished run can train more --epochs if it was started
    with --keep.

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

    \b
    Layouts of DATA, in a folder, a .zip or a .tar (archives are read without extracting them):
        train/CLASS/*.jpg, val/CLASS/*.jpg    trained and validated on as they are
        train/CLASS/*.jpg, test/CLASS/*.jpg   --val-split of train is held out; --val test validates on test
        CLASS/*.jpg                           --val-split of each class is held out
        val/*.jpg and --names val.txt         a line `image class` for each, as ImageNet's validation set

    Images are JPEG, PNG, WebP, BMP, GIF, TIFF or PNM of up to 50 million pixels. Each is converted to RGB and resized
    to a shorter side of 256 pixels (for crops of 227; in proportion for others), of which the centre square is kept.
    Whether an image is held out follows from a hash of its file name, so adding or removing images moves no others
    (except in classes of a few images, since each class of two or more is in both splits). The decoded images are
    packed into one file in the cache directory, and again when they have changed. Unreadable images are skipped and
    listed in skipped.csv; the exit code is then 3.

    \b
    A run directory (runs/train, runs/train-2, ...) holds:
        best.safetensors                        weights, classes and mean image, for the other commands
        last.safetensors, previous.safetensors  checkpoints; removed at the end without --keep
        results.csv, log.jsonl, curves.png      all metrics, one line per epoch; the same as a plot
        args.json, env.json, classes.txt        options, machine and versions, classes
        finished.json, skipped.csv              outcome and verdict; unreadable images
    """
    from cualex import networks
    from cualex.data import batches, sources
    from cualex.devices import placement
    from cualex.training import finetuning
    from cualex.training.rates import Course
    from cualex.training.run import Run, restore
    from cualex.training.run.checkpoints import Room

    options = TrainOptions(**given)
    _debugging.refuse(options)
    run = _start.resumed(options)
    options, recipe, found = _first(options, run)
    source = sources.find(options.data, names=options.names, **options.division)
    if run is None:
        images = len(source.splits["train"])
        if found is None and not options.sanity_check:
            found = _start.bundled(source.name, images, options.scratch)
            options = options.but(start=_bundled_name() if found else None)
        recipe = _recipe.begin(options, images, found).but(seed=options.seed)
    automatic = recipe if run is None and options.named == AUTO else None
    recipe = _recipe.changed(recipe, options)
    if options.sanity_check:
        if run is not None:
            restore.check_fixed(run, recipe)
        recipe = _debugging.recipe(options, recipe)
    elif run is not None:
        restore.check(run, recipe)
    begun = finetuning.start(found, recipe, list(source.classes)) if found else None
    arguments = found.network.arguments if found else {}  # with those that no recipe has
    built = networks.build(recipe.network, **arguments | recipe.arguments(len(source.classes)))
    Course(recipe, built).check()
    placed = placement.placement(options.device, built.towers)
    placement.open_devices(placed, options.precision)  # refuse a device now, and not after packing
    if not options.sanity_check:
        batches.check_batch(source.splits["train"], recipe.batch)
        if run is None:
            Run.prepare(options.output, options.name)
    _introduce(source)
    if automatic and not options.sanity_check:
        settings = {"device": str(placed), "precision": options.precision}
        _recipe.introduce(recipe, automatic, source, options.start, settings)
    else:
        _recipe.table(recipe)
    if begun:
        _output.say(f"Weights of {options.start}: {begun.said}.")
    room, validation = Room.of(built, recipe), _validation(source, options)
    if not options.sanity_check:
        _training.announce(room, run, options.output, options.keep)
    packs = _packing.packs(
        source,
        dict.fromkeys(("train", "train" if options.sanity_check else validation)),
        built.stored,
        cache=options.cache,
        workers=options.workers,
        yes=options.yes,
        keep=not options.no_pack,
    )
    if options.sanity_check:
        kept = run.weights() if run else begun and begun.weights
        _debugging.give(options, recipe, packs["train"], kept, str(placed))
        return
    if automatic and options.batch_size is None:  # images that cannot be read leave fewer than were counted
        recipe = recipe.but(batch=min(recipe.batch, len(packs["train"])))
    batches.check_batch(packs["train"], recipe.batch)
    _training.check_room(room, run, options.output, options.keep)  # again, after packs that may lie on the same disk
    if run is None:
        run = Run.create(options.output, options.name)
        _output.say(f"Run directory: {run.path}")
    _run(options, recipe, source, packs, validation, run, str(placed), begun, room)


def _first(options: TrainOptions, run) -> tuple:
    """Return the options with what follows from them before the data set is read, a run's recipe, and the weights."""
    from cualex.training import recipes

    if run is not None:
        recipe, options = _start.of_run(run, options)
        return options, recipe, None
    found = _start.weights(options)
    if found:
        options = options.but(network=found.network.name)
    if options.pretrained:
        options = options.but(start=_bundled_name())
    options = options.but(named=_recipe.name(options))
    _recipe.changed(recipes.named("paper", options.network), options)  # refuse now, and not after a look at the set
    return options, None, found


def _bundled_name() -> Path:
    from cualex import pretrained

    return Path(pretrained.NAME)


def _introduce(source) -> None:
    """Print what is about to be trained on."""
    counts = ", ".join(f"{len(images):,} {split}" for split, images in source.splits.items())
    _output.say(f"{source.name}: {len(source.classes)} classes; images: {counts}")
    for note in source.notes:
        _output.say(f"Note: {note}")


def _validation(source, options: TrainOptions) -> str:
    """Return the split to validate on, with a note where it is that of training."""
    validation = source.validation or "train"
    if validation == "train" and not options.sanity_check:
        _output.say("Note: no validation images, so the training images are evaluated, at their centre crops.")
        if "test" in source.splits:
            _output.say("Note: the test images are not used; --val test validates on them.")
    return validation


def _run(options: TrainOptions, recipe, source, packs, validation: str, run, device: str, begun, room) -> None:
    """Train, show it, and print what came of it."""
    from cualex.errors import Unreadable
    from cualex.plots import samples
    from cualex.training.loop import train as training

    records = training(
        recipe,
        packs["train"],
        packs[validation],
        run,
        device=device,
        precision=options.precision,
        description=_description(options, recipe, source, packs["train"], device),
        save_every=60 * options.save_every,
        compiling=_output.Compiling(),
        watched=options.watch,
        start=begun,
        keep=options.keep,
    )
    try:
        _training.show(records, run, _training.Pace(len(packs[validation]), room.best), options.watch)
    except KeyboardInterrupt:
        _output.say(_training.stopped(run))
        raise
    best = _training.best(run)
    if options.as_json:
        _output.document(best)
    else:
        _training.conclude(best, len(source.classes))
    if source.name == "demo":
        samples.write(packs[validation], run.path / "samples")
        _output.say(f"Try it: cualex predict {run.path / 'samples'}")
    if skipped := sum(len(pack.skipped) for pack in packs.values()):
        raise Unreadable(f"{skipped} images could not be read and were skipped; {run.path / 'skipped.csv'} lists them")


def _description(options: TrainOptions, recipe, source, pack, device: str) -> dict:
    """Return what args.json keeps, by which a run is resumed."""
    from cualex import pretrained

    return {
        "data": source.name,
        **options.division,
        "names": options.names and str(Path(options.names).absolute()),
        "device": device,
        "precision": options.precision,
        "start": options.start and pretrained.named(options.start),
        "save_every": options.save_every,
        "no_pack": options.no_pack,
        "watch": options.watch,
        "keep": options.keep,
        "recipe": recipe.described(),
        "colours": {"covariance": pack.covariance, **vars(pack.components)},
    }
