"""The AlexNet of Krizhevsky, Sutskever and Hinton (2012), two towers on two devices.

    import cualex
    model = cualex.load("runs/train")
    model.predict("cat.jpg")

Names are imported when they are first used, so that `import cualex` loads neither NumPy nor CuPy.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers
    from cualex.errors import CualexError
    from cualex.evaluation import evaluate
    from cualex.model import Model, load

__version__ = "0.1.0"

_HOMES = {
    "load": "cualex.model",
    "Model": "cualex.model",
    "evaluate": "cualex.evaluation",
    "CualexError": "cualex.errors",
}

__all__ = ["CualexError", "Model", "__version__", "evaluate", "load"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cualex' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
