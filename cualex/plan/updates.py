"""The last steps of a plan that keeps gradients: each parameter is updated by its gradient."""

from typing import TYPE_CHECKING

from cualex.layers.maps import Operand
from cualex.plan.step import Step, name_of

if TYPE_CHECKING:
    from cualex.plan.builder import Builder


def append(build: "Builder") -> None:
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
        if rule.sink != "keep":
            towers, sinks = tuple(build.own(place, stage.towers)), {"sink": name.rpartition(".")[2]}
            apply, reads = build.engine.update.apply, {"gradient": Operand(made)}
            what = name, "update", (stage.name,), towers, place, "", name_of(apply)
            build.append(Step(*what, call=apply, reads=reads, sinks=sinks))
