"""`cualex train`: from images in folders to a trained network."""

import functools

import click

from cualex.cli import (
    _aliases,
    _debugging,
    _output,
    _packing,
    _ranks,
    _recipe,
    _train_options,
    _train_values,
    _training,
)


@click.command(cls=_aliases.Command)
@click.argument("data", default="demo")
@_train_options.options
def train(**given) -> None:
    """Train a network on DATA and save it in a run directory.

    DATA is a folder, .zip or .tar of images in one of the layouts below, or `demo`, a small generated data set, which
    is the default. Hyperparameters follow from the number of images and the device; --recipe names others, and every
    option overrides its value. Up to 5,000 training images fine-tune the bundled network, unless --scratch, --network,
    --crop, --variant or --recipe is given; `cualex help recipes` has the tables.

    Ctrl-C, SIGTERM and SIGHUP save a checkpoint. --resume continues from it with the run's own data and options: to the
    same bits as an uninterrupted run, unless an option is given that changes the training. To train a finished run for
    longer, start it with --keep, then give --resume RUN --epochs TOTAL. --config begins a new training with the options
    of a file or of another run.

    \b
    Examples:
        cualex train
        cualex train photos
        cualex train photos --scratch --epochs 30 --watch
        cualex train photos --crop 131 -b 64 --lr 0.005
        cualex train photos --recipe paper
        cualex train cifar10.zip --network cifar-relu
        cualex train "shards/imagenet-train-{0000..0255}.tar"
        cualex train photos --find-lr
        cualex train photos --overfit 32
        cualex train photos --check-gradients
        cualex train photos --pretrained --freeze conv1,conv2 --head-lr 10
        cualex train photos --schedule cosine --warmup 2
        cualex train photos --schedule 2012 --epochs 91
        cualex train more-photos --config runs/train/args.json --epochs 20
        cualex train --resume
        cualex train photos --keep
        cualex train --resume runs/train-2 --epochs 60

    \b
    Layouts of DATA, in a folder, a .zip or a .tar (which is not extracted):
        train/CLASS/*.jpg, val/CLASS/*.jpg
            existing splits are used; also named Training/, seg_test/, ...
        train/CLASS/*.jpg, test/CLASS/*.jpg
            --val-split of train is held out; --val test validates on test
        CLASS/*.jpg, CLASS/train/*.jpg
            no splits: --val-split of each class is held out
        train/cat.0.jpg, dog_1.jpg
            the class in the name of the file
        val/*.jpg and --names val.txt
            a line `image class` for each; a column `split` divides them
        train-images-idx3-ubyte.gz
            MNIST, Fashion-MNIST, ..., with the labels file beside it
        cifar-10-python.tar.gz
            CIFAR-10 and CIFAR-100, python or binary
        train-0000.tar, validation-0000.tar; "a-{000..255}.tar"
            WebDataset shards: .jpg and .cls (or .json, .txt) in each, names of
            the classes in classnames.txt; read once, when they are packed
        data/train-00000-of-00004.parquet
            image files and classes, as Hugging Face has them; needs
            pip install "cualex[parquet]"
        ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar
            ImageNet as downloaded, in one folder with the devkit

    Images are JPEG, PNG, WebP, BMP, GIF, TIFF, PNM, AVIF or JPEG 2000, with `pip install "cualex[heif]"` HEIC, of up to
    50 million pixels. Each is converted to RGB in sRGB, by its colour profile if it has one, and resized
    to a shorter side of 256 pixels (for crops of 227; in proportion for others), of which the centre square is kept.
    Whether an image is held out follows from a hash of its file name, so adding or removing images moves no others
    (except in classes of a few images, since each class of two or more is in both splits). The decoded images are
    packed into one file in the cache directory, and again when they have changed. Unreadable images are skipped and
    listed in skipped.csv; the exit code is then 3.

    \b
    A run directory (runs/train, runs/train-2, ...) holds:
        best.safetensors        weights, classes and mean image
        last.safetensors        the newest checkpoint, and previous.safetensors
                                the one before; both are removed at the end
                                without --keep
        results.csv             metrics of each epoch
        log.jsonl               metrics several times an epoch
        curves.png              loss and error by epoch
        report.html             the training as a page (cualex report); not
                                with --no-report
        args.json, env.json     options; machine and versions
        classes.txt             classes
        finished.json           outcome and verdict
        skipped.csv             unreadable images, if any
        events.out.tfevents.*   with --tensorboard
    """
    from cualex import trainer
    from cualex.errors import UsageError
    from cualex.training import beginning
    from cualex.training.run.unwritten import shared
    from cualex.training.setup import prepare

    options = _train_values.read(given)
    _debugging.refuse(options)
    ranks = _ranks.team()
    if options.check and ranks.size > 1:
        raise UsageError("--find-lr, --overfit and --check-gradients run as one process: leave mpiexec and --ranks out")
    run = shared(ranks, lambda: beginning.resumed(options))
    if run is not None:
        click.get_current_context().call_on_close(run.unlock)
        _output.say(f"Resuming {run.path}")
    checked = functools.partial(_debugging.recipe, options) if options.sanity_check else None
    setup = prepare(options, run, checked, writes=not options.check, ranks=ranks)
    if ranks.first:
        _introduce(setup, options.verbose)
    if not options.check:
        _output.say(ranks.at_first(setup.check_room, "look at the disk"))
    packs = _packing.packs(
        setup.source,
        setup.splits,
        setup.network.stored,
        cache=options.cache,
        workers=options.workers,
        yes=options.yes,
        keep=not setup.options.no_pack,
        ranks=ranks,
    )
    if options.check:
        kept = run.weights() if run else setup.start and setup.start.weights
        _debugging.give(options, setup, packs["train"], kept)
    else:
        _run(trainer.Training(setup, compiling=_output.Compiling()), packs, options.as_json)


