"""The options of `cualex train`, as Click reads them, and as one typed object."""

from dataclasses import dataclass, replace
from pathlib import Path

import click

from cualex.cli import _options

OPTIMIZERS, SCHEDULES = ("momentum", "adam"), ("plateau", "steps", "cosine", "2012")
AUTO = "auto"
NAMES = ("paper", "demo", "cifar", "lenet", "batchnorm", "2012", "caffe", "torchvision")
CLASS_WEIGHTS = {"balanced": "balanced", "none": ""}  # as given, and in the recipe
NEWEST = ""  # --resume without a run


@dataclass(frozen=True)
class TrainOptions:
    """The options of one `cualex train`, named as their parameters are; None where a recipe or a run decides."""

    data: str
    resume: str | None
    network: str
    named: str
    paper: bool
    start: Path | None
    pretrained: bool
    scratch: bool
    seed: int
    device: str
    precision: str | None
    output: Path
    name: str
    save_every: float
    watch: bool
    keep: bool
    overfit: int | None
    check_gradients: bool
    val_split: float
    val: str
    names: Path | None
    no_pack: bool
    cache: Path | None
    workers: int | None
    yes: bool
    as_json: bool
    variant: tuple[str, ...] = ()
    crop: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    optimizer: str | None = None
    lr: float | None = None
    bias_lr: float | None = None
    head_lr: float | None = None
    freeze: str | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    class_weights: str | None = None
    schedule: str | None = None
    drop_epochs: str | None = None
    plain_epochs: int | None = None
    stop_after: int | None = None
    augment: bool | None = None
    colour_noise: float | None = None
    colour_components: str | None = None
    mean_at: str | None = None
    split_rule: str | None = None  # no option: a resumed run keeps the rule that it was divided by

    def but(self, **changed) -> "TrainOptions":
        """Return these options with some replaced."""
        return replace(self, **changed)

    @property
    def sanity_check(self) -> bool:
        """Whether a check is asked for, which writes no run."""
        return bool(self.overfit or self.check_gradients)

    @property
    def division(self) -> dict:
        """Return how a set without val/ is divided, as `sources.find` takes it."""
        from cualex.data.sources import hold_out

        return {"val_split": self.val_split, "split_rule": self.split_rule or hold_out.RULE, "val": self.val}


def options(command):
    """Add all options of `cualex train` to a command, in the order of its help."""
    for option in reversed((*_BEGINNING, *_NUMBERS, *_RUN, *_CHECKS, *_DATA)):
        command = option(command)
    return command


