"""The arithmetic, for one kind of device each; `host` is NumPy."""

import importlib
from types import ModuleType


def find(name: str) -> ModuleType:
    """Return an engine: its operations are modules of functions ("conv.forward")."""
    return importlib.import_module(f"cualex.engine.{name}")
