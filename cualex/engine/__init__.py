"""The arithmetic, for one kind of device each: `host` is NumPy, `cuda` launches our kernels."""

import importlib
from dataclasses import dataclass
from types import ModuleType

import numpy as np


@dataclass(frozen=True)
class Saved:
    """Describe what an engine keeps from the forward to the backward pass of a step.

    It has the shape of the step's input or output (`like`), and the maps' type unless `dtype` names one.
    """

    label: str
    like: str
    dtype: np.dtype | type | None = None


def find(name: str) -> ModuleType:
    """Return an engine: its operations are modules of functions ("conv.forward")."""
    return importlib.import_module(f"cualex.engine.{name}")
