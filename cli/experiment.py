"""`cualex experiment`: the paper's experiments, and what their results can and cannot show."""

import contextlib
import shlex
import sys

import click

from cualex.cli import _aliases, _experiment, _options, _output, _packing

LONG = 3600.0  # seconds; above this a person is asked


@click.command(cls=_aliases.Command)
@click.argument("name", required=False)
@_options.data(default="demo")
@click.option("--list", "listed", is_flag=True, help="List the experiments, one line each.")
@click.option("--results", is_flag=True, help="Print the results so far of NAME, or of all, and train nothing.")
@click.option(
    "--pictures",
    type=click.IntRange(1),
    metavar="N",
    help="Train on N images, equally many per class.  [default: the experiment's own number]",
)
@click.option("--seeds", type=click.IntRange(1, 1000), metavar="N", help="Repeat with random seeds 0 to N - 1.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Maximum number of epochs of each training.")
@click.option("--full", is_flag=True, help="Train at the paper's size; prints the estimated time and asks first.")
@_options.device
@_options.precision
@_options.root("experiment")
@click.option("--keep-weights", is_flag=True, help="Keep the weights of finished trainings.")
@_options.cache
@_options.workers
@_options.yes
@_options.as_json
def experiment(name, listed, results, data, pictures, seeds, epochs, full, output, keep_weights, as_json, **options):
    """Run an experiment of the paper; without NAME, list them.

    An experiment trains a few small networks that differ in one thing, with one to three random seeds. It prints the
    mean and standard deviation over seeds beside the paper's value, says which differences are more than chance, and
    writes result.json with all conditions and a plot. Run the same command again to resume it. The list says what each
    has shown so far at its default scale, or how many seeds it would take.
    DATA is what `cualex train` takes, by default demo.

    \b
    Examples:
        cualex experiment
        cualex experiment relu-against-tanh cifar10.zip
        cualex experiment relu-against-tanh --results
        cualex experiment no-dropout photos --seeds 5
        cualex experiment one-tower imagenet --full
    """
    from cualex.data import sources
    from cualex.errors import UsageError
    from cualex.experiments import catalogue, compare, estimate, evidence, result, runner
    from cualex.experiments.subset import First

    if results:
        _experiment.results(catalogue.find(name).name if name else None, as_json)
        return
    if name is None or listed:
        _experiment.listing(as_json)
        return
    chosen = catalogue.find(name).at_full() if full else catalogue.find(name)
    scale = (chosen.full if full else chosen.scale).but(pictures=pictures, seeds=seeds, epochs=epochs)
    source = sources.find(data, val="val-or-test")  # the paper's figures are test errors
    if scale.pictures is not None and scale.pictures < len(source.classes):
        raise UsageError(
            f"--pictures {scale.pictures:,}: {data} has {len(source.classes):,} classes, and each needs an image; "
            f"give {len(source.classes)} or more"
        )
    validation = source.validation or "train"
    if validation == "train" and not chosen.measure.on_training:
        _output.say("Note: there are no test images, so the test error is that of the training images.")
    placed, stored = _experiment.device_and_size(chosen, scale, source, options["device"], options["precision"])
    packs = _packing.packs(
        source,
        dict.fromkeys(("train", validation)),
        stored,
        cache=options["cache"],
        workers=options["workers"],
        yes=options["yes"],
    )
    few = First(packs["train"], scale.pictures)
    pack = First(few, None, max(scale.least, scale.recipe.batch))  # an epoch has an update
    shown = scale.tested and max(scale.tested, len(source.classes))
    tested = First(few if chosen.measure.on_training else packs[validation], shown)
    unlabelled = First(packs["train"], scale.unlabelled[0]) if scale.unlabelled else None
    scale = scale.on(len(pack))
    trials = chosen.trials(scale)
    own = chosen.measure.on_training or validation == "train"
    _experiment.introduce(chosen, scale, pack, tested, own, trials, unlabelled)
    settings = {"device": placed, "precision": options["precision"], "compiling": _output.Compiling()}
    about = _experiment.description(chosen, scale, source, pack, tested, settings, unlabelled)
    directory = runner.directory(output, name, about)
    left = [trial for trial in trials if runner.done(directory, trial, chosen.measure) is None]
    _output.say(f"Directory: {directory}; {len(trials) - len(left)} of {len(trials)} trainings are done.")
    if left:
        seconds = estimate.seconds(left, pack, tested, settings)
        said = f"{_experiment.count(len(left), 'training')} will take about {_output.duration(seconds)}"
        without = "reading, writing and pre-training" if unlabelled is not None else "reading and writing"
        said += f" if none ends early, estimated from a few updates of each arm, without {without}"
        if seconds > LONG:
            _output.confirm(f"{said}. Continue?", options["yes"])
        else:
            _output.say(f"{said}.")
    conditions = _experiment.conditions(shlex.join(["cualex", *sys.argv[1:]]), settings)
    try:
        where = directory, settings, keep_weights
        records = runner.run(trials, chosen.measure, pack, tested, *where, unlabelled=unlabelled)
        with contextlib.closing(records):
            measured = _experiment.show(records, left, len(pack))
    except KeyboardInterrupt:
        _output.say("Resume with the same command.")
        raise
    table = compare.rows(chosen, measured)
    learned = evidence.learned(chosen, measured, table, directory, tested)
    findings = evidence.findings(chosen, table, learned)
    found = result.document(chosen, scale, measured, table, about, conditions, learned, findings)
    result.write(directory, found)
    plot = result.draw(chosen, measured, table, directory, len(pack.classes))
    if as_json:
        _output.document(found)
    else:
        _experiment.print_result(chosen, table, conditions, directory, plot, findings)
