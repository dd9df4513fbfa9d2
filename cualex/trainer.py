"""Train from Python: `cualex.train` returns a Training, which yields a record an epoch."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from cualex.data.opening import Packing, warn_of_skipped
from cualex.data.split import Split
from cualex.plots import samples
from cualex.plots.curves import Drawing
from cualex.system.keywords import checked
from cualex.training import beginning
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run
from cualex.training.setup import Setup, prepare
from cualex.training.signals import SignalHandler

AnyPath = str | os.PathLike[str]


class Training:
    """A training: iterate over it for a record an epoch, or call `run`, which returns the Run.

        >>> training = cualex.train("photos", network="cifar-relu", epochs=3, lr=0.005)
        >>> training
        Training('photos', cifar-relu, 29 images in 2 classes, 3 epochs, batch size 16, rate 0.005, cpu)
        >>> for epoch in training:
        ...     if epoch.validation.top1 > 0.8:
        ...         break
        >>> training.run()
        Run('runs/train-...')

    setup: all that was chosen before the first image was decoded.  notices: what was told so far (`on_notice`).
    directory: the Run, None before the training begins.

    Leaving the loop, Ctrl-C and exceptions save a checkpoint. The same Training, iterated again or `run`, goes on from
    it to the same bits, as does `cualex.train(resume=...)`.
    """

    def __init__(
        self,
        setup: Setup,
        on_update: Callable[[Update], object] | None = None,
        on_notice: Callable[[str], object] | None = None,
        compiling: Callable[[int, int], None] | None = None,
    ) -> None:
        """Keep the setup; nothing begins yet."""
        self.setup = setup
        self.notices: list[str] = []
        self._on_update, self._on_notice, self._compiling = on_update, on_notice, compiling
        self._packs: Mapping[str, Split] | None = None
        self._finished = False
        for text in (*setup.source.notes, *setup.remarks):
            self._tell(text)

    @property
    def recipe(self) -> Recipe:
        """The hyperparameters.

        >>> cualex.train("photos", epochs=5).recipe.rate
        0.003
        """
        return self.setup.recipe

    @property
    def directory(self) -> Run | None:
        """The run, None before it begins.

        >>> cualex.train("photos").directory is None
        True
        """
        return self.setup.run

    def __repr__(self) -> str:
        recipe, source = self.recipe, self.setup.source
        name = "demo" if source.name == "demo" else os.path.relpath(source.name)
        return (
            f"Training({name!r}, {recipe.network}, {len(source.splits['train']):,} images in "
            f"{len(source.classes)} classes, {recipe.epochs} epochs, batch size {recipe.batch}, "
            f"rate {recipe.rate:g}, {self.setup.device})"
        )

    def __iter__(self) -> Iterator[Epoch]:
        """Train; yield a record at the end of each epoch that is left.

        >>> for epoch in cualex.train("photos", network="cifar-relu", epochs=2):
        ...     print(epoch)
        epoch 1/2  loss ...  validation loss ..., top-1 ...%  rate 0.0082  ... s  best
        epoch 2/2  loss ...  validation loss ..., top-1 ...%  rate 0.00072  ... s...
        """
        signals = SignalHandler()
        records = self.records(signals=signals)
        try:
            for record in records:
                if isinstance(record, Update):
                    if self._on_update:
                        self._on_update(record)
                elif isinstance(record, Notice):
                    self._tell(record.text)
                else:
                    with signals.released():
                        yield record
            self.write_samples()
        finally:
            records.close()

    def run(self) -> Run:
        """Train to the end; return the run, which `cualex.load` and `cualex.evaluate` take.

        >>> run = cualex.train("photos", network="cifar-relu", epochs=3).run()
        >>> run.outcome()["verdict"]
        'Better than guessing'
        """
        for _ in self:
            pass
        assert self.setup.run
        return self.setup.run

    def open(self, packs: Mapping[str, Split]) -> None:
        """Take the opened splits, by name, instead of opening them; make the directory of the run."""
        self.setup = self.setup.opened(packs)
        self._packs = packs

    def records(self, signals: SignalHandler | None = None) -> Generator[Update | Epoch | Notice, None, None]:
        """Train; yield everything that happens. Curves are drawn meanwhile.

        signals: the handler of Ctrl-C and SIGTERM, which the caller may release while it does not wait for a record.
        """
        if self._finished:
            return
        if self._packs is None:
            chosen = self.setup.options
            packing = Packing(not chosen.no_pack, chosen.cache, chosen.workers)
            self.open(packing.opened(self.setup.source, self.setup.splits, self.setup.network.stored))
            assert self.setup.run
            warn_of_skipped((self._packs or {}).values(), f"{self.setup.run.path / 'skipped.csv'} lists them")
        assert self._packs
        assert self.setup.run
        drawing = Drawing(self.setup.run)
        with contextlib.closing(self.setup.records(self._packs, self._compiling, signals)) as records:
            for record in records:
                yield record
                if isinstance(record, Epoch) and (failed := drawing.again()):
                    yield Notice(failed, kept=False)
        self._finished = True
        if failed := drawing.again(last=True):
            yield Notice(failed, kept=False)

    def write_samples(self) -> Path | None:
        """Write an image of each class of the demo set, to predict, and return their directory; None for other sets."""
        if self.setup.source.name != "demo" or not (self._packs and self.setup.run):
            return None
        directory = self.setup.run.path / "samples"
        samples.write(self._packs[self.setup.validation], directory)
        return directory

    def _tell(self, text: str) -> None:
        self.notices.append(text)
        if self._on_notice:
            self._on_notice(text)


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
    optimizer: Literal["momentum", "adam"] | None = None,
    lr: float | None = None,
    bias_lr: float | None = None,
    head_lr: float | None = None,
    warmup: float | None = None,
    freeze: str | Sequence[str] | None = None,
    multipliers: str | Mapping[str, float] | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    dropout: float | None = None,
    class_weights: Literal["balanced", "none"] | None = None,
    schedule: Literal["plateau", "steps", "cosine", "2012"] | None = None,
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
        Training('photos', alexnet, 29 images in 2 classes, 5 epochs, batch size 16, rate 0.003, cpu)
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
