"""An experiment as its command shows it: what it is, how far it is, and what came of it."""

import datetime
import os

from cualex.cli import _output


def listing(as_json: bool) -> None:
    """Print all experiments with a line each."""
    from cualex.experiments import catalogue, evidence

    found = [catalogue.find(name) for name in catalogue.names()]
    rows = [{"experiment": each.name, "section": each.section, "question": each.title} for each in found]
    if as_json:
        _output.document([row | {"so_far": evidence.so_far(each)} for row, each in zip(rows, found, strict=True)])
        return
    _output.table(rows)
    _output.echo()
    _output.echo("So far, at the default scale (--results has all figures):")
    for each in found:
        for line in evidence.so_far(each) or ["no difference was measured; see --results"]:
            _output.echo(f"  {each.name}: {line}")


def results(name: str | None, as_json: bool) -> None:
    """Print what an experiment, or each, has shown so far, with the conditions it was run under."""
    from cualex.experiments import catalogue, evidence, figure_1

    found = evidence.committed()
    found["results"]["relu-against-tanh"]["table"] = figure_1.table()
    if name:
        found["results"] = {name: found["results"][name]}
    if as_json:
        _output.document(found)
        return
    for experiment, result in found["results"].items():
        _output.echo(f"{experiment}: {result['scale']}")
        for what in ("here", "paper", "reading"):
            _output.echo(f"  {what}: {result[what]}")
        for line in evidence.so_far(catalogue.find(experiment)):
            _output.echo(f"  {line}")
        if "table" in result:
            _output.table(result["table"])
            _output.echo(figure_1.READING)
        _output.echo()
    _output.echo(found["conditions"])


def device_and_size(experiment, scale, source, device: str, precision: str | None) -> tuple[str, int]:
    """Return the device of all arms and the size of their stored images; raise for a missing device now."""
    from cualex import networks
    from cualex.devices import placement

    recipes = [experiment.recipe(scale, arm) for arm in experiment.arms]
    built = [networks.build(recipe.network, **recipe.arguments(len(source.classes))) for recipe in recipes]
    (stored,) = {network.stored for network in built}
    placed = placement.placement(device, min(network.towers for network in built))
    placement.open_devices(placed, precision)
    return str(placed), stored


def description(experiment, scale, source, pack, tested, settings: dict, unlabelled=None) -> dict:
    """Describe what the bits of every training depend on: a directory holds those of one description."""
    return {
        "experiment": experiment.name,
        "data": source.name,
        "identity": source.identity,
        "pictures": len(pack),
        "different": pack.different,
        "tested": len(tested),
        "device": settings["device"],
        "precision": settings["precision"],
        "recipes": {arm: experiment.recipe(scale, arm).described() for arm in experiment.arms},
        **({"unlabelled": len(unlabelled), "pretraining": scale.unlabelled[1]} if unlabelled is not None else {}),
    }


def introduce(experiment, scale, pack, tested, own: bool, trials, unlabelled=None) -> None:
    """Print the question, the scale, and how that differs from the paper's.

    own: whether the evaluated images are those that it trains on.
    """
    from cualex.experiments import evidence

    arms, rates = len(experiment.arms), len({trial.rate for trial in trials})
    _output.say(f"{experiment.question}")
    _output.say(f"The paper, section {experiment.section}: {experiment.paper}.")
    _output.say(f"Here: {scale.differs}")
    for line in evidence.so_far(experiment):
        _output.say(f"So far: {line}")
    asked = [("train on", scale.pictures, pack.different), ("test on", scale.tested, tested.different)]
    for what, wanted, got in asked:
        if wanted is not None and got <= wanted - len(pack.classes):  # less is what equal shares leave over
            _output.say(f"Note: {wanted:,} images to {what} were asked for; the data set has {got:,}.")
    if len(pack) > pack.different:
        times = len(pack) // pack.different
        _output.say(f"Note: an epoch has each of the {pack.different:,} images {times} times.")
    if unlabelled is not None:
        _output.say(
            f"Before it, {' and '.join(name for name, arm in experiment.arms.items() if arm.pretrained)} has "
            f"{scale.unlabelled[1]:,} updates of each hidden layer on {len(unlabelled):,} images without their labels."
        )
    _output.say(
        f"{count(arms, 'arm')}, {count(rates, 'rate')} each, {count(scale.seeds, 'seed')} from 0 on: "
        f"{len(trials)} trainings of {scale.recipe.epochs} epochs at most, on {len(pack):,} images, "
        f"evaluated on {len(tested):,} {'of these' if own else 'others'} after each epoch."
    )


