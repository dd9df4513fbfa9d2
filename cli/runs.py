"""`cualex runs`: list the runs of a directory, compare some, remove what they no longer need."""

import time
from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output
from cualex.errors import OutputError, UsageError


class Listing(click.Group):
    """A group whose first command is meant where none is named: `cualex runs DIR` is `cualex runs list DIR`."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the default command before what names no command."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


root = click.option(
    "--root",
    type=_options.FILE,
    default="runs",
    show_default=True,
    metavar="DIR",
    help="Directory of runs.",
)


@click.group(cls=Listing)
def runs() -> None:
    """List, compare and prune runs.

    A run is the directory of one training; it can be named wherever a weights file is taken.

    \b
    Examples:
        cualex runs
        cualex runs experiments/
        cualex runs compare runs/train runs/train-2 -o curves.png
        cualex runs prune
    """


@runs.command("list", cls=_aliases.Command)
@click.argument("root", metavar="[DIR]", type=_options.FILE, default="runs")
@_options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List runs, the latest first.

    DIR is a directory of runs, ./runs by default. `changed` is when a run last wrote to its log. States are running;
    finished; stopped, which `cualex train --resume RUN` continues; and failed: unfinished, without a checkpoint.

    \b
    Examples:
        cualex runs list
        cualex runs list experiments/ --json
    """
    from cualex.training.run import overview

    found = overview.runs(root)
    if as_json:
        _output.document([each.document() for each in found])
    elif not found:
        click.echo(f"No runs in {root}. `cualex train` starts one.")
    else:
        _output.table([_row(each) for each in found], spare=("size", "network", "epochs", "data"), right=("top-1",))
        for each in found:
            if each.problem:
                _output.say(f"Note: {each.path}: {each.problem}")


def _row(each) -> dict:
    return {
        "run": each.path.name,
        "changed": time.strftime("%Y-%m-%d %H:%M", time.localtime(each.changed)),
        "state": each.state,
        "data": each.data,
        "network": each.network,
        "epochs": _epochs(each),
        "top-1": f"{each.best['top1']:.1%}" if each.best else "",
        "size": _output.size(each.bytes),
    }


def _epochs(each) -> str:
    return f"{each.epochs}/{each.planned}" if each.planned else str(each.epochs)


@runs.command(cls=_aliases.Command)
@click.argument("named", metavar="RUN RUN...", nargs=-1)
@click.option(
    "-o", "--output", type=_options.FILE, metavar="FILE", help="PNG or SVG file to plot loss and error of all to."
)
@root
@_options.as_json
def compare(named: tuple[str, ...], output: Path | None, root: Path, as_json: bool) -> None:
    """Compare runs: settings that differ, and results.

    RUN is a directory, or a name in --root.

    \b
    Examples:
        cualex runs compare train train-2
        cualex runs compare runs/train runs/train-2 -o curves.png
    """
    from cualex.plots import curves
    from cualex.system import files
    from cualex.training.run import Run, overview

    paths = [overview.find(name, root) for name in named]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise UsageError("compare takes two or more different runs. `cualex runs` lists them.")
    if output is not None:
        files.require_writable(output)
    compared = [overview.read(path) for path in paths]
    drawn = [Run(each.path) for each in compared if each.results]
    if output is not None and not drawn:
        raise UsageError(f"{output}: nothing to plot, since no epoch has ended in any of these runs. Leave -o out.")
    settings = overview.different(compared)
    results = {name: [figure(each) for each in compared] for name, figure in RESULTS.items()}
    same = overview.same_images(compared)
    if output is not None:
        curves.draw_runs(drawn, output)
        out = [each.path for each in compared if not each.results]
        without = f", without {', '.join(map(str, out))}, where no epoch has ended" if out else ""
        _output.say(f"Plot: {output}{without}")
    if as_json:
        shown = [each.document() | {"results": each.results} for each in compared]
        _output.document({"runs": shown, "settings": settings, "same_images": same})
        return
    heads = [str(path) for path in paths]
    rows = [(name, [_value(each) for each in values]) for name, values in (settings | results).items()]
    _output.table([{"": name, **dict(zip(heads, values, strict=True))} for name, values in rows], right=heads)
    if not settings:
        click.echo("\nTheir settings do not differ.")
    if not same:
        click.echo("\nTheir images differ, so that their figures are not of the same validation.")


