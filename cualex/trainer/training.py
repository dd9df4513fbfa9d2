"""A training from Python: a record an epoch, curves in notebooks, and what is left in the run at its end."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

from cualex.data.opening import Packing, warn_of_skipped
from cualex.data.split import Split
from cualex.plots import samples
from cualex.plots.curves import Drawing
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run
from cualex.training.setup import Setup
from cualex.training.signals import SignalHandler


class Training:
    """A training: iterate over it for a record an epoch, or call `run`, which returns the Run.

        >>> training = cualex.train("photos", network="cifar-relu", epochs=3, lr=0.005)
        >>> training
        Training('photos', cifar-relu, 32 images in 2 classes, 3 epochs, batch size 16, rate 0.005, cpu)
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

    def _repr_html_(self) -> str:
        from cualex.page import notebook

        return notebook.training(repr(self), self.directory)

    def __iter__(self) -> Iterator[Epoch]:
        """Train; yield a record at the end of each epoch that is left.

        >>> for epoch in cualex.train("photos", network="cifar-relu", epochs=2):
        ...     print(epoch)
        epoch 1/2  loss ...  validation loss ..., top-1 ...%  rate 0.0085  ... s  best
        epoch 2/2  loss ...  validation loss ..., top-1 ...%  rate 0.0015  ... s...
        """
        from cualex.page import notebook

        ended, signals, live = self._finished, SignalHandler(), notebook.Live()
        records = self.records(signals=signals)
        try:
            for record in records:
                if isinstance(record, Update):
                    if self._on_update:
                        self._on_update(record)
                elif isinstance(record, Notice):
                    self._tell(record.text)
                else:
                    live.show(self.setup.run)
                    with signals.released():
                        yield record
            if not ended:
                live.show(self.setup.run, last=True)
                self.write_samples()
                if failed := self.write_report():
                    self._tell(failed)
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
        first = self.setup.ranks.first
        drawing = Drawing(self.setup.run)
        with contextlib.closing(self.setup.records(self._packs, self._compiling, signals)) as records:
            for record in records:
                yield record
                if first and isinstance(record, Epoch) and (failed := drawing.again()):
                    yield Notice(failed, kept=False)
        self._finished = True
        if first and (failed := drawing.again(last=True)):
            yield Notice(failed, kept=False)

    def write_samples(self) -> Path | None:
        """Write an image of each class of the demo set, to predict, and return their directory; None for other sets."""
        if self.setup.source.name != "demo" or not (self._packs and self.setup.run):
            return None
        directory = self.setup.run.path / "samples"
        samples.write(self._packs[self.setup.validation], directory)
        return directory

    def write_report(self) -> str | None:
        """Write report.html into the run's directory, unless `no_report`; return why it could not be written."""
        setup = self.setup
        if setup.options.no_report or not (self._packs and setup.run):
            return None
        from cualex.page import sections

        split = self._packs[setup.validation]
        return sections.at_end(setup.run, split, setup.validation, setup.device, setup.options.precision)

    def _tell(self, text: str) -> None:
        self.notices.append(text)
        if self._on_notice:
            self._on_notice(text)
