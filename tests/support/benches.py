"""Engines under test: one test serves them all, in every precision, through the arrays of their own devices."""

from contextlib import contextmanager

import numpy as np
from numpy.testing import assert_array_equal

from cualex import engine
from cualex.devices.control import Control
from cualex.devices.stored import FINITE, from_bf16, to_bf16
from tests.support import reference


class Bench:
    """Be an engine on a device; arrays go in and come out as NumPy's, whatever the device keeps.

    `unit` is half the spacing of the maps' numbers at 1, `sums` that of the numbers that the engine adds up in;
    bfloat16 has 8 bits and its sums are float32. `approximate` says how many units a reciprocal root may be off by
    beyond its rounding: CUDA's is good to 2 units in the last place.
    """

    def __init__(self, device):
        self.device, self.engine = device, engine.find(device.engine)
        self.host = device.engine == "host"
        self.sums = reference.UNIT[device.master]
        self.unit = 2.0**-8 if device.dtype == np.uint16 else self.sums
        self.approximate = 0 if self.host else 4

    def put(self, values, dtype=None):
        """Return an array on the device; numbers are rounded to what maps hold unless `dtype` says otherwise."""
        values = np.asarray(values)
        array = self.device.allocate(values.shape, dtype or self.device.dtype)
        self.device.upload(array, values)
        return array

    def put_input(self, values, dtype):
        """Return an array of an input's values; where there are slots, the last has them and the others rubbish."""
        values, slots = np.asarray(values, dtype), self.engine.slots
        others = [values.max(initial=0) - values] * (slots - 1)
        return self.put(np.stack([*others, values]) if slots else values, dtype)

    def empty(self, shape, dtype=None):
        """Return an array that shows what was never written."""
        whole = dtype is not None and not np.issubdtype(dtype, np.floating)
        return self.put(np.full(shape, 1 if whole else np.nan, dtype), dtype)

    def saved(self, kind, x, y):
        """Return room for what a step of this kind keeps for its backward pass, or None."""
        saves = self.engine.saves.get(kind)
        if saves is None:
            return None
        return self.empty((x if saves.like == "input" else y).shape, saves.dtype)

    def get(self, array):
        """Return what an array holds."""
        return self.device.download(array)

    def rounded(self, values):
        """Return numbers as maps hold them, in float64."""
        if self.device.dtype == np.uint16:
            values = from_bf16(to_bf16(np.asarray(values, np.float32)))
        return np.asarray(values, self.device.master).astype(np.float64)

    def begin(self, **numbers):
        """Start a step, whose inputs are in the slot of `put_input`; return its control."""
        control = Control(slot=max(0, self.engine.slots - 1), **numbers)
        self.device.begin(control, training=True)
        return control

    def diverge(self, control):
        """Let the updates see a loss that is no number."""
        control.finite = False
        if not self.host:
            self.device.upload(self.device.control[FINITE : FINITE + 1], np.zeros(1, np.uint32))

    def finite(self, control):
        """Say whether the loss of the step was a number, as the updates will see it."""
        return control.finite if self.host else bool(self.get(self.device.control)[FINITE])

    @contextmanager
    def untouched(self, *arrays):
        """Check on leaving that the arrays are as they were on entering."""
        before = [self.get(array) for array in arrays]
        yield
        for old, array in zip(before, arrays, strict=True):
            assert_array_equal(self.get(array), old, "an input was changed")