def _figure(key: str, form: str):
    return lambda each: form.format(each.best[key]) if each.best else None


def _of_epochs(column: str, of, form: str):
    return lambda each: form.format(of(row[column] for row in each.results)) if each.results else None


def _last(values) -> float:
    return list(values)[-1]


RESULTS = {  # below the settings, a row each
    "state": lambda each: each.state,
    "epochs done": _epochs,
    "best validation top-1": _figure("top1", "{:.1%}"),
    "best validation top-5": _figure("top5", "{:.1%}"),
    "best epoch": _figure("epoch", "{}"),
    "lowest validation loss": _of_epochs("val/loss", min, "{:.4g}"),
    "last training loss": _of_epochs("train/loss", _last, "{:.4g}"),
    "time": lambda each: _output.duration(each.results[-1]["time"]) if each.results else None,
    "size on disk": lambda each: _output.size(each.bytes),
}


def _value(value: object) -> str:
    """Return a setting as the options have it."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items()) or "-"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


@runs.command(cls=_aliases.Command)
@click.argument("named", metavar="[RUN]...", nargs=-1)
@click.option(
    "--older",
    type=_options.Number(0),
    metavar="DAYS",
    help="Remove the checkpoints of runs unchanged for more than DAYS days, also of stopped ones, which can then not "
    "be resumed; whole runs as --without-result does.",
)
@click.option(
    "--without-result",
    is_flag=True,
    help="Remove whole runs that stopped or failed without best.safetensors, also those that could be resumed, but not "
    "those with a result of an experiment.",
)
@root
@click.option("-y", "--yes", is_flag=True, help="Do not ask before removing.")
@_options.as_json
def prune(
    named: tuple[str, ...], older: float | None, without_result: bool, root: Path, yes: bool, as_json: bool
) -> None:
    """Remove checkpoints of finished runs, or whole runs.

    Without RUN and options, remove the checkpoints of the finished runs in --root. RUN, a directory or a name in
    --root, is removed whole; best.safetensors is removed with a run that is named, and never otherwise. What would be
    removed is listed with its size before you are asked. A run in which a process trains, or that has changed since it
    was listed, is not touched. Links stay, as do files not written by cualex, and directories whose args.json names no
    network.

    \b
    Examples:
        cualex runs prune
        cualex runs prune train-3 train-4
        cualex runs prune --without-result
        cualex runs prune --older 30 --yes
    """
    from cualex.training.run import pruning

    if named and (older is not None or without_result):
        raise UsageError(f"{'--older' if older is not None else '--without-result'} chooses among all runs: name none.")
    chosen = pruning.choose(root, named, older, without_result)
    if not chosen:
        if as_json:
            _output.document({"removed": [], "bytes": 0, "kept": []})
        else:
            click.echo(f"Nothing to remove in {root}.")
        return
    total = _output.size(sum(each.bytes for each in chosen))
    for each in chosen:
        what = "the whole run" if each.whole else "its checkpoints"
        best = " with best.safetensors" if each.whole and each.run.has_best else ""
        _output.say(f"{each.run.path} ({each.run.state}): {what}{best}, {_output.size(each.bytes)}")
    _output.confirm(f"Remove these {total}?", yes)
    outcomes = pruning.remove(chosen)
    for outcome in outcomes:
        path = outcome.removal.run.path
        if outcome.kept and not outcome.failed:
            _output.say(f"Skipped: {path}, since {outcome.kept}.")
        if outcome.left:
            _output.say(f"Left in {path}, not written by cualex: {', '.join(each.name for each in outcome.left)}.")
    removed = [outcome for outcome in outcomes if outcome.bytes or not outcome.kept]
    freed = sum(outcome.bytes for outcome in removed)
    if as_json:
        kept = [{"run": outcome.removal.run.path, "reason": outcome.kept} for outcome in outcomes if outcome.kept]
        _output.document({"removed": [each.document() for each in removed], "bytes": freed, "kept": kept})
    else:
        click.echo(f"Removed: {_output.size(freed)}.")
    if failed := "; ".join(outcome.kept for outcome in outcomes if outcome.failed):
        raise OutputError(f"{failed}. Change the permissions, and prune again.")
