"""Options that several commands share, each said once: `@_options.device` and so on."""

from collections.abc import Callable
from pathlib import Path

import click

# That a file is there and readable is the library's to say: its line names the way out.
FILE = click.Path(path_type=Path)

device = click.option(
    "--device",
    default="auto",
    show_default=True,
    envvar="CUALEX_DEVICE",
    metavar="DEVICE",
    help="Where to compute: auto, cpu, cuda:0, or a place for each tower (cpu,cpu or cuda:0,cuda:1).",
)
precision = click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    help="How products are computed; if not given fp32 on the CPU, and on GPUs tf32, or fp32 before sm_80.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout instead of a table.")
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**40 - 1),
    default=0,
    show_default=True,
    help="What all random draws are keyed by.",
)
weights = click.option(
    "-w",
    "--weights",
    type=FILE,
    metavar="FILE",
    help="A weights file that `cualex train` wrote, or cifar10, the bundled pretrained network; the newest finished "
    "run below ./runs if not given.",
)
check = click.option(
    "--check",
    type=FILE,
    metavar="PICTURE",
    help="Name what is in a picture, by both programs where the other is installed, and compare.",
)
yes = click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")
workers = click.option(
    "-j", "--workers", type=click.IntRange(1), help="Threads that decode pictures; one a core if not given."
)
cache = click.option(
    "--cache", type=FILE, metavar="DIR", envvar="CUALEX_CACHE", help="Where packed data sets are kept."
)
val_split = click.option(
    "--val-split",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    help="The share of train held out for validation where the set has no val/, about so many of each class; "
    "0 for none.",
)
val = click.option(
    "--val",
    type=click.Choice(["held-out", "test"]),
    default="held-out",
    show_default=True,
    help="What validates: val/ or, where there is none, images held out from train; "
    "or test/, which then chooses the best epoch.",
)
names = click.option(
    "--names",
    type=FILE,
    metavar="FILE",
    help="For pictures that are not sorted into folders: a list with a line `picture class` for each.",
)
network = click.option(
    "--network",
    default="alexnet",
    show_default=True,
    metavar="NAME",
    help="Which network: alexnet, cifar-relu, lenet5, ...; the README lists them all.",
)
crop = click.option("--crop", type=click.IntRange(1), metavar="SIDE", help="Side of the square that the network sees.")


def batch_size(default: int | None = None) -> Callable:
    """Make the option -b/--batch-size with a command's own default."""
    return click.option(
        "-b",
        "--batch-size",
        type=click.IntRange(1),
        default=default,
        show_default=default is not None,
        help="Pictures computed at once.",
    )
