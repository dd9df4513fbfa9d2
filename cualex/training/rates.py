"""Learning rates of a training by epoch: of weights and biases, multipliers of layers, early stop, colour noise."""

from typing import Any

from cualex.errors import UsageError
from cualex.layers import Dense
from cualex.networks import Network
from cualex.plan.update_rule import Rule
from cualex.training.recipes import Recipe
from cualex.training.schedules import LAYER_2012, EarlyStop, Schedule2012

COLD = 0.01  # the factor of the rates at the start of a warm-up


def head_of(network: Network) -> str:
    """Return the name of the last dense layer, which has an output a class."""
    return [name for name, layer in network.layers.items() if isinstance(layer, Dense)][-1]


class Course:
    """State of the learning rates of a training.

    schedule: of the rate.  stop: early stopping.  ending: the last epoch of a training that these have ended early, or
    0.  began: the update after which the optimizer started, from which Adam counts.
    """

    def __init__(self, recipe: Recipe, network: Network) -> None:
        """Start before the first epoch; raise UsageError when the recipe names a layer that the network lacks."""
        self.recipe, self.network = recipe, network
        self.schedule, self.stop = recipe.begin(), EarlyStop(recipe.stop_after)
        self.ending = self.began = 0
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in network.parameters()))
        wanted = [*recipe.freeze, *([LAYER_2012] if isinstance(self.schedule, Schedule2012) else [])]
        if unknown := [name for name in wanted if name not in layers]:
            raise UsageError(
                f"{network.name} has no trainable layer {unknown[0]!r}; its trainable layers are {', '.join(layers)}"
            )

    def check(self) -> None:
        """Raise UsageError when batch size or frozen layers allow no plan, or the warm-up never ends."""
        rule = Rule(self.recipe.optimizer, self.factors(1), self.recipe.accumulate, self.decays())
        rule.check(self.network, self.recipe.batch)
        if self.recipe.warmup >= self.recipe.epochs:
            raise UsageError(
                f"--warmup {self.recipe.warmup:g}: expected fewer epochs than the training has, {self.recipe.epochs}"
            )

    @property
    def last(self) -> int:
        """The last epoch, unless the training ends earlier."""
        return self.ending or self.recipe.epochs

    @property
    def noisy(self) -> int:
        """The last epoch with colour noise."""
        return self.last - self.recipe.plain

    def rates(self, epoch: int, done: float) -> tuple[float, float]:
        """Return the rates of weights and biases in an update after a fraction `done` of all updates.

        Biases keep their ratio, or in 2012 their rate. Both are multiplied by the warm-up's factor.
        """
        rate, biases, factor = self.schedule.at(epoch, done), self.recipe.biases, self._warmed(done)
        if not isinstance(self.schedule, Schedule2012):
            biases = rate * (biases / self.recipe.rate)
        return factor * rate, factor * biases

    def _warmed(self, done: float) -> float:
        """Return the warm-up's factor of the rates, a function of the update alone.

            f + (1 - f) e / warmup        before epoch e = warmup, counted in images; f = 0.01
            1                             from then on

        The schedule goes on below it, as in torchvision's references, where f is 0.01 too. Goyal et al. (2017), section
        2.2, began with the rate of a smaller batch; not at 0, where the first update would do nothing.
        """
        epochs = done * self.recipe.epochs
        if epochs >= self.recipe.warmup:
            return 1.0
        return COLD + (1 - COLD) * epochs / self.recipe.warmup

    def factors(self, epoch: int) -> dict[str, float]:
        """Return the learning-rate multipliers of parameters in an epoch; of frozen layers 0."""
        names, head = list(self.network.parameters()), head_of(self.network)
        factors: dict[str, float] = {}
        if self.recipe.head_rate != 1:
            factors |= {name: self.recipe.head_rate for name in names if name.startswith(f"{head}.")}
        if isinstance(self.schedule, Schedule2012):
            factors |= self.schedule.factors(epoch, self.recipe.biases, names)
        for parameter, factor in self._multipliers("lr").items():
            factors[parameter] = factors.get(parameter, 1.0) * factor
        return factors | {name: 0.0 for name in names if name.rpartition(".")[0] in self.recipe.freeze}

    def decays(self) -> dict[str, float]:
        """Return the multipliers of the weight decay that the recipe sets, by parameter."""
        return self._multipliers("decay")

    def _multipliers(self, kind: str) -> dict[str, float]:
        """Return the recipe's multipliers of a kind, "lr" or "decay", by parameter; the more special goes last.

        Of a layer, as "conv1.decay", the rate is that of all its parameters, and the decay of those that have any.
        Raise UsageError for a layer or parameter that the network lacks.
        """
        found: dict[str, float] = {}
        decaying = {name: each.decay for stage in self.network.stages() for name, each in stage.parameters.items()}
        for key, factor in sorted(self.recipe.multipliers.items(), key=lambda item: item[0].count(".")):
            what, _, last = key.rpartition(".")
            if last != kind:
                continue
            own = [name for name in decaying if name == what or name.rpartition(".")[0] == what]
            if not own:
                layers = dict.fromkeys(name.rpartition(".")[0] for name in decaying)
                raise UsageError(f"--set {key}: {self.network.name} has no {what!r}; there are {', '.join(layers)}")
            found |= {name: factor for name in own if kind == "lr" or decaying[name] or name == what}
        return found

    def after_epoch(self, error: float, epoch: int) -> list[str]:
        """Update the schedule by the validation error of an epoch in percent; return texts about changes.

        A training that ends early still runs its last epochs without colour noise, if they have not begun.
        """
        if self.ending:
            return []
        texts = [text for text in (self.schedule.after_epoch(error, epoch), self.stop.after_epoch(error)) if text]
        if self.schedule.finished or self.stop.finished:
            noise = self.recipe.augment and self.recipe.colour_noise and epoch <= self.noisy
            plain = self.recipe.plain if noise else 0
            self.ending = min(epoch + plain, self.recipe.epochs)
            if self.ending > epoch:
                texts.append(f"before that {self.ending - epoch} epochs without colour noise")
        return texts if epoch < self.recipe.epochs else []

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint, without the schedule's."""
        return {"ending": self.ending, "began": self.began, "stop": vars(self.stop)}

    def restore(self, state: dict[str, Any], update: int, before: Recipe) -> None:
        """Restore `state` of a checkpoint after `update` updates by the recipe `before`."""
        state = Course(before, self.network).state() | state  # an older checkpoint may lack some of these
        self.began = state["began"] if before.optimizer == self.recipe.optimizer else update
        self.stop = EarlyStop(**state["stop"] | {"patience": self.recipe.stop_after})
        if before == self.recipe or self.schedule.finished:
            self.ending = state["ending"]
        elif self.stop.finished:
            self.stop = EarlyStop(self.recipe.stop_after, self.stop.best)
