"""Train from Python: `cualex.train` returns a Training, which yields a record an epoch."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from cualex.system.keywords import checked
from cualex.trainer.training import Training
from cualex.training import beginning
from cualex.training.records import Update
from cualex.training.setup import prepare

__all__ = ["Training", "train"]

AnyPath = str | os.PathLike[str]


@checked()
def train(
    data: AnyPath | None = None,
    *,
    resume: bool | AnyPath | None = None,
    network: str | None = None,
    variant: Mapping[str, object] | Sequence[str] | None = None,
    recipe: str | None = None,
    config: AnyPath | None = None,
    paper: bool | None = None,
    weights: AnyPath | None = None,
    pretrained: bool | None = None,
    scratch: bool | None = None,
    crop: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    accumulate: int | None = None,
    optimizer: Literal["momentum", "adam", "lars"] | None = None,
    lr: float | None = None,
    bias_lr: float | None = None,
    head_lr: float | None = None,
    warmup: float | None = None,
    trust: float | None = None,
    freeze: str | Sequence[str] | None = None,
    multipliers: str | Mapping[str, float] | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    dropout: float | None = None,
    class_weights: Literal["balanced", "none"] | None = None,
    schedule: Literal["plateau", "steps", "cosine", "poly", "2012"] | None = None,
    drop_epochs: str | Sequence[int] | None = None,
    plain_epochs: int | None = None,
    stop_after: int | None = None,
    augment: bool | None = None,
    colour_noise: float | None = None,
    colour_components: Literal["data", "2012"] | None = None,
    mean_at: Literal["crop", "centre"] | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: Literal["fp32", "tf32", "bf16"] | None = None,
    output: AnyPath | None = None,
    name: str | None = None,
    save_every: float | None = None,
    keep: bool | None = None,
    tensorboard: bool | None = None,
    no_report: bool | None = None,
    watch: bool | None = None,
    val_split: float | None = None,
    val: Literal["held-out", "test"] | None = None,
    names: AnyPath | None = None,
    no_pack: bool | None = None,
    cache: AnyPath | None = None,
    workers: int | None = None,
    on_update: Callable[[Update], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> Training:
    """Train a network on a data set, as `cualex train` does: the same recipe, bits and run directory.

        >>> cualex.train("photos", epochs=5)
        Training('photos', alexnet, 32 images in 2 classes, 5 epochs, batch size 16, rate 0.003, cpu)
        >>> cualex.train("photos", network="cifar-relu", epochs=1, name="small").run()
        Run('runs/small')

    data: a folder, .zip or .tar of images, or "demo", the default.  resume: a stopped run, its directory or name, or
    True for the newest unfinished one.  weights: a weights file or run to fine-tune, "cifar10" for the bundled network
    (the command's --from).  save_every: minutes.  config: a run's args.json, or TOML with options by name.

    All other keywords are the options of `cualex train --help`, with _ for -; errors name options as the command does.
    None is its default, and for hyperparameters what the recipe has. `variant` may be a mapping, `freeze` and
    `drop_epochs` sequences; `multipliers` are --set, {"conv1.lr": 0.1}.

    on_update: called with each Update.  on_notice: with each sentence for the user.  compiling: with (done, total)
    while kernels compile. Nothing is printed. Images that cannot be read are left out, with a warning.

    All but the images is checked before this returns. Raise UsageError for options that do not exist or exclude each
    other, DataError for a set, DeviceError for a device, and RunLocked for a run in which another process trains.
    """
    given = {each: value for each, value in locals().items() if each not in ("on_update", "on_notice", "compiling")}
    chosen = beginning.given(**given)
    run = beginning.resumed(chosen)
    try:
        return Training(prepare(chosen, run), on_update, on_notice, compiling)
    except BaseException:
        if run:
            run.unlock()
        raise
