"""Names that users of PyTorch, timm, Keras and ultralytics type: aliases of options, of their values, and hints.

An alias is accepted and not listed by --help; where an option of other tools has no counterpart, the error names the
way to what it does. All of them are in the tables of this file.
"""

import copy
import difflib
from collections.abc import Iterator
from typing import Any

import click

from cualex.cli import _complete, _options

ALIASES: dict[str, tuple[str, ...]] = {  # of an option, in every command that has it
    "--accumulate": (
        "--accum-steps",
        "--grad-accum-steps",
        "--gradient-accumulation-steps",
        "--accumulate-grad-batches",
    ),
    "--batch-size": ("--batch",),
    "--classes": ("--num-classes", "--nc"),
    "--config": ("--cfg", "--hyp"),
    "--class": ("--target", "--target-class"),
    "--class-weights": ("--class-weight",),
    "--colour-components": ("--color-components",),
    "--colour-noise": ("--color-noise",),
    "--crop": ("--input-size", "--imgsz", "--img-size", "--image-size"),
    "--drop-epochs": ("--milestones", "--decay-milestones", "--lr-steps"),
    "--dropout": ("--drop", "--drop-rate"),
    "--epochs": ("--num-epochs", "--max-epochs"),
    "--filters": ("--filter", "--channel", "--channels", "--unit", "--units"),
    "--from": ("--weights", "--initial-checkpoint", "--finetune"),
    "--head-lr": ("--head-lr-mult", "--head-lr-multiplier"),
    "--layer": ("--layer-name",),
    "--lr": ("--learning-rate", "--lr0"),
    "--names": ("--labels",),
    "--network": ("--model", "--arch"),
    "--no-augment": ("--no-aug",),
    "--optimizer": ("--opt", "--optim"),
    "--precision": ("--dtype",),
    "--schedule": ("--lr-schedule", "--lr-scheduler", "--scheduler", "--sched"),
    "--scratch": ("--from-scratch",),
    "--stop-after": ("--patience", "--early-stopping"),
    "--to": ("--format",),
    "--top": ("--topk", "--top-k"),
    "--trust": ("--trust-coefficient", "--lars-trust-coefficient"),
    "--val-split": ("--validation-split",),
    "--warmup": ("--warmup-epochs", "--lr-warmup-epochs"),
    "--weight-decay": ("--wd",),
    "--weights": ("--checkpoint", "--model"),
    "--workers": ("--num-workers",),
}
OF_COMMAND: dict[str, dict[str, tuple[str, ...]]] = {  # where an option means something else than in other commands
    "experiment": {"--output": ("--output-dir",)},
    "import": {"--classes": ("--class-names",)},
    "train": {"--output": ("--output-dir", "--project")},
}

VALUES = {  # of an option with choices, in lower case
    "--mean-at": {"center": "centre"},
    "--method": {"gradcam": "grad-cam", "ig": "integrated-gradients", "guided-backprop": "guided-backpropagation"}
    | {"guided": "guided-backpropagation", "integrated": "integrated-gradients"},
    "--metric": {"euclidean": "l2"},
    "--optimizer": {"sgd": "momentum"},
    "--precision": {"float32": "fp32", "bfloat16": "bf16"},
    "--schedule": {"step": "steps", "multistep": "steps", "polynomial": "poly"},
}

# Options of other tools without a counterpart, and what does the same: in commands that have an option, or an argument
# (in capitals).
HINTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "DATA",
        ("--data", "--data-dir", "--data-path", "--dataset"),
        "The data set is an argument: cualex {command} photos/",
    ),
    (
        "PICTURES",
        ("--source", "--input", "--image", "--images", "--data", "--data-dir"),
        "Images are arguments: cualex {command} cat.jpg photos/",
    ),
    ("NETWORK", ("--network", "--model", "--arch"), "The network is an argument: cualex {command} alexnet"),
    (
        "--resume",
        ("--checkpoint", "--ckpt", "--ckpt-path", "--load"),
        "--resume RUN continues a stopped run; --from FILE fine-tunes its weights.",
    ),
    ("--resume", ("--num-classes", "--classes", "--nc"), "The classes are the folders of the data set."),
    (
        "--warmup",
        ("--warmup-steps", "--warmup-iters", "--warmup-updates", "--warmup-lr", "--lr-warmup-decay"),
        "--warmup is in epochs, 0.5 for half of one, and begins at a hundredth of the learning rate.",
    ),
    (
        "--find-lr",
        ("--lr-find", "--auto-lr-find", "--lr-finder", "--find-learning-rate"),
        "--find-lr is the learning-rate range test.",
    ),
    (
        "--drop-epochs",
        ("--gamma", "--lr-gamma", "--step-size", "--lr-step-size", "--decay-epochs", "--decay-rate"),
        "--drop-epochs 30,60 divides the learning rate by 10 after each of these epochs.",
    ),
    (
        "--resume",
        ("--save-period", "--save-interval", "--save-freq", "--checkpoint-interval"),
        "--save-every is in minutes; a checkpoint is written at the end of every epoch too.",
    ),
    (
        "--resume",
        ("--exist-ok", "--overwrite", "--force"),
        "No run is overwritten: each training makes a new run directory.",
    ),
    (
        "--resume",
        ("--evaluate", "--eval", "--validate", "--test-only"),
        "`cualex evaluate` measures the accuracy of a trained network.",
    ),
    ("--crops", ("--ten-crop", "--tta"), "--crops 10 averages the paper's ten crops."),
    ("--precision", ("--amp", "--half", "--fp16", "--bf16"), "--precision bf16 computes with half of the bytes."),
    (
        "--device",
        ("--gpu", "--gpus", "--gpu-id", "--cuda", "--num-gpus"),
        "--device cuda:0 names a GPU; --device cuda:0,cuda:1 puts a tower on each of two.",
    ),
    ("--device", ("--cpu", "--no-cuda"), "--device cpu names the CPU."),
    ("--help", ("-v", "--verbose"), "It stands before the command: cualex -v {command}"),
    ("--help", ("-q", "--quiet"), "Progress goes to stderr: 2>/dev/null leaves it out."),
)

