"""The AlexNet of Krizhevsky, Sutskever and Hinton (2012), two towers on two devices.

    import cualex
    model = cualex.load("best.safetensors")
    model.predict("cat.jpg")

Names are imported when they are first used, so that `import cualex` loads neither NumPy nor CuPy.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "load": "cualex.model",
    "Model": "cualex.model",
    "evaluate": "cualex.evaluation",
    "CualexError": "cualex.errors",
}

__all__ = ["CualexError", "Model", "__version__", "evaluate", "load"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cualex' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
