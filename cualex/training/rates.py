"""The course of a training: in each epoch the rates, the factors of single layers, the colour noise, and the end."""

from cualex.errors import UsageError
from cualex.layers import Dense
from cualex.networks import Network
from cualex.plan.update_rule import Rule
from cualex.training.hand import LAYER, Hand
from cualex.training.recipes import Recipe
from cualex.training.schedules import EarlyStop


def head_of(network: Network) -> str:
    """Name the last dense layer, which gives the classes."""
    return [name for name, layer in network.layers.items() if isinstance(layer, Dense)][-1]


class Course:
    """Follow a recipe through the epochs.

    schedule: of the rate.  stop: the rule that ends a training early.
    ending: the last epoch of a training that one of these has ended early, 0 for none.
    began: the update after which the update rule began, from which Adam counts.
    """

    def __init__(self, recipe: Recipe, network: Network):
        """Stand at the start; raise UsageError where the recipe names a layer that the network has not."""
        self.recipe, self.network = recipe, network
        self.schedule, self.stop = recipe.begin(), EarlyStop(recipe.stop_after)
        self.ending = self.began = 0
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in network.parameters()))
        wanted = [*recipe.freeze, *([LAYER] if isinstance(self.schedule, Hand) else [])]
        if unknown := [name for name in wanted if name not in layers]:
            raise UsageError(
                f"{network.name} has no trainable layer {unknown[0]!r}; its trainable layers are {', '.join(layers)}"
            )

    def check(self) -> None:
        """Raise UsageError where no plan can be made, for the batch or for what is left to learn."""
        rule = Rule(self.recipe.optimizer, self.factors(1), self.recipe.accumulate)
        rule.check(self.network, self.recipe.batch)

    @property
    def last(self) -> int:
        """Return the last epoch, as far as it is known."""
        return self.ending or self.recipe.epochs

    @property
    def noisy(self) -> int:
        """Return the last epoch whose pictures have colour noise."""
        return self.last - self.recipe.plain

    def rates(self, epoch: int, done: float) -> tuple[float, float]:
        """Return the rates of weights and of biases in an update: biases keep their ratio, or in 2012 their rate."""
        rate, biases = self.schedule.at(epoch, done), self.recipe.biases
        return rate, biases if isinstance(self.schedule, Hand) else rate * (biases / self.recipe.rate)

    def factors(self, epoch: int) -> dict[str, float]:
        """Return the factors of the rate of single parameters in an epoch; a frozen layer's are 0."""
        names, head, factors = list(self.network.parameters()), head_of(self.network), {}
        if self.recipe.head_rate != 1:
            factors |= {name: self.recipe.head_rate for name in names if name.startswith(f"{head}.")}
        if isinstance(self.schedule, Hand):
            factors |= self.schedule.factors(epoch, self.recipe.biases, names)
        return factors | {name: 0.0 for name in names if name.rpartition(".")[0] in self.recipe.freeze}

    def after_epoch(self, error: float, epoch: int) -> list[str]:
        """Take the validation error of an epoch in percent; return what changes, in words.

        A training that ends early still has its last epochs without colour noise, if they have not begun.
        """
        if self.ending:
            return []
        said = [text for text in (self.schedule.after_epoch(error, epoch), self.stop.after_epoch(error)) if text]
        if self.schedule.finished or self.stop.finished:
            noise = self.recipe.augment and self.recipe.colour_noise and epoch <= self.noisy
            plain = self.recipe.plain if noise else 0
            self.ending = min(epoch + plain, self.recipe.epochs)
            if self.ending > epoch:
                said.append(f"before that {self.ending - epoch} epochs without colour noise")
        return said if epoch < self.recipe.epochs else []

    def state(self) -> dict:
        """Return what a resumed training needs beside the schedule's own state."""
        return {"ending": self.ending, "began": self.began, "stop": vars(self.stop)}

    def restore(self, state: dict, update: int, before: Recipe) -> None:
        """Take what `state` returned after some updates by the recipe `before`."""
        state = Course(before, self.network).state() | state  # a checkpoint may be older than some of these
        self.began = state["began"] if before.optimizer == self.recipe.optimizer else update
        self.stop = EarlyStop(**state["stop"] | {"patience": self.recipe.stop_after})
        if before == self.recipe or self.schedule.finished:
            self.ending = state["ending"]
        elif self.stop.finished:
            self.stop = EarlyStop(self.recipe.stop_after, self.stop.best)
