"""The inputs of a plan: a batch of stored images with what is done to them, and the mean image."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cualex.devices.runtime import Array
from cualex.engine.contract import Device
from cualex.layers.maps import Buffer
from cualex.plan import buffers


class Inputs:
    """The inputs of a plan on all of its devices, and what was put in last.

    Training on a GPU has several slots, so that the next batch is copied beside the step that reads this one. A batch
    of `parts` parts is copied part by part.
    """

    def __init__(
        self, named: Mapping[str, Sequence[Buffer]], made: Sequence[Buffer], devices: Sequence[Device], parts: int
    ) -> None:
        """Give packed inputs their memory. named: by name; all but the mean are of a batch.  made: all buffers."""
        self._mean, self._devices, self._parts, self.slot = named["mean"], devices, parts, 0
        self._blocks = [buffers.pack(made, place, device) for place, device in enumerate(devices)]
        batch = [(name, buffer) for name, own in named.items() if name != "mean" for buffer in own]
        slots = batch[0][1].slots
        self._arrays: list[list[list[tuple[str, Array]]]] = []  # by slot and device
        for slot in range(slots or 1):
            here: list[list[tuple[str, Array]]] = [[] for _ in devices]
            for name, buffer in batch:
                here[buffer.place].append((name, buffer.array[slot] if slots else buffer.array))
            self._arrays.append(here)
        self._given: dict[str, np.ndarray] = {}

    def put(self, **batch: np.ndarray) -> None:
        """Take a batch by the names of its inputs; where it has one part only, queue its copy."""
        self._given = batch
        if self._parts == 1:
            self.load(0)

    def load(self, part: int) -> None:
        """Queue the copy of a part of the batch to the devices, in the next slot."""
        size = len(self._given["labels"]) // self._parts
        given = {name: values[part * size : (part + 1) * size] for name, values in self._given.items()}
        self.slot = (self.slot + 1) % len(self._arrays)
        for device, arrays, block in zip(self._devices, self._arrays[self.slot], self._blocks, strict=True):
            if block is None:
                device.begin_loading(self.slot)
            device.load([(array, given[name]) for name, array in arrays], block)

    def loaded(self) -> Callable[[], None]:
        """Return what waits until all that was loaded so far has been copied to the devices."""
        waits = [device.loaded() for device in self._devices]

        def wait() -> None:
            for each in waits:
                each()

        return wait

    def put_mean(self, mean: np.ndarray) -> None:
        """Take the mean image (stored, stored, 3)."""
        for buffer in self._mean:
            self._devices[buffer.place].upload(buffer.array, mean)

    def bytes(self, place: int) -> int:
        """Return how much of a batch is copied to a device."""
        return self._parts * sum(array.nbytes for _, array in self._arrays[0][place])
