"""The weights, biases, state and velocities of one network on its devices, in the engine's own order.

Plans of several batches and modes share them: a training plan moves them, an inference plan reads them.
"""

import copy
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from cualex import engine
from cualex.devices.control import Ledger
from cualex.devices.placement import open_devices, placement
from cualex.devices.runtime import Array, Runtime
from cualex.networks import Network, Stage

AVERAGES = ("first.", "second.")  # that Adam keeps: what stands before a parameter's name


def parameter(velocity: str) -> str:
    """Return the parameter that a velocity, or one of Adam's averages, belongs to."""
    return next((velocity[len(kind) :] for kind in AVERAGES if velocity.startswith(kind)), velocity)


class Parameters:
    """The parameters of a network on its devices, and the update's velocities once a plan asks for them.

    `arrays` are the parameters that an update moves, and the state that none does. Where gemms read them rounded,
    `copies` are the weights so; each update writes both. `velocities` are what the update rule remembers of a
    parameter: its velocity by its own name, Adam's averages as "first.<name>" and "second.<name>".
    """

    def __init__(
        self,
        network: Network,
        device: str = "cpu",
        *,
        precision: str | None = None,
        workers: int | None = None,
        runtime: Runtime | None = None,
        compiling: Callable[[int, int], None] | None = None,
        tensors: Mapping[str, np.ndarray] | None = None,
        arrays: Mapping[tuple[str, int], Array] | None = None,
    ):
        """Open the devices and put canonical `tensors` there, or zeros; see `open_devices` for the settings.

        `arrays` are taken as they are: another's, of the same network, placement and precision. `compiling` hears from
        every plan how many of its kernels are compiled, of how many.
        """
        self.compiling = compiling
        self.placement = placement(device, network.towers)
        self.ledger = Ledger()
        self.devices = open_devices(self.placement, precision, self.ledger, workers, runtime)
        self.engine = engine.find(self.devices[0].engine)
        self._name_stages(network)
        self.arrays: dict[tuple[str, int], Array] = dict(arrays or {})
        self.velocities: dict[tuple[str, int], Array] = {}
        self.copies: dict[tuple[str, int], Array] = {}
        nothing = np.zeros((), np.float32)
        for name, shape in () if arrays else network.tensors().items():
            if tensors is None:
                self._put(self.arrays, name, np.broadcast_to(nothing, shape), zero=True)
            else:
                self._put(self.arrays, name, tensors[name])

    def _name_stages(self, network: Network) -> None:
        """Note which stage of the network has each parameter, and which each state."""
        self.network = network
        self.stages = {name: stage for stage in network.stages() for name in stage.parameters}
        self._owners = self.stages | {name: stage for stage in network.stages() for name in stage.state}

    def variant(self, network: Network, tensors: dict[str, np.ndarray]) -> "Parameters":
        """Return the parameters of a network with tensors of the same names and shapes, on the same devices.

        It has arrays of its own for `tensors`, canonical ones, and shares all others, so that neither may be trained.
        """
        other = copy.copy(self)
        other._name_stages(network)
        other.arrays = {key: array for key, array in self.arrays.items() if key[0] not in tensors}
        other.copies = {key: array for key, array in self.copies.items() if key[0] not in tensors}
        other.velocities = {}
        for name, tensor in tensors.items():
            other._put(other.arrays, name, tensor)
        return other

    def towers_on(self, place: int, towers: int) -> list[int]:
        """Return which of the first `towers` towers a device has."""
        return [tower for tower in self.placement.towers[place] if tower < towers]

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        """Take canonical weights, biases and state."""
        for name in self._owners:
            self._put(self.arrays, name, tensors[name])

    def unload(self) -> dict[str, np.ndarray]:
        """Return canonical weights, biases and state, as float32."""
        return {name: self._get(self.arrays, name) for name in self._owners}

    def forget_velocities(self) -> None:
        """Set all velocities to zero."""
        for (_, place), velocity in self.velocities.items():
            self.devices[place].zero(velocity)

    def load_velocities(self, tensors: dict[str, np.ndarray]) -> None:
        """Take canonical velocities; what is not among them is zero."""
        for name, tensor in tensors.items():
            self._put(self.velocities, name, tensor)

    def unload_velocities(self) -> dict[str, np.ndarray]:
        """Return canonical velocities, as float32; none of what no plan has trained."""
        names = dict.fromkeys(name for name, _ in self.velocities)
        return {name: self._get(self.velocities, name) for name in names}

    def read(self, name: str, place: int) -> Array:
        """Return a parameter as the forward pass reads it."""
        return self.copies.get((name, place), self.arrays[name, place])

    def velocity(self, name: str, place: int, average: str = "") -> Array:
        """Return a parameter's velocity on a device, or Adam's "first." or "second." average; zero at first."""
        key = average + name, place
        if key not in self.velocities:
            like = self.arrays[name, place]
            self.velocities[key] = self.devices[place].allocate(like.shape, like.dtype, zero=True)
        return self.velocities[key]

    def gather(self, arrays: dict[tuple[str, int], Array], name: str) -> np.ndarray:
        """Return canonically what a dictionary like `arrays` holds of a parameter, on all its devices."""
        return self._get(arrays, name)

    @property
    def bytes(self) -> int:
        """Return how much memory parameters, state and velocities take."""
        held = (*self.arrays.values(), *self.velocities.values(), *self.copies.values())
        return sum(array.nbytes for array in held)

    def _places(self, stage: Stage) -> Iterator[tuple[int, list[int]]]:
        """Yield each device that has a share of a stage's parameters, with its towers."""
        for place in range(len(self.devices)):
            if towers := self.towers_on(place, stage.towers):
                yield place, towers

    def _put(self, arrays: dict[tuple[str, int], Array], name: str, canonical: np.ndarray, zero: bool = False) -> None:
        """Put a canonical tensor on its devices, into new arrays where there are none; with `zero`, one of zeros."""
        stage, last = self._owners[parameter(name)], name.rpartition(".")[2]
        share, ordered = len(canonical) // stage.towers, stage.turned(last, canonical)
        for place, towers in self._places(stage):
            part = ordered[towers[0] * share : (towers[-1] + 1) * share]
            packed = stage.layer.pack(self.engine, last, part, len(towers), stage.reading)
            device = self.devices[place]
            if zero:
                arrays[name, place] = device.allocate(packed.shape, device.master, zero=True)
            elif (name, place) in arrays:
                device.upload(arrays[name, place], packed)
            else:  # large arrays are not copied twice
                arrays[name, place] = device.hold(packed.copy() if np.may_share_memory(packed, canonical) else packed)
            read = arrays is self.arrays and canonical.ndim > 1  # by products, not channel by channel
            if read and device.copies(canonical.ndim):
                if (name, place) not in self.copies:
                    self.copies[name, place] = device.allocate(packed.shape, device.dtype, zero=zero)
                if not zero:
                    device.upload_rounded(self.copies[name, place], packed)

    def _get(self, arrays: dict[tuple[str, int], Array], name: str) -> np.ndarray:
        stage, last = self._owners[parameter(name)], name.rpartition(".")[2]
        parts = [
            stage.layer.unpack(self.engine, last, self.devices[place].download(arrays[name, place]), stage.reading)
            for place, _ in self._places(stage)
        ]
        whole = np.concatenate(parts).astype(np.float32, copy=False)
        return stage.turned(last, whole.reshape(self.network.tensors()[parameter(name)]), back=True)
