"""From a network to the steps of a plan: the walk over its layers, and what they ask for on the way.

The builder walks down the network and, in training, up again. Each layer asks for maps, gradients and steps, and gets
them on every device; where towers meet, `gather` and `scatter` put in the links. `layers.build.Build` is the contract.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from cualex.devices.control import Control
from cualex.layers.layer import Kept
from cualex.layers.maps import Arguments, Buffer, Maps, PerDevice, Shape
from cualex.networks import Stage
from cualex.plan import crop, links
from cualex.plan.fusion import Unit, units
from cualex.plan.parts import Parts
from cualex.plan.step import Step, name_of
from cualex.plan.update_rule import Rule, append_updates
from cualex.weights.parameters import Parameters

NOTHING: Mapping[str, Any] = {}
Passed = tuple[int, Unit, Maps, Maps, Kept]  # a unit's number, it, its input, its output, what it keeps


class Builder(Parts):
    """The steps and buffers of one plan, made by its layers: each is handed the builder as its `Build`.

    `wanted` are layers whose output is kept; `rule` is how parameters are updated, and which layers are
    frozen; where `weighted`, the loss has class weights.
    """

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        training: bool,
        control: Control,
        fuse: bool,
        wanted: Collection[str],
        rule: Rule,
        weighted: bool = False,
    ):
        """Walk the network, which makes steps, buffers, inputs, outputs, labels, sums and gradients."""
        super().__init__(parameters, batch, training, weighted)
        self.control, self.rule, self._fuse = control, rule, fuse
        self._wanted = {*wanted, list(self.network.layers)[-1]}
        self.inputs: dict[str, list[Buffer]] = {"pictures": [], "views": [], "colours": [], "mean": []}
        self.outputs: dict[str, Maps] = {}
        self.gradients: dict[tuple[str, int], Buffer] = {}
        self.levels: dict[tuple[str, int], list[Buffer]] = {}
        self._walk()

    # --- what layers ask for

    @property
    def index(self) -> int:
        """Return the index of the layer whose steps are being made."""
        return self._unit.stage.index

    @property
    def trained(self) -> bool:
        """Return whether the layer whose steps are being made has parameters that are not frozen."""
        return self.training and self.rule.trains(self._unit.stage)

    @property
    def accumulated(self) -> int:
        """Return in how many parts a batch is computed."""
        return self.rule.parts

    @property
    def first_tower(self) -> PerDevice:
        """Return the index of each device's first tower."""
        return PerDevice(lambda place: self.towers_of(place)[0])

    @property
    def weight(self) -> PerDevice:
        """Return the weights of the layer whose steps are being made, as the forward pass reads them."""
        return PerDevice(partial(self.parameters.read, f"{self._unit.stage.name}.weight"))

    @property
    def bias(self) -> PerDevice:
        """Return the biases of the layer whose steps are being made."""
        return PerDevice(partial(self.parameters.read, f"{self._unit.stage.name}.bias"))

    def state(self, last: str) -> PerDevice:
        """Return what the layer whose steps are being made keeps from step to step."""
        name = f"{self._unit.stage.name}.{last}"
        return PerDevice(lambda place: self.parameters.arrays[name, place])

    def per_channel(self, x: Maps, label: str) -> Maps:
        """Make (towers, channels) on all devices: a number for each channel of x, as exact as the weights."""
        name, channels = f"{self._unit.stage.name} {label}", x.shape[0]
        parts = [
            part and self.lasting(name, place, (part.shape[0], channels), self.parameters.devices[place].master)
            for place, part in enumerate(x.parts)
        ]
        return Maps((channels, 1, 1), x.towers, tuple(parts))

    def maps(self, shape: Shape, towers: int, label: str = "", border: int | None = None, dtype: Any = None) -> Maps:
        """Make maps on all devices; a layer's output gets the border that its reader wants."""
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
        keeps = self.engine.saves.get(kinds)
        if not (self.goes_back and keeps):
            return None
        shape = {"input": x, "output": y}[keeps.like].shape
        return self.maps(shape, x.towers, keeps.label, border=0, dtype=keeps.dtype)

    def wants_gradient(self, x: Maps) -> bool:
        """Return whether anything below learns: not the image, nor layers that are frozen."""
        return x is not self._picture

    def gradient(self, x: Maps, *, relu: bool = True) -> Maps:
        """Make the gradient of an input.

        Without `relu` the layer cannot take the derivative of a ReLU below it in the same step.
        """
        name = f"{self.below} gradient"
        if x.shared:
            return links.gradient(self, x, self._unit.stage.reading.sources, name)
        parts = [
            self.maps_on(place, name, part.shape[0], x.shape) if part else None for place, part in enumerate(x.parts)
        ]
        taken = relu and self._fuse and x.positive and self._unit.stage.layer.kind in self.engine.takes_relu
        return Maps(x.shape, x.towers, tuple(parts), relu_taken=taken)

    def gather(self, x: Maps, readers: int) -> Maps:
        """Let every reading device have the maps of all towers: link those of another device."""
        return links.gather(self, x, readers)

    def scatter(self, x: Maps, dy: Maps) -> Maps:
        """Bring the gradients of what each tower gave back to it, and add them."""
        return links.scatter(self, x, dy)

    def step(
        self,
        function: Callable[..., None],
        /,
        *,
        reads: Arguments,
        writes: Arguments = NOTHING,
        sinks: Mapping[str, str] = NOTHING,
        products: int = 0,
        place: int | None = None,
        **numbers: Any,
    ) -> None:
        """Make a step on each device that has a tower of the layer, or on one `place`; see `Build.step`."""
        if place is None:
            for each in self.places_with(self._unit.stage.towers):
                self.step(function, reads=reads, writes=writes, sinks=sinks, products=products, place=each, **numbers)
            return
        stage, names = self._unit.stage, tuple(stage.name for stage in self._unit.stages)
        towers = tuple(self.own(place, stage.towers))
        step = Step("+".join(names), self.kind, names, towers, place, "", name_of(function), function)
        step.reads = {name: given and given.on(place) for name, given in reads.items()}
        step.writes = {name: given and given.on(place) for name, given in writes.items()}
        step.sinks = dict(sinks)
        step.numbers = {name: own.on(place) if isinstance(own, PerDevice) else own for name, own in numbers.items()}
        step.operations = 2 * products * len(towers) * self.batch * stage.layer.multiply_adds(stage.reading.shape)
        self.make(step)

    # --- how the list is made

    def _walk(self) -> None:
        grouped = self._units()
        x = self._read()
        self._picture = x
        passed: list[Passed] = []
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
        self.append_made()
        if self.goes_back:
            self._begin_back(grouped, passed)

    def _units(self) -> list[Unit]:
        """Return the layers of the forward pass, those together that run in one step."""
        return units(self.network, self.engine.fuses if self._fuse else frozenset(), self._wanted)

    def _read(self) -> Maps:
        """Make what the first layer reads."""
        return crop.crop(self)

    def _begin_back(self, grouped: list[Unit], passed: list[Passed]) -> None:
        """Make the backward pass from the loss, and the updates."""
        *_, loss = passed.pop()  # its forward step has written the gradient of its input
        self._walk_back(grouped, passed, loss["dx"])
        append_updates(self)

    def _walk_back(self, grouped: list[Unit], passed: list[Passed], dy: Maps | None) -> Maps | None:
        """Make the backward steps, from the gradient of the topmost layer's output down to where nothing learns."""
        for number, unit, x, y, kept in reversed(passed):
            if dy is None:
                break
            self._enter("backward", grouped, number)
            then = [stage.layer for stage in unit.then]
            dy = self._passed_down(unit.stages[-1], dy)
            if then and then[-1].kind == "relu":
                dy = then.pop().backward(self, y, y, {}, dy, ())
                self.append_made()
            if dy is not None:
                dy = unit.stage.layer.backward(self, x, y, kept, dy, tuple(then))
        self.append_made()
        return dy

    def _passed_down(self, stage: Stage, dy: Maps) -> Maps:
        """Return the gradient of a layer's output as its backward step is to read it."""
        return dy

    def begin(self, kind: str, stage: Stage) -> None:
        """Note that the steps which come next are this stage's."""
        self.append_made()
        self.kind, self._unit = kind, Unit(stage)

    def _enter(self, kind: str, grouped: list[Unit], number: int) -> None:
        """Note whose steps come next, what reads its output, and what made its input."""
        self.append_made()
        self.kind, self._unit = kind, grouped[number]
        later = (unit.stage for unit in grouped[number + 1 :])
        reader = next((stage for stage in later if stage.layer.kind not in ("exchange", "join")), None)
        self.reader = reader.name if reader else ""
        self._border = reader.layer.border(reader.reading.shape) if reader and self.engine.borders else 0
        self.below = grouped[number - 1].stages[-1].name if number else "picture"

    def _keep(self, name: str, y: Maps) -> None:
        """Keep an output that is wanted."""
        if name in self._wanted:
            self.outputs[name] = y
            self.keep(y)
