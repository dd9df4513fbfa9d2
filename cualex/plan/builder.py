"""From a network to the steps of a plan: what the layers call while the list is made.

The builder walks down the network and, in training, up again. Each layer appends its steps. It asks for maps and
gradients on every place where it runs; where towers meet, `gather` and `scatter` put in the links.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cualex.devices.control import Control
from cualex.layers import Shape
from cualex.networks import Stage
from cualex.plan import crop, links, updates
from cualex.plan.buffers import Buffer, Maps, Operand
from cualex.plan.fusion import Unit, units
from cualex.plan.step import Step
from cualex.plan.update_rule import Rule
from cualex.weights.parameters import Parameters


class Builder:
    """Make the steps and buffers of one plan.

    `wanted` are layers whose output is kept; `rule` says what becomes of weight gradients, and which layers are
    frozen; where `weighted`, the loss has class weights.
    """

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        training: bool,
        control: Control,
        fuse: bool,
        wanted,
        rule: Rule,
        weighted: bool = False,
    ):
        """Walk the network: steps, buffers, inputs, outputs, labels, sums and gradients are what comes of it."""
        self.parameters, self.batch, self.training, self.control = parameters, batch, training, control
        self.network, self.places_count = parameters.network, len(parameters.devices)
        self.steps: list[Step] = []
        self.buffers: list[Buffer] = []
        self.inputs: dict[str, list[Buffer]] = {"pictures": [], "views": [], "colours": [], "mean": []}
        self.outputs: dict[str, Maps] = {}
        self.rule, self.gradients = rule, {}
        self._fuse, self._wanted = fuse, {*wanted, list(self.network.layers)[-1]}
        self.labels = Operand(self.input("labels", 0, (batch,), np.int32))
        self.sums = Operand(self.lasting("sums", 0, (4,), np.float64))
        self.class_weights = None
        if weighted:
            shape, dtype = (self.network.classes,), parameters.devices[0].master
            self.class_weights = Operand(self.lasting("class weights", 0, shape, dtype))
        self._walk()

    # --- what layers ask for

    @property
    def index(self) -> int:
        """Return the number of the layer whose steps are being made."""
        return self._unit.stage.index

    @property
    def trained(self) -> bool:
        """Say whether the layer whose steps are being made has parameters that are not frozen."""
        return self.rule.trains(self._unit.stage)

    def places(self, maps: Maps) -> list[int]:
        """Return the places that have a tower of these maps."""
        return [place for place in range(self.places_count) if self.own(place, maps.towers)]

    def towers_of(self, place: int) -> tuple[int, ...]:
        """Return the towers of a place."""
        return self.parameters.placement.towers[place]

    def parameters_of(self, place: int) -> dict[str, np.ndarray]:
        """Return the weights and biases of the layer whose steps are being made."""
        name = self._unit.stage.name
        return {last: self.parameters.read(f"{name}.{last}", place) for last in ("weight", "bias")}

    def state_of(self, place: int) -> dict[str, np.ndarray]:
        """Return what the layer whose steps are being made keeps from step to step, by its last names."""
        own = self._unit.stage.state
        return {name.rpartition(".")[2]: self.parameters.arrays[name, place] for name in own}

    def for_channels(self, x: Maps, label: str) -> Maps:
        """Make room for a number a channel of x, (towers, channels) on each place, as exact as the weights."""
        name, channels = f"{self._unit.stage.name} {label}", x.shape[0]
        parts = [
            part and self.lasting(name, place, (part.shape[0], channels), self.parameters.devices[place].master)
            for place, part in enumerate(x.parts)
        ]
        return Maps((channels, 1, 1), x.towers, tuple(parts))

    def maps(self, shape: Shape, towers: int, label: str = "", border: int | None = None, dtype=None) -> Maps:
        """Make maps for each place; a layer's output gets the border that its reader wants."""
        border = self._border if border is None else border
        name = f"{self._unit.stages[-1].name} {label}".rstrip()
        owns = [len(self.own(place, towers)) for place in range(self.places_count)]
        parts = [
            self.maps_on(place, name, own, shape, border, dtype) if own else None for place, own in enumerate(owns)
        ]
        return Maps(shape, towers, tuple(parts))

    def saved(self, x: Maps, y: Maps) -> Maps | None:
        """Make what the engine keeps of this step, from input x to output y, for the backward pass; or None."""
        kinds = "+".join(stage.layer.kind for stage in self._unit.stages)
        keeps = self.parameters.engine.SAVES.get(kinds)
        if not (self.training and keeps):
            return None
        shape = {"input": x, "output": y}[keeps.like].shape
        return self.maps(shape, x.towers, keeps.label, border=0, dtype=keeps.dtype)

    def gradient(self, x: Maps, *, relu: bool = True) -> Maps | None:
        """Make the gradient of an input; None for the picture, and where nothing is trained below.

        Without `relu` the layer cannot take the derivative of a ReLU below it in the same step.
        """
        if x is self._picture:
            return None
        name, engine = f"{self.below} gradient", self.parameters.engine
        if x.shared:
            return links.gradient(self, x, self._unit.stage.reading.sources, name)
        parts = [
            self.maps_on(place, name, part.shape[0], x.shape) if part else None for place, part in enumerate(x.parts)
        ]
        taken = relu and self._fuse and x.positive and self._unit.stage.layer.kind in engine.TAKES_RELU
        return Maps(x.shape, x.towers, tuple(parts), relu_taken=taken)

    def gather(self, x: Maps, readers: int) -> Maps:
        """Let every reading place have the maps of all towers: link what lies elsewhere."""
        return links.gather(self, x, readers)

    def scatter(self, x: Maps, dy: Maps) -> Maps:
        """Bring the gradients of what each tower gave back to it, and add them."""
        return links.scatter(self, x, dy)

    def step(
        self,
        place: int,
        function: str,
        /,
        *,
        reads: Mapping,
        writes: Mapping | None = None,
        sinks: Mapping | None = None,
        products: int = 0,
        **numbers,
    ) -> None:
        """Append a step: `function(device, **reads, **writes, **sinks, **numbers)` on a place.

        `products` counts how often it makes the layer's product, for the number of operations.
        """
        stage, names = self._unit.stage, tuple(stage.name for stage in self._unit.stages)
        towers = tuple(self.own(place, stage.towers))
        operations = 2 * products * len(towers) * self.batch * stage.layer.multiply_adds(stage.reading.shape)
        step = Step("+".join(names), self.kind, names, towers, place, "", function, operations=operations)
        self.append(replace(step, reads=dict(reads), writes=writes or {}, sinks=sinks or {}, numbers=numbers))

    # --- how the list is made

    def _walk(self) -> None:
        fuses = self.parameters.engine.FUSES if self._fuse else set()
        grouped = units(self.network, fuses, self._wanted)
        x, passed = crop.crop(self), []
        self._picture = x
        for number, unit in enumerate(grouped):
            self._enter("forward", grouped, number)
            y, kept = unit.stage.layer.forward(self, x, tuple(stage.layer for stage in unit.then))
            if unit.stages[-1].layer.kind == "relu":
                y = replace(y, positive=True)
            self._keep(unit.stages[-1].name, y)
            passed.append((number, unit, x, y, kept))
            if x is self._picture and not self.trained:
                self._picture = y  # nothing below it learns: it needs no gradient either
            x = y
        dy = None
        for number, unit, x, y, kept in reversed(passed) if self.training else ():
            self._enter("backward", grouped, number)
            then = [stage.layer for stage in unit.then]
            if then and then[-1].kind == "relu":
                dy = then.pop().backward(self, y, y, {}, dy, ())
            dy = unit.stage.layer.backward(self, x, y, kept, dy, tuple(then))
            if dy is None:
                break
        if self.training:
            updates.append(self)

    def begin(self, kind: str, stage: Stage) -> None:
        """Note that the steps which come next are this stage's."""
        self.kind, self._unit = kind, Unit(stage)

    def _enter(self, kind: str, grouped: list[Unit], number: int) -> None:
        """Note whose steps come next, what reads its output, and what made its input."""
        self.kind, self._unit = kind, grouped[number]
        later = (unit.stage for unit in grouped[number + 1 :])
        reader = next((stage for stage in later if stage.layer.kind not in ("exchange", "join")), None)
        self.reader = reader.name if reader else ""
        borders = reader and self.parameters.engine.BORDERS
        self._border = reader.layer.border(reader.reading.shape) if borders else 0
        self.below = grouped[number - 1].stages[-1].name if number else "picture"

    def _keep(self, name: str, y: Maps) -> None:
        """Keep an output that was asked for."""
        if name in self._wanted:
            self.outputs[name] = y
            kept = [operand.buffer for sources in y.sources for operand in sources]
            for part in (*y.parts, *kept):
                if part:
                    part.lasting = True

    def own(self, place: int, towers: int) -> list[int]:
        """Return which of the first `towers` towers a place has."""
        return self.parameters.towers_on(place, towers)

    def input(self, name: str, place: int, shape: tuple[int, ...], dtype) -> Buffer:
        """Make an input that changes with each batch: where the engine loads ahead, a slot for each in flight."""
        return self.lasting(name, place, (*self.parameters.engine.SLOTS, *shape), dtype)

    def lasting(self, name: str, place: int, shape: tuple[int, ...], dtype) -> Buffer:
        """Make an input or result, which keeps its memory."""
        self.buffers.append(Buffer(name, place, shape, np.dtype(dtype), lasting=True))
        return self.buffers[-1]

    def maps_on(self, place: int, name: str, towers: int, shape: Shape, border: int = 0, dtype=None) -> Buffer:
        """Make the buffer of some maps on one place."""
        channels, rows, columns = shape
        full = (towers, self.batch, rows + 2 * border, columns + 2 * border, channels)
        dtype = np.dtype(dtype or self.parameters.devices[place].dtype)
        self.buffers.append(Buffer(name, place, full, dtype, border, lasting=border > 0))
        return self.buffers[-1]

    def append(self, step: Step) -> None:
        """Append a step, and note the life of what it touches."""
        for operand in step.operands():
            operand.buffer.used(len(self.steps))
        self.steps.append(replace(step, device=self.parameters.placement.names[step.place]))
