"""The options of `cualex train`, in the groups of its help."""

import click

from cualex.cli import _options, _ranks, _train_values
from cualex.training.options import AUTO, CLASS_WEIGHTS, NEWEST, OPTIMIZERS, RECIPES, SCHEDULES


def options(command):
    """Add all options of `cualex train` to a command, in the order of its help."""
    for group in reversed((_DATA, _NETWORK, _RECIPE, _AUGMENTATION, _RUN, _DIAGNOSIS, _OUTPUT)):
        command = group(command)
    return command


_RATE, _FRACTION = _options.Number(0, min_open=True), _options.Number(0, 1, max_open=True)
_DATA = _options.grouped(
    "Data",
    _options.val_split,
    _options.val,
    _options.names,
    _options.no_pack,
    _options.cache,
    _options.workers,
    _options.yes,
)
_NETWORK = _options.grouped(
    "Network",
    _options.network_option("alexnet; up to 5,000 images fine-tune the bundled cifar10, an alexnet of half width"),
    _options.variant,
    _options.crop,
    click.option(
        "--from",
        "start",
        type=_options.FILE,
        metavar="WEIGHTS",
        help="Fine-tune from a weights file, with its network; cifar10 is the bundled pretrained network. The last "
        "layer is re-initialised unless the classes are the same. Alias: --weights.",
    ),
    click.option(
        "--pretrained",
        is_flag=True,
        help="Fine-tune the bundled network, alexnet at half width trained on CIFAR-10; same as --from cifar10. There "
        "are no weights of ImageNet here.",
    ),
    click.option("--scratch", is_flag=True, help="Start from random weights, also on small sets."),
    click.option("--freeze", metavar="LAYER,...", help="Layers to freeze, such as conv1,conv2; or none."),
)
_RECIPE = _options.grouped(
    "Recipe; defaults are those of --recipe",
    click.option(
        "--recipe",
        "named",
        type=click.Choice([AUTO, *RECIPES]),
        default=AUTO,
        show_default=True,
        help="Hyperparameters to start from: auto chooses by the number of images and the device; paper is the "
        "network's published recipe; the others are named recipes.",
    ),
    click.option("--paper", is_flag=True, help="Same as --recipe paper."),
    click.option(
        "--config",
        type=_options.FILE,
        metavar="FILE",
        help="Read options from args.json of a run (or its directory), or from TOML or JSON, as `batch-size = 64`; "
        "the command line overrides them.",
    ),
    click.option(
        "--epochs",
        type=click.IntRange(1),
        help="Number of epochs; --schedule plateau and --stop-after may end earlier.",
    ),
    _options.batch_size(),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        metavar="N",
        help="Accumulate gradients over N micro-batches of batch size / N before each update; with --ranks, over those "
        "of all ranks together.  [default: 1; a micro-batch for each rank]",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        help="SGD with momentum (the paper's; alias: sgd), Adam, for which --lr is 0.001 and --weight-decay 0 by "
        "default, or LARS for large batches, for which --lr is 2 (--recipe lars has more).",
    ),
    click.option(
        "--trust",
        type=_RATE,
        metavar="COEFFICIENT",
        help="Trust coefficient of --optimizer lars, whose local rate is trust |w| / (|g| + decay |w|).  "
        "[default: 0.001]",
    ),
    click.option("--lr", type=_RATE, help="Initial learning rate; --find-lr suggests one. Alias: --learning-rate."),
    click.option(
        "--bias-lr",
        type=_RATE,
        metavar="RATE",
        help="Initial learning rate of the biases.  [default: --lr; twice --lr, and constant, with --schedule 2012]",
    ),
    click.option("--head-lr", type=_RATE, metavar="FACTOR", help="Multiplier of --lr for the last dense layer."),
    click.option(
        "--warmup",
        type=_options.Number(0),
        metavar="EPOCHS",
        help="Warm up linearly from a hundredth of the learning rates over EPOCHS epochs, such as 0.5; the schedule "
        "runs meanwhile.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        help="Learning-rate schedule: /10 on a plateau of the validation error (the paper's), /10 after each of "
        "--drop-epochs, cosine to 0, poly, which is (1 - done)^2, or the authors' manual schedule of 2012, which also "
        "freezes conv1 at the end.",
    ),
    click.option(
        "--drop-epochs", metavar="N,N,...", help="Epochs after which --schedule steps divides the learning rate by 10."
    ),
    click.option(
        "--stop-after",
        type=click.IntRange(0),
        metavar="N",
        help="Stop after N epochs in which the validation error has not fallen by 0.1 points; 0 for never. Alias: "
        "--patience.",
    ),
    click.option("--momentum", type=_FRACTION, help="Momentum coefficient."),
    click.option("--weight-decay", type=_options.Number(0), help="L2 weight decay of the weights; biases have none."),
    click.option("--dropout", type=_FRACTION, help="Dropout probability; 0 for none."),
    click.option(
        "--class-weights",
        type=click.Choice([*CLASS_WEIGHTS]),
        help="Weights of the classes in the training loss; balanced is n / (classes * images of the class), as in "
        "scikit-learn.",
    ),
    click.option(
        "--set",
        "multipliers",
        metavar="LAYER.lr=FACTOR,...",
        help="Multipliers of the learning rate (lr) and weight decay (decay) of layers, as Caffe's lr_mult and "
        "decay_mult: conv1.lr=0.1,conv1.decay=4; of a bias alone conv1.bias.lr=2.",
    ),
    _options.seed,
)
_AUGMENTATION = _options.grouped(
    "Augmentation",
    click.option(
        "--augment/--no-augment", default=None, help="Augment with random crops, horizontal flips and colour noise."
    ),
    click.option(
        "--colour-noise",
        type=_options.Number(0),
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
        "--plain-epochs", type=click.IntRange(0), metavar="N", help="Turn colour noise off in the last N epochs."
    ),
    click.option(
        "--mean-at",
        type=click.Choice(["crop", "centre"]),
        help="Region of the mean image to subtract: that of the crop, or always the centre, as the code of 2012 did.",
    ),
)
_RUN = _options.grouped(
    "Run",
    _options.device,
    _options.precision,
    _ranks.ranks,
    _ranks.peer_timeout,
    _ranks.exchange_rows,
    click.option(
        "--resume",
        is_flag=False,
        flag_value=NEWEST,
        metavar="[RUN]",
        help="Resume a stopped run: its directory, or without RUN the newest unfinished one in --root.",
    ),
    _options.root("run"),
    click.option("--name", default="train", show_default=True, help="Name of the run directory."),
    click.option(
        "--save-every",
        type=_options.Number(0),
        default=10.0,
        show_default=True,
        metavar="MINUTES",
        help="Checkpoint interval; a checkpoint is written at the end of an epoch too.",
    ),
    click.option(
        "--keep", is_flag=True, help="Keep the checkpoints of the finished run, so that it can be trained for longer."
    ),
)
_DIAGNOSIS = _options.grouped(
    "Diagnosis",
    click.option(
        "--find-lr",
        is_flag=True,
        help="Learning-rate range test: raise the rate from update to update until the loss diverges, print and plot "
        "loss against rate (find-lr.png, or find-lr-2.png and so on), suggest one rate; save no run.",
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
    click.option(
        "--watch",
        is_flag=True,
        help="After each epoch, print a table of the layers: mean absolute weight |w| and last update |dw|, zero "
        "activations, dead filters.",
    ),
)
_OUTPUT = _options.grouped(
    "Output",
    click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard into the run directory, too."),
    click.option("--no-report", is_flag=True, help="Write no report.html at the end; `cualex report` does it later."),
    _options.as_json,
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        callback=_train_values.verbose,
        help="Print all hyperparameters beside the paper's, and tracebacks of errors.",
    ),
)
