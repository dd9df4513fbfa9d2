"""From options to a training: data set, recipe, weights and device, all checked before an image is decoded."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cualex import networks, pretrained
from cualex.data import batches, sources
from cualex.data.sources import Source
from cualex.data.split import Split
from cualex.devices import placement
from cualex.errors import UsageError
from cualex.networks import Network, own
from cualex.networks.from_file import File
from cualex.ranks import ALONE, Ranks
from cualex.training import beginning, finetuning, large_batches, loop, parts, recipe_choice
from cualex.training.finetuning import Start
from cualex.training.options import AUTO, Options
from cualex.training.rates import Course
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run, event_files, restore
from cualex.training.run.checkpoints import Room
from cualex.training.run.unwritten import shared
from cualex.training.signals import SignalHandler
from cualex.weights import Weights

Records = Generator[Update | Epoch | Notice, None, None]


@dataclass(frozen=True)
class Setup:
    """A training that is ready to begin.

    run: the one that is resumed, None for a new one.  automatic: the recipe without the user's numbers, where it
    followed from the data set.  start: weights for fine-tuning.  validation: the split to validate on.
    remarks: on validation and learning rate, sentences for the user.  ranks: the processes that train together.
    """

    options: Options
    run: Run | None
    source: Source
    recipe: Recipe
    automatic: Recipe | None
    start: Start | None
    network: Network
    device: str
    validation: str
    remarks: tuple[str, ...]
    ranks: Ranks = ALONE

    @property
    def splits(self) -> list[str]:
        """The splits to open."""
        return list(dict.fromkeys(("train", self.validation)))

    def check_room(self) -> str:
        """Return how much the run writes, as a sentence; raise OutputError where the disk has too little space."""
        directory = self.run.path if self.run else self.options.output
        return Room.of(self.network, self.recipe).check(directory, self.run is None, self.options.keep)

    def opened(self, packs: Mapping[str, Split]) -> "Setup":
        """Return the setup of a run with its directory, which is made now unless it is resumed.

        Images that cannot be read leave fewer than were counted: a batch size that was chosen automatically follows.
        """
        recipe = self.recipe
        if self.automatic and self.options.batch_size is None:
            recipe = recipe.but(batch=min(recipe.batch, len(packs["train"])))
        batches.check_batch(packs["train"], recipe.batch)
        if self.ranks.size > 1:
            parts.check(recipe, self.ranks.size)

        def made() -> Run:
            self.check_room()  # again, after packs that may lie on the same disk
            return self.run or Run.create(self.options.output, self.options.name)

        return replace(self, recipe=recipe, run=shared(self.ranks, made))

    def records(
        self,
        packs: Mapping[str, Split],
        compiling: Callable[[int, int], None] | None = None,
        signals: SignalHandler | None = None,
    ) -> Records:
        """Return the records of the training, which begins with the first of them; after `opened`."""
        assert self.run
        return loop.train(
            self.recipe,
            packs["train"],
            packs[self.validation],
            self.run,
            device=self.device,
            precision=self.options.precision,
            description=self.description(packs["train"]),
            save_every=60 * self.options.save_every,
            compiling=compiling,
            watched=self.options.watch,
            start=self.start,
            keep=self.options.keep,
            tensorboard=self.options.tensorboard,
            signals=signals,
            ranks=self.ranks,
        )

    def description(self, pack: Split) -> dict[str, Any]:
        """Return what args.json keeps, by which a run is resumed."""
        assert pack.components is not None  # train has them
        options = self.options
        return {
            "data": self.source.name,
            **options.division,
            "names": options.names and str(Path(options.names).absolute()),
            "device": self.device,
            "precision": options.precision,
            "start": options.weights and pretrained.named(options.weights),
            "save_every": options.save_every,
            "no_pack": options.no_pack,
            "watch": options.watch,
            "tensorboard": options.tensorboard,
            "no_report": options.no_report,
            "keep": options.keep,
            "recipe": self.recipe.described(),
            "colours": {"covariance": pack.covariance, **vars(pack.components)},
        }


def prepare(
    options: Options,
    run: Run | None,
    checked: Callable[[Recipe], Recipe] | None = None,
    writes: bool = True,
    ranks: Ranks = ALONE,
) -> Setup:
    """Return the setup of a training with these options; run: the one to resume, locked (`beginning.resumed`).

    checked: for a sanity check, returns its recipe for the training's.  writes: False for a check, which writes no
    run and validates nothing.  ranks: the processes that train together, of which this is one.
    Raise UsageError for options that exclude each other, DataError for a set that cannot be trained on, WeightsError,
    and DeviceError for a device that does not exist.
    """
    asked, file = options, _file(options, run)
    options, recipe, found = _first(_network_of(options, file, asked) if file else options, run)
    # Once, as it makes a stream on the GPU: what follows must not meet another answer.
    options = options.but(device=placement.named(options.device))
    source = sources.find(options.data, names=options.names, lost=options.lost, **options.division)
    if file:
        options = _network_of(options, file, asked, len(source.classes))
    usual: Recipe | None = None  # of a new training, with the batch size that its learning rate is for
    if recipe is None:
        images = len(source.splits["train"])
        if found is None and checked is None:
            found = beginning.bundled(options, source.name, images)
            options = options.but(weights=_bundled_name() if found else None)
        recipe = recipe_choice.begin(options, images, found).but(seed=options.seed)
        usual = recipe_choice.begin(options.but(batch_size=None), images, found)
        if file:
            recipe = recipe.but(crop=options.crop, mean_at=options.mean_at, variant=options.variant)
    chosen = run is None and options.recipe == AUTO and not options.described
    automatic = recipe if chosen and checked is None else None
    recipe = recipe_choice.changed(recipe, options)
    if checked is not None:
        if run is not None:
            restore.check_fixed(run, recipe)
        recipe = checked(recipe)
    else:
        cuda = options.device.startswith("cuda")
        recipe = parts.dealt(recipe, options, run is None, ranks, cuda)
        if run is not None:
            restore.check(run, recipe)
    start = finetuning.start(found, recipe, list(source.classes)) if found else None
    arguments = found.network.arguments if found else {}  # with those that no recipe has
    network = networks.build(recipe.network, **arguments | recipe.arguments(len(source.classes)))
    Course(recipe, network).check()
    placed = placement.placement(options.device, network.towers)
    placement.open_devices(placed, options.precision)  # refuse a device now, and not after packing
    validation = source.validation or "train"
    remarks: tuple[str, ...] = ()
    if checked is None:
        batches.check_batch(source.splits["train"], recipe.batch)
    if not writes:
        validation = "train"
    else:
        if run is None and ranks.first:
            Run.prepare(options.output, options.name)
        if options.tensorboard:
            event_files.check()
        remarks = (*_remarks(source), *beginning.imported(found), *_on_rates(usual, recipe, options))
    return Setup(options, run, source, recipe, automatic, start, network, str(placed), validation, remarks, ranks)


def _file(options: Options, run: Run | None) -> File | None:
    """Return the user's Python file that --network names, or None; it is run here, and never for a run that goes on."""
    if not own.is_own(options.network) or "network" not in options.given:
        return None
    if run is not None:
        raise UsageError(f"--network {options.network}: a run goes on with its own layers; leave --network out")
    if options.weights or options.pretrained:
        option = "--from" if options.weights else "--pretrained"
        way = ", or add --scratch" if options.config else ""
        raise UsageError(f"--network {options.network}: {option} has a network of its own; leave one of them out{way}")
    return File(options.network)


