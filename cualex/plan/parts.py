"""The raw material of a plan that is being made: its buffers and steps, and which device has which towers."""

from typing import Any

import numpy as np

from cualex.engine.contract import Engine
from cualex.layers.maps import Buffer, Maps, Operand, Shape
from cualex.plan.step import Step
from cualex.weights.parameters import Parameters


class Parts:
    """The buffers and steps of one plan, on all of its devices, while they are made."""

    def __init__(self, parameters: Parameters, batch: int, training: bool, weighted: bool):
        """Begin with the labels and what the loss writes; where `weighted`, the loss has class weights."""
        self.training = training
        self.parameters, self.network, self.batch = parameters, parameters.network, batch
        self.places_count = len(parameters.devices)
        self.steps: list[Step] = []
        self.buffers: list[Buffer] = []
        self._made: list[Step] = []
        # Devices that know whether the loss was finite: it is computed on the first, and only training has one.
        self.told = {0} if training else set(range(self.places_count))
        self.labels = Operand(self.input("labels", 0, (batch,), np.int32))
        self.sums = Operand(self.lasting("sums", 0, (4,), np.float64))
        self.class_weights: Operand | None = None
        if weighted:
            shape, dtype = (self.network.classes,), parameters.devices[0].master
            self.class_weights = Operand(self.lasting("class weights", 0, shape, dtype))

    @property
    def goes_back(self) -> bool:
        """Return whether the plan has a backward pass."""
        return self.training

    @property
    def engine(self) -> Engine[Any]:
        """Return the engine, whose functions the steps call."""
        return self.parameters.engine

    def places(self, maps: Maps) -> list[int]:
        """Return the devices that have a tower of these maps."""
        return self.places_with(maps.towers)

    def towers_of(self, place: int) -> tuple[int, ...]:
        """Return the towers of a device."""
        return self.parameters.placement.towers[place]

    def own(self, place: int, towers: int) -> list[int]:
        """Return which of the first `towers` towers a device has."""
        return self.parameters.towers_on(place, towers)

    def places_with(self, towers: int) -> list[int]:
        """Return the devices that have one of the first `towers` towers."""
        return [place for place in range(self.places_count) if self.own(place, towers)]

    def input(self, name: str, place: int, shape: tuple[int, ...], dtype: Any) -> Buffer:
        """Make an input that changes with each batch.

        Where the engine loads ahead, training has a slot for each batch in flight. Inference, whose result is waited
        for, has one slot, and one copy for all inputs.
        """
        slots = self.engine.slots if self.training else min(self.engine.slots, 1)
        buffer = self.lasting(name, place, (slots, *shape) if slots else shape, dtype)
        buffer.slots, buffer.packed = slots, bool(slots) and not self.training
        return buffer

    def lasting(self, name: str, place: int, shape: tuple[int, ...], dtype: Any) -> Buffer:
        """Make an input or result, which keeps its memory."""
        self.buffers.append(Buffer(name, place, shape, np.dtype(dtype), lasting=True))
        return self.buffers[-1]

    def maps_on(self, place: int, name: str, towers: int, shape: Shape, border: int = 0, dtype: Any = None) -> Buffer:
        """Make the buffer of some maps on one device."""
        channels, rows, columns = shape
        full = (towers, self.batch, rows + 2 * border, columns + 2 * border, channels)
        dtype = np.dtype(dtype or self.parameters.devices[place].dtype)
        self.buffers.append(Buffer(name, place, full, dtype, border, lasting=border > 0))
        return self.buffers[-1]

    def keep(self, maps: Maps) -> None:
        """Let maps keep their memory: they are read after a run."""
        shared = [operand.buffer for sources in maps.sources for operand in sources]
        for part in (*maps.parts, *shared):
            if part:
                part.lasting = True

    def make(self, step: Step) -> None:
        """Take a step of the layer whose steps are being made."""
        self._made.append(step)

    def append_made(self) -> None:
        """Append the steps of the layer that is done: its links, which may run at once, then those of each device."""
        links = [step for step in self._made if step.kind == "link"]
        others = sorted((step for step in self._made if step.kind != "link"), key=lambda step: step.place)
        for step in links:  # none may write where another reads
            for operand in step.operands():
                operand.buffer.used(len(self.steps))
                operand.buffer.used(len(self.steps) + len(links) - 1)
        for step in (*links, *others):
            self.append(step)
        self._made.clear()

    def append(self, step: Step) -> None:
        """Append a step, and note the life of what it touches."""
        for operand in step.operands():
            operand.buffer.used(len(self.steps))
        step.device = self.parameters.placement.names[step.place]
        self.steps.append(step)
