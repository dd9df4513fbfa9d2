"""Shell completion of values: networks, experiments, runs, weights, topics and files, by the name of the parameter."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Values = Callable[[click.Context, str], list[CompletionItem]]


def attach(command: click.Command) -> None:
    """Let the parameters of a command that `OF` names complete their values."""
    for each in command.params:
        values = OF.get((command.name, each.name)) or OF.get(each.name)
        if values and isinstance(each.type, click.Path | type(click.STRING)):
            each.shell_complete = functools.partial(_complete, values)  # type: ignore[method-assign]


def _complete(values: Values, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return values(ctx, incomplete)


def networks(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete architectures by name, and Python files of one's own."""
    from cualex import networks

    return _starting(networks.names(), incomplete) or files(ctx, incomplete)


def experiments(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete experiments by name."""
    from cualex.experiments import catalogue

    return _starting(catalogue.names(), incomplete)


def topics(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete topics of help, and commands."""
    from cualex.cli import help, main

    return _starting([*help.TOPICS, *main.list_commands(ctx)], incomplete)


def runs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete run directories with a checkpoint, which --resume takes, by path or else by name."""
    found = [path for path in _runs(ctx) if any(path.glob("[lp]*.safetensors"))]
    return _starting(map(str, found), incomplete) or _starting((path.name for path in found), incomplete)


def weights(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete run directories with weights, the bundled network, and files."""
    found = [str(path) for path in _runs(ctx) if (path / "best.safetensors").exists()]
    return [*_starting(["cifar10", *found], incomplete), *files(ctx, incomplete)]


def files(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete paths."""
    return [CompletionItem(incomplete, type="file")]


def data(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete `demo`, and paths."""
    return [*(_starting(["demo"], incomplete) if incomplete else []), *files(ctx, incomplete)]


def _runs(ctx: click.Context) -> Iterator[Path]:
    """Yield the run directories below --root, which is ./runs where a command has no such option."""
    root = Path(ctx.params.get("output") or "runs") if ctx.command.name == "train" else Path("runs")
    yield from sorted(file.parent for file in root.glob("*/args.json"))


def _starting(names, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


# By a parameter's name, or where that means something else by its command's name too.
OF: dict[str | tuple[str | None, str | None] | None, Values] = {
    "against": networks,
    "data": data,
    "data_argument": data,
    "network": networks,
    "pictures": files,
    "resume": runs,
    "start": weights,
    "topic": topics,
    "weights": weights,
    ("experiment", "name"): experiments,
    ("explore", "against"): weights,
    ("neighbours", "named"): data,
    ("network", "name"): networks,  # of `show network`
    ("predictions", "named"): data,
}
