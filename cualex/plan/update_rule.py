"""What a plan does with weight gradients: which rule moves which parameter, how fast, and which are left alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.engine.weight_ops import Sink
from cualex.errors import UsageError
from cualex.layers.maps import Operand
from cualex.networks import Network, Stage
from cualex.plan.step import Step, name_of
from cualex.weights.parameters import AVERAGES, Parameters

if TYPE_CHECKING:
    from cualex.plan.builder import Builder

SINKS = ("momentum", "adam", "lars", "keep")
ORDERS = ("chain", "tree")


@dataclass(frozen=True)
class Rule:
    """How a plan updates its parameters.

    sink: "momentum", "adam" or "lars", the update rule; "keep" stores the gradients and moves nothing.
    factors: learning-rate multipliers, by parameter ("conv1.bias"), 1 where none is given. A layer whose factors are
    all 0 is frozen: it has no update and no weight gradient, and layers below the lowest trained one no backward pass.
    decays: multipliers of the weight decay, by parameter; where none is given 1, and 0 for biases.
    parts: in how many parts a batch is computed, whose gradients are added up before one update.
    order: in which they are added: a "chain", ((1 + 2) + 3) + 4, as runs of 0.1 do, or a "tree", (1 + 2) + (3 + 4).
    ranks, rank: of how many processes, each with as many parts, this is which.
    """

    sink: str = "momentum"
    factors: Mapping[str, float] = field(default_factory=dict)
    parts: int = 1
    decays: Mapping[str, float] = field(default_factory=dict)
    order: str = "chain"
    ranks: int = 1
    rank: int = 0

    @property
    def own(self) -> int:
        """Return how many parts this process computes."""
        return self.parts // self.ranks

    @property
    def first(self) -> int:
        """Return the index of the first of them in the batch."""
        return self.rank * self.own

    def check(self, network: Network, batch: int) -> None:
        """Raise UsageError unless there is something to train and the batch has equal parts, each large enough."""
        if self.sink not in SINKS:
            raise UsageError(f"update rule {self.sink!r}: expected {', '.join(SINKS)}")
        if self.order not in ORDERS:
            raise UsageError(f"order of sums {self.order!r}: expected {', '.join(ORDERS)}")
        if batch % self.parts:
            fits = max(parts for parts in range(1, self.parts) if batch % parts == 0)
            raise UsageError(
                f"batch size {batch} is not divisible by --accumulate {self.parts}: "
                f"use --accumulate {fits}, or another --batch-size"
            )
        if unknown := sorted((self.factors.keys() | self.decays.keys()) - network.parameters().keys()):
            raise UsageError(f"{network.name} has no parameter {unknown[0]!r}")
        stages = [stage for stage in network.stages() if stage.parameters]
        for stage in stages:
            own = [self.factor(name) for name in stage.parameters]
            if min(own) < 0 or (min(own) == 0 < max(own)):
                raise UsageError(
                    f"{stage.name}: expected learning-rate multipliers above 0, or 0 for all its parameters; got {own}"
                )
            least = stage.layer.least_batch(stage.reading.shape) if self.trains(stage) else 1
            if batch < least * self.parts:
                what = f"parts of {batch // self.parts}" if self.parts > 1 else f"a batch of {batch}"
                raise UsageError(
                    f"{network.name} cannot be trained on {what}: {stage.name} divides each channel by its standard "
                    f"deviation, and one value has none. Use --batch-size {least * self.parts} or more"
                )
        if not any(map(self.trains, stages)):
            raise UsageError(f"every layer of {network.name} is frozen, so there is nothing to train")

    def factor(self, name: str) -> float:
        """Return a parameter's learning-rate multiplier."""
        return self.factors.get(name, 1.0)

    def trains(self, stage: Stage) -> bool:
        """Return whether a layer has parameters that are trained."""
        return any(self.factor(name) for name in stage.parameters)

    @property
    def keeps(self) -> bool:
        """Return whether gradients are kept, and not handed to the update within the step that makes them."""
        return self.sink != "momentum" or self.parts > 1

    def make(
        self, parameters: Parameters, name: str, place: int, gradient: Array, levels: list[Array], control: Control
    ) -> Sink:
        """Make the sink that takes a parameter's gradient: where it is kept, or the update itself."""
        update = parameters.engine.update
        if not self.keeps:
            return self.mover(parameters, name, place, control)
        if self.own == 1:
            return update.Keep(gradient)
        if (tree := parameters.engine.tree) and self.order == "tree":
            return tree.TreeSum((*levels, gradient), self.own, control)
        return update.Sum(gradient, control)

    def mover(self, parameters: Parameters, name: str, place: int, control: Control) -> Sink:
        """Make what moves a parameter by its gradient."""
        update, last = parameters.engine.update, name.rpartition(".")[2]
        numbers: dict[str, Any] = {
            "control": control,
            "decay": self.decays.get(name, float(parameters.stages[name].parameters[name].decay)),
            "copy": parameters.copies.get((name, place)),
            "factor": self.factor(name),
            "bias": last == "bias",
        }
        weight = parameters.arrays[name, place]
        if self.sink == "adam":
            first, second = (parameters.velocity(name, place, average) for average in AVERAGES)
            return update.Adam(weight, first, second, **numbers)
        rule = update.Lars if self.sink == "lars" else update.Momentum
        return rule(weight, parameters.velocity(name, place), **numbers)


def append_updates(build: "Builder") -> None:
    """Make room for the gradients that are kept, and append the steps that update the parameters."""
    rule, parameters = build.rule, build.parameters
    if not rule.keeps:
        return
    for (name, place), like in parameters.arrays.items():
        stage = parameters.stages.get(name)
        if stage is None or not rule.trains(stage):
            continue
        made = build.lasting(f"{name} gradient", place, like.shape, like.dtype)
        build.gradients[name, place] = made
        if (tree := build.engine.tree) and rule.order == "tree":
            further = range(tree.levels(rule.own) - 1)
            levels = [
                build.lasting(f"{name} gradient, level {each}", place, like.shape, like.dtype) for each in further
            ]
            build.levels[name, place] = levels
        if rule.sink != "keep":
            towers, sinks = tuple(build.own(place, stage.towers)), {"sink": name.rpartition(".")[2]}
            apply, reads = build.engine.update.apply, {"gradient": Operand(made)}
            what = name, "update", (stage.name,), towers, place, "", name_of(apply)
            build.append(Step(*what, call=apply, reads=reads, sinks=sinks))
