"""Which neighbouring layers an engine runs in one step."""

from collections.abc import Set
from dataclasses import dataclass

from cualex.networks import Network, Stage


@dataclass(frozen=True)
class Unit:
    """A layer, and those that the engine runs in the same step."""

    stage: Stage
    then: tuple[Stage, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the layers in their order."""
        return (self.stage, *self.then)


def units(network: Network, fuses: Set[tuple[str, str]], wanted: Set[str]) -> list[Unit]:
    """Group the layers of a network in pairs that `fuses` names; an output that is wanted ends its group."""
    groups, stages = [], list(network.stages())
    while stages:
        unit = Unit(stages.pop(0))
        pair = (unit.stage.layer.kind, stages[0].layer.kind) if stages else None
        if pair in fuses and unit.stage.name not in wanted:
            unit = Unit(unit.stage, (stages.pop(0),))
        groups.append(unit)
    return groups
