"""Options that several commands share, each said once: `@_options.device` and so on."""

import math
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class LocalPath(click.Path):
    """A path. That it is there and readable is the library's to say: its line names the way out. A URL is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Path."""
        if isinstance(value, str) and URL.match(value) and not os.path.lexists(value):
            self.fail(
                f"{value} is a URL, and files are read. Download it first: curl -LO {shlex.quote(value)}", param, ctx
            )
        return super().convert(value, param, ctx)


FILE = LocalPath(path_type=Path)


class Number(click.FloatRange):
    """A finite number in a range: NaN passes the comparisons of click's own type."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail as for one out of the range."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{found} is not a finite number.", param, ctx)
        return found


class Grouping(click.Command):
    """A command whose help has its options below the titles of their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below the titles of their groups, --help below the last of them."""
        records: dict[str, list[tuple[str, str]]] = {}
        for each in self.get_params(ctx):
            if not isinstance(each, click.Argument) and (record := each.get_help_record(ctx)):
                title = getattr(each, "group", None) or next(reversed(records), "Options")
                records.setdefault(title, []).append(record)
        for title, rows in records.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def grouped(title: str, *options: Callable) -> Callable:
    """Add options to a command, in this order, below a title of their own in its help."""

    def add(command):
        for option in reversed(options):
            command = option(command)
        for each in command.__click_params__[-len(options) :]:
            each.group = title
        return command

    return add


class Data(click.Option):
    """The option --data, of which the argument DATA takes the place. Fail where both are given."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the data set that either names."""
        given = ctx.params.pop("data_argument", None)
        if not isinstance(given, str):  # click 8.3 has a value of its own for what is not given
            return super().process_value(ctx, value)
        if ctx.get_parameter_source("data") == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"Two data sets, {given} and --data {value}: give one.", ctx)
        return given


def data(default: str | None = None) -> Callable:
    """Make the argument DATA, and --data, its older name."""
    argument = click.argument("data_argument", metavar="[DATA]", required=False, is_eager=True)
    option = click.option("--data", cls=Data, default=default, metavar="DATA", help="Older name of DATA.")
    return lambda command: argument(option(command))


def root(of: str) -> Callable:
    """Make --root, the directory of runs; --output is its older name.  of: what gets a directory of its own there."""
    return click.option(
        "--root",
        "--output",
        "output",
        type=FILE,
        default=Path("runs"),
        show_default=True,
        metavar="DIR",
        help=f"Directory of runs, in which the {of} gets its own; --output is the older name.",
    )


device = click.option(
    "--device",
    default="auto",
    show_default=True,
    envvar="CUALEX_DEVICE",
    metavar="DEVICE",
    help="Device: auto (cuda:0 if it can be used, else cpu), cpu or cuda:0; or cuda:0,cuda:1, a GPU for each tower "
    "(the half of the network that one GPU held in 2012).",
)
precision = click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    help="Precision of matrix multiplications: fp32; tf32: inputs rounded to TF32; bf16: bfloat16 activations, float32 "
    "master weights. All accumulate in float32.  [default: tf32 on GPUs from sm_80, else fp32]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout instead of a table.")
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**40 - 1),
    default=0,
    show_default=True,
    help="Random seed of initial weights, data order, augmentation and dropout.",
)
weights = click.option(
    "-w",
    "--weights",
    type=FILE,
    metavar="FILE",
    help="Weights file, run directory, or cifar10 for the bundled pretrained network.  [default: best.safetensors of "
    "the newest finished run in ./runs]",
)
crops = click.option(
    "--crops",
    type=click.Choice(["1", "10"]),
    default="1",
    show_default=True,
    help="Centre crop, or the paper's ten crops: corners and centre with their horizontal flips, averaged.",
)
check = click.option(
    "--check",
    type=FILE,
    metavar="IMAGE",
    help="Classify this image with cualex and with the other framework, if installed, and compare the probabilities.",
)
yes = click.option(
    "-y",
    "--yes",
    is_flag=True,
    help="Do not ask before jobs of more than an hour or 20 GB; needed for those without a terminal.",
)
workers = click.option(
    "-j", "--workers", type=click.IntRange(1), help="Threads that decode images.  [default: one per core]"
)
cache = click.option(
    "--cache", type=FILE, metavar="DIR", envvar="CUALEX_CACHE", help="Cache directory for packs (decoded data sets)."
)
no_pack = click.option(
    "--no-pack",
    is_flag=True,
    help="Decode the image files each time, instead of writing a pack (a decoded copy) to the cache.",
)
val_split = click.option(
    "--val-split",
    type=Number(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    help="Fraction of each class of the training images that is held out for validation where there is no val/; 0 for "
    "none.",
)
val = click.option(
    "--val",
    type=click.Choice(["held-out", "test"]),
    default="held-out",
    show_default=True,
    help="Validate on val/, or a held-out part of train/ where there is none; or on test/, which then also selects the "
    "best epoch, so that its accuracy is optimistic.",
)
names = click.option(
    "--names",
    type=FILE,
    metavar="FILE",
    help="Labels of images that are not in class folders: lines `image class`, a CSV file, a folder of train.txt and "
    "val.txt, or ImageNet's devkit. Alias: --labels.",
)


def network_option(default: str = "alexnet"):
    """Return --network; default: what help says of the default."""
    return click.option(
        "--network",
        default="alexnet",
        metavar="NAME",
        help="Network architecture; `cualex help networks` lists them. FILE.py:FUNCTION is one of your own.  "
        f"[default: {default}]",
    )


network = network_option()
crop = click.option(
    "--crop",
    type=click.IntRange(1),
    metavar="SIDE",
    help="Input size: side of the square crop, in pixels. Aliases: --input-size, --imgsz.",
)
classes = click.option("--classes", type=click.IntRange(1), help="Number of classes.  [default: the network's own]")
variant = click.option(
    "--variant",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change the architecture, such as norm=none (no LRN), pool=2, initial=glorot, width=0.5; repeatable. `cualex "
    "help networks` lists what each network takes.",
)


def batch_size(default: int | None = None) -> Callable:
    """Make the option -b/--batch-size with a command's own default."""
    return click.option(
        "-b",
        "--batch-size",
        type=click.IntRange(1),
        default=default,
        show_default=default is not None,
        help="Batch size.",
    )