_RATE, _FRACTION = click.FloatRange(0, min_open=True), click.FloatRange(0, 1, max_open=True)
_BEGINNING = (
    click.option(
        "--resume",
        is_flag=False,
        flag_value=NEWEST,
        metavar="[RUN]",
        help="Resume a stopped run: its directory, or without RUN the newest unfinished one in --output.",
    ),
    _options.network_option("alexnet; up to 5,000 images fine-tune the bundled cifar10, an alexnet of half width"),
    _options.variant,
    click.option(
        "--recipe",
        "named",
        type=click.Choice([AUTO, *NAMES]),
        default=AUTO,
        show_default=True,
        help="Hyperparameters to start from: auto chooses by the number of images and the device; paper is the "
        "network's published recipe; the others are named recipes.",
    ),
    click.option("--paper", is_flag=True, help="Same as --recipe paper."),
    click.option(
        "--from",
        "start",
        type=_options.FILE,
        metavar="WEIGHTS",
        help="Fine-tune from a weights file, with its network; cifar10 is the bundled pretrained network. The last "
        "layer is re-initialised unless the classes are the same. Alias: --weights.",
    ),
    click.option("--pretrained", is_flag=True, help="Same as --from cifar10."),
    click.option("--scratch", is_flag=True, help="Start from random weights, also on small sets."),
)
_NUMBERS = (
    _options.crop,
    click.option("--epochs", type=click.IntRange(1), help="Maximum number of epochs."),
    _options.batch_size(),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        metavar="N",
        help="Accumulate gradients over N micro-batches of batch size / N before each update.",
    ),
    click.option(
        "--optimizer", type=click.Choice(OPTIMIZERS), help="SGD with momentum (the paper's; alias: sgd), or Adam."
    ),
    click.option("--lr", type=_RATE, help="Initial learning rate."),
    click.option(
        "--bias-lr",
        type=_RATE,
        metavar="RATE",
        help="Initial learning rate of the biases.  [default: --lr; twice --lr, and constant, with --schedule 2012]",
    ),
    click.option("--head-lr", type=_RATE, metavar="FACTOR", help="Multiplier of --lr for the last dense layer."),
    click.option("--freeze", metavar="LAYER,...", help="Layers to freeze, such as conv1,conv2; or none."),
    click.option("--momentum", type=_FRACTION, help="Momentum coefficient."),
    click.option("--weight-decay", type=click.FloatRange(0), help="L2 weight decay of the weights; biases have none."),
    click.option("--dropout", type=_FRACTION, help="Dropout probability; 0 for none."),
    click.option(
        "--class-weights",
        type=click.Choice([*CLASS_WEIGHTS]),
        help="Weights of the classes in the training loss; balanced is n / (classes * images of the class), as in "
        "scikit-learn.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        help="Learning-rate schedule: /10 on a plateau of the validation error (the paper's), /10 after each of "
        "--drop-epochs, cosine to 0, or the authors' manual schedule of 2012, which also freezes conv1 at the end.",
    ),
    click.option(
        "--drop-epochs", metavar="N,N,...", help="Epochs after which --schedule steps divides the learning rate by 10."
    ),
    click.option(
        "--stop-after",
        type=click.IntRange(0),
        metavar="N",
        help="Early stopping after N epochs without a better validation error; 0 for never. Alias: --patience.",
    ),
    click.option(
        "--augment/--no-augment", default=None, help="Augment with random crops, horizontal flips and colour noise."
    ),
    click.option(
        "--colour-noise",
        type=click.FloatRange(0),
        metavar="DEVIATION",
        help="Standard deviation of the PCA colour noise, relative to that of the images; the paper's is 0.1, 0 for "
        "none.",
    ),
    click.option(
        "--colour-components",
        type=click.Choice(["data", "2012"]),
        help="Principal components of the colour noise: of the training images, or the authors' of ILSVRC-2012.",
    ),
    click.option(
        "--mean-at",
        type=click.Choice(["crop", "centre"]),
        help="Region of the mean image to subtract: that of the crop, or always the centre, as the code of 2012 did.",
    ),
    click.option(
        "--plain-epochs", type=click.IntRange(0), metavar="N", help="Turn colour noise off in the last N epochs."
    ),
    _options.seed,
)
_RUN = (
    _options.device,
    _options.precision,
    click.option(
        "--output", type=_options.FILE, default=Path("runs"), show_default=True, help="Directory for run directories."
    ),
    click.option("--name", default="train", show_default=True, help="Name of the run directory."),
    click.option(
        "--save-every",
        type=click.FloatRange(0),
        default=10.0,
        show_default=True,
        metavar="MINUTES",
        help="Checkpoint interval; a checkpoint is written at the end of an epoch too.",
    ),
    click.option(
        "--keep", is_flag=True, help="Keep the checkpoints of the finished run, so that --resume can add epochs."
    ),
)
_CHECKS = (
    click.option(
        "--watch",
        is_flag=True,
        help="After each epoch, print a table of the layers: mean absolute weight |w| and last update |dw|, zero "
        "activations, dead filters.",
    ),
    click.option(
        "--overfit",
        type=click.IntRange(1),
        metavar="N",
        help="Sanity check: overfit N images, save nothing. Tries several learning rates unless --lr is given; exit "
        "code 1 if the network cannot.",
    ),
    click.option(
        "--check-gradients",
        is_flag=True,
        help="Gradient check: compare each layer's gradients with finite differences in float64 on the CPU; train "
        "nothing.",
    ),
)
_DATA = (
    _options.no_pack,
    _options.val_split,
    _options.val,
    _options.names,
    _options.cache,
    _options.workers,
    _options.yes,
    _options.as_json,
)
