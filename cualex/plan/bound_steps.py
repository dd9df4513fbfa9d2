"""Steps with their memory on their devices: what the plans of training, inference and explanations share."""

from functools import partial

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.engine.weight_ops import Sink
from cualex.kernels import Launch
from cualex.layers.maps import Maps, Operand
from cualex.plan import buffers, operands
from cualex.plan.builder import Builder
from cualex.plan.step import Step, not_bound
from cualex.plan.update_rule import Rule
from cualex.weights.parameters import Parameters


class BoundSteps:
    """The steps and buffers of a plan, allocated and bound to the devices of its parameters."""

    parameters: Parameters
    rule: Rule
    control: Control
    steps: list[Step]
    buffers: list[buffers.Buffer]

    def _allocate(self, built: Builder, batch: int) -> None:
        """Take what a builder has made, and allocate it; raise OutOfMemory where it does not fit."""
        self.steps, self.buffers = built.steps, built.buffers
        self._read_as_put = operands.mark(self.steps)
        self._outputs, self._places = built.outputs, built.places
        buffers.check_room(self.buffers, self.parameters.devices, built.batch, batch, built.training)
        self.bytes = buffers.allocate(self.buffers, self.parameters.devices)
        self._gradients = {key: buffer.array for key, buffer in built.gradients.items()}
        self._levels = {key: [buffer.array for buffer in levels] for key, levels in built.levels.items()}

    def release(self) -> None:
        """Let go of all memory: this plan cannot run again."""
        for device in self.parameters.devices:
            device.synchronize()
        for buffer in self.buffers:
            buffer.array = None
        for step in self.steps:
            step.run, step.launches = not_bound, []
        self._gradients, self._levels = {}, {}

    def output(self, name: str) -> np.ndarray:
        """Return the maps of a layer named in `outputs`: (images, channels, rows, columns), a copy.

        The towers lie side by side along the channels; after an exchange they are those that the towers read.
        """
        return self._canonical(self._outputs[name])

    def _canonical(self, maps: Maps) -> np.ndarray:
        """Return maps as (images, channels, rows, columns), a copy."""
        if maps.shared:
            parts = [self._take(0, operand.array())[None] for operand in maps.each(0)]
        else:
            parts = [self._take(place, maps.on(place).array()) for place in self._places(maps)]
        return np.concatenate([tower.transpose(0, 3, 1, 2) for part in parts for tower in part], axis=1)

    def _put(self, operand: Operand, values: np.ndarray) -> None:
        """Queue the upload of maps, rounded to TF32 where gemms read them in that precision."""
        device = self.parameters.devices[operand.buffer.place]
        upload = device.upload_rounded if operand.buffer in self._read_as_put else device.upload
        upload(operand.array(), values)

    def _take(self, place: int, array: Array) -> np.ndarray:
        """Return a copy of an array on a device."""
        return self.parameters.devices[place].download(array)

    def _bind_all(self) -> None:
        """Bind the steps, and compile their kernels; again where some failed their self-test and are replaced."""
        devices = self.parameters.devices
        while True:
            launches: list[list[Launch]] = [[] for _ in devices]
            for step in self.steps:
                launches[step.place] += self._bind(step)
            devices[0].compile([launch for own in launches for launch in own], self.parameters.compiling)
            if all(devices[place].self_test(own, self._passing(place)) for place, own in enumerate(launches)):
                return

    def _passing(self, place: int) -> list[Array]:
        """Return the arrays on a device of which a run reads nothing that it has not written."""
        return [buffer.array for buffer in self.buffers if buffer.place == place and not buffer.lasting]

    def _bind(self, step: Step) -> list[Launch]:
        """Give a step's function its device, arrays and sinks; return the kernels that it launches."""
        device = self.parameters.devices[step.place]
        if step.call is None:  # a link, the one step that touches two devices
            source, target = step.reads["source"], step.writes["target"].resolve(step.place)
            home = self.parameters.devices[source.buffer.place]
            step.run = partial(device.link, home, source.array(), target, step.layers[0], **step.numbers)
            return []
        sinks = {argument: self._make_sink(step, last) for argument, last in step.sinks.items()}
        work = partial(step.call, device, **step.arrays(), **sinks, **step.numbers)
        step.run, step.launches = device.prepare(work, rounds=step.rounds)
        return step.launches

    def _make_sink(self, step: Step, last: str) -> Sink:
        """Make the sink of one of a step's parameters."""
        name, parameters = f"{step.layers[0]}.{last}", self.parameters
        if step.kind == "update":
            return self.rule.mover(parameters, name, step.place, self.control)
        gradient, levels = (kept.get((name, step.place)) for kept in (self._gradients, self._levels))
        return self.rule.make(parameters, name, step.place, gradient, levels or [], self.control)