COMMANDS = {  # names of other tools' commands
    "classify": "predict",
    "convert": "import",
    "draw": "show",
    "embed": "features",
    "finetune": "train",
    "fine-tune": "train",
    "fit": "train",
    "infer": "predict",
    "inference": "predict",
    "info": "summary",
    "plot": "show",
    "test": "evaluate",
    "val": "evaluate",
    "validate": "evaluate",
    "visualize": "show",
}

CLOSE = 0.87  # similarity of a typing error; 0.6, difflib's own, took --learning-rate for --mean-at
CLOSE_COMMAND = 0.7
SHORT, MOST = len("--a"), 3  # characters with which too many options begin; suggestions at most


class Command(_options.Grouping):
    """A command that takes the aliases of its options, and answers an unknown option with the one that is meant."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for option in self.params:
            if isinstance(option.type, click.Choice) and (values := VALUES.get(option.opts[0])):
                option.type = Choice(option.type.choices, values)
            if isinstance(option.type, click.IntRange | click.FloatRange):
                option.metavar = option.metavar or ("N" if isinstance(option.type, click.IntRange) else "NUMBER")

        _complete.attach(self)

    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Return the aliases of this command's options, without those that are options here."""
        table, own = ALIASES | OF_COMMAND.get(self.name or "", {}), self._options()
        taken: set[str] = set(own)
        found = {}
        for name in own:
            found[name] = tuple(alias for alias in table.get(name, ()) if alias not in taken)
            taken.update(found[name])
        return found

    def make_parser(self, ctx: click.Context) -> Any:
        """Return the parser, with the aliases."""
        parser = super().make_parser(ctx)
        aliases = self.aliases()
        for option in self.params:
            if isinstance(option, click.Option):
                other = copy.copy(option)
                other.opts = [alias for name in option.opts for alias in aliases.get(name, ())]
                other.secondary_opts = [alias for name in option.secondary_opts for alias in aliases.get(name, ())]
                other.add_to_parser(parser, ctx)
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; raise UsageError for an unknown option, with the way to what it does elsewhere."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            raise click.UsageError(f"No such option {name!r}. {self._hint(name, ctx.command_path)}", ctx) from None

    def _options(self) -> list[str]:
        """List the options by all of their own names."""
        own = [option for option in self.params if isinstance(option, click.Option)]
        return [name for option in own for name in (*option.opts, *option.secondary_opts)]

    def _hint(self, typed: str, path: str) -> str:
        """Return what an unknown option may mean."""
        name = typed.replace("_", "-").lower()
        arguments = ((each.name or "").upper() for each in self.params if isinstance(each, click.Argument))
        own = {*self._options(), "--help", *arguments}
        for needed, names, hint in HINTS:
            if name in names and needed in own:
                return hint.format(command=self.name)
        near = list(dict.fromkeys(self._near(name)))[:MOST]
        return f"Did you mean {' or '.join(near)}?" if near else f"`{path} --help` lists the options."

    def _near(self, name: str) -> Iterator[str]:
        """Yield the options that a misspelt name may mean: alike, begun by it, or with the same first word."""
        meant = {alias: option for option, each in self.aliases().items() for alias in (option, *each)}
        long = [option for option in meant if option.startswith("--")]
        yield from (meant[option] for option in difflib.get_close_matches(name, long, cutoff=CLOSE))
        if len(name) > SHORT:
            yield from (meant[option] for option in long if option.startswith(name))
            yield from (option for option in long if option in self._options() and _first(option) == _first(name))


class Choice(click.Choice):
    """A choice that takes aliases of its values, and any case."""

    def __init__(self, choices: Any, aliases: dict[str, str]) -> None:
        super().__init__(choices)
        self.aliases = aliases

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that is meant."""
        lower = str(value).lower()
        meant = self.aliases.get(lower, lower)
        return super().convert(meant if meant in self.choices else value, param, ctx)


def no_command(name: str, known: list[str]) -> str:
    """Return what to say of an unknown command: the one that is meant, or all there are."""
    near = [COMMANDS[name]] if name in COMMANDS else difflib.get_close_matches(name, known, n=1, cutoff=CLOSE_COMMAND)
    hint = f"Did you mean {near[0]!r}?" if near else f"The commands are {', '.join(known)}."
    return f"No such command {name!r}. {hint}"


def _first(option: str) -> str:
    """Return the first word of an option; --no-augment is of the family of --augment."""
    return option.removeprefix("--").removeprefix("no-").partition("-")[0]