def _network_of(options: Options, file: File, asked: Options, classes: int | None = None) -> Options:
    """Return the options with the network of the user's file, as its name and its layers as plain values."""
    given = {"classes": classes, "crop": asked.crop, "mean_at": asked.mean_at}
    made = file.network(asked.variant, **{name: value for name, value in given.items() if value is not None})
    kept = {name: value for name, value in made.arguments.items() if name not in given}
    return options.but(network=made.name, crop=made.crop, mean_at=made.mean_at, variant=kept)


def _first(options: Options, run: Run | None) -> tuple[Options, Recipe | None, Weights | None]:
    """Return the options with what follows from them before the data set is read, a run's recipe, and the weights."""
    if run is not None:
        recipe, options = beginning.of_run(run, options)
        return options, recipe, None
    found = beginning.chosen(options)
    if found:
        options = options.but(network=found.network.name)
    elif options.described and "network" not in options.given:
        options = options.but(network=options.described.get("network", options.network))
    if options.pretrained:
        options = options.but(weights=_bundled_name())
    options = options.but(recipe=recipe_choice.name(options))
    recipe_choice.check(options)  # before the data set is looked at
    return options, None, found


def _bundled_name() -> Path:
    return Path(pretrained.NAME)


def _remarks(source: Source) -> tuple[str, ...]:
    """Return what to know where the training images validate."""
    if source.validation:
        return ()
    evaluated = "no validation images, so the training images are evaluated, at their centre crops."
    unused = ("the test images are not used; --val test validates on them.",) if "test" in source.splits else ()
    return evaluated, *unused


def _on_rates(usual: Recipe | None, recipe: Recipe, options: Options) -> tuple[str, ...]:
    """Return what to know of the learning rate of a new training, where the batch is not the recipe's."""
    if usual is None:
        return ()
    said = large_batches.scaling(usual, recipe, "lr" in options.given), large_batches.published(recipe)
    return tuple(filter(None, said))