def count(number: int, what: str) -> str:
    """Return a number and its noun, in the plural if need be."""
    return f"{number} {what}{'s' if number > 1 else ''}"


def conditions(command: str, settings: dict) -> dict:
    """Return what a figure was measured with."""
    from cualex.system import environment

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    begun = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    told = {"command": command, "begun": begun, "load_average_before": load}
    return environment.describe() | told | {name: settings[name] for name in ("device", "precision")}


def show(records, left, images: int) -> list:
    """Turn the records of an experiment into lines and progress; return what was measured.

    left: the trainings still to be done, each on `images` images; one that ends early counts whole.
    """
    from cualex.experiments.runner import Begin, Measured
    from cualex.training.records import Epoch, Notice, Update

    measured, name, before = [], "", 0
    with _output.Progress("Training", sum(_updates(trial, images) for trial in left), "updates") as progress:
        for record in records:
            if isinstance(record, Begin):
                name = record.trial.name
                progress.say(f"{name}, {record.number} of {record.total}")
            elif isinstance(record, Update):
                progress(before + record.update, f"{name}, loss {record.loss:.3f}")
            elif isinstance(record, Epoch):
                error = 1 - record.validation.top1
                progress.say(
                    f"  epoch {record.epoch:>3}/{record.epochs}  loss {record.train_loss:.3f}  error {error:.1%}  "
                    f"{_output.duration(record.seconds)}"
                )
            elif isinstance(record, Notice):
                progress.say(f"  {record.text}")
            elif isinstance(record, Measured):
                measured.append(record)
                before += 0 if record.kept else _updates(record.trial, images)
                progress(before)
                progress.say(f"{record.trial.name}: {_figures(record)}{', measured earlier' * record.kept}")
    return measured


def _updates(trial, images: int) -> int:
    """Count the updates of a training that does not end early."""
    return -(-trial.recipe.epochs * images // trial.recipe.batch)


def _figures(record) -> str:
    if record.diverged:
        return f"diverged: {record.diverged}"
    return ", ".join(f"{column} {_number(value)}" for column, value in record.figures.items())


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"


def print_result(experiment, table, conditions: dict, directory, plot, findings) -> None:
    """Print the table, what it shows, the paper's figure, the reading, and where all is."""
    from cualex.experiments.compare import edges

    _output.table([_cells(experiment, row) for row in table])
    _output.echo()
    if any(arm.rates for arm in experiment.arms.values()):
        _output.echo("* the best learning rate of its arm, which is compared.")
    for line in findings:
        _output.echo(line)
    _output.echo(f"The paper, section {experiment.section}: {experiment.paper}.")
    for arm in edges(experiment, table):
        _output.echo(f"The best learning rate of {arm} is the smallest or largest tried: a better one may lie beyond.")
    _output.echo(f"How to read it: {experiment.reading}")
    _output.echo(_output.machine(conditions))
    _output.echo(f"{directory / 'result.json'}, {plot}")


def _cells(experiment, row) -> dict:
    measure, base = experiment.measure, next(iter(experiment.arms))
    best = " *" if row.chosen and experiment.arms[row.arm].rates else ""
    cells = {"arm": row.arm, "rate": f"{row.rate:g}{best}", "seeds": row.seeds}
    cells |= {column: _spread(found) for column, found in row.figures.items()}
    if row.missing:
        first = measure.columns[0]
        never, diverged = row.missing - row.diverged, row.diverged
        said = [cells[first], f"{never} never" if never else "", f"{diverged} diverged" if diverged else ""]
        cells[first] = ", ".join(filter(None, said))
    if len(experiment.arms) > 1:
        what = "times" if measure.counts else "points above"
        above = f"above {row.beyond:.3g}" if row.beyond else ""
        cells[f"{what} {base}"] = _spread(row.against, "" if measure.counts else "+") or above
    return cells | {"the paper": row.paper}


def _spread(found, sign: str = "") -> str:
    if found is None:
        return ""
    deviation = "" if found.deviation is None else f" ± {found.deviation:.2g}"
    return f"{found.mean:{sign}.3g}{deviation}"