def _introduce(setup, verbose: bool) -> None:
    """Print what is about to be trained on, and how."""
    from cualex.training import parts

    source = setup.source
    counts = ", ".join(f"{len(images):,} {split}" for split, images in source.splits.items())
    _output.say(f"{source.name}: {len(source.classes)} classes; images: {counts}")
    for note in source.notes:
        _output.say(f"Note: {note}")
    _recipe.introduce(setup, verbose)
    if setup.ranks.size > 1:
        for line in parts.introduced(setup.recipe, setup.ranks.size):
            _output.say(line)
    if setup.start:
        _output.say(f"Weights of {setup.options.weights}: {setup.start.said}.")
    for remark in setup.remarks:
        _output.say(f"Note: {remark}")


def _run(training, packs, as_json: bool) -> None:
    """Train, show it, and print what came of it."""
    from cualex.errors import Unreadable
    from cualex.training.run.checkpoints import Room

    resumed = training.setup.run is not None
    training.open(packs)
    setup, run = training.setup, training.directory
    if not resumed:
        _output.say(f"Run directory: {run.path}")
    if setup.options.tensorboard:
        _output.say(f"Event files: tensorboard --logdir {run.path}")
    pace = _training.Pace(len(packs[setup.validation]), Room.of(setup.network, setup.recipe).best)
    try:
        _training.show(training.records(), pace, setup.options.watch)
    except KeyboardInterrupt:
        _output.say(_training.stopped(run))
        raise
    skipped = sum(len(pack.skipped) for pack in packs.values())
    if setup.ranks.first:
        _conclude(training, as_json)
    if skipped and setup.ranks.first:  # the others would leave while it concludes, and end it
        raise Unreadable(f"{skipped} images could not be read and were skipped; {run.path / 'skipped.csv'} lists them")


def _conclude(training, as_json: bool) -> None:
    """Print what came of a training, and write samples and report."""
    setup, run = training.setup, training.directory
    best = _training.best(run)
    if as_json:
        _output.document(best)
    else:
        _training.conclude(best, len(setup.source.classes))
    if samples := training.write_samples():
        _output.say(f"Try it: cualex predict {samples}")
    if failed := training.write_report():
        _output.say(failed)
    elif not setup.options.no_report:
        _output.say(f"Report: {run.path / 'report.html'}")
