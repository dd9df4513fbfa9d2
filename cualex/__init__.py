"""The AlexNet of Krizhevsky, Sutskever and Hinton (2012), two towers on two devices.

    >>> import cualex
    >>> run = cualex.train("photos", network="cifar-relu", epochs=3).run()
    >>> model = cualex.load(run)
    >>> model.predict("cat.jpg")
    [('cat', 0...), ('dog', 0...)]
    >>> cualex.evaluate(run, "photos").top1_error
    0.0

`train`, `load`, `evaluate`, `networks` and `summary` do what the commands of these names do; `Model` has `predict`,
`features`, `maps`, and `explain`, `strongest`, `dream`, `neighbours` and `embedding` to see inside. Names are imported
when they are first used: `import cualex` loads neither NumPy nor CuPy.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers
    from cualex.errors import CualexError
    from cualex.evaluation import Evaluation, evaluate
    from cualex.model import Model, load
    from cualex.networks import package as networks
    from cualex.networks.summary import Summary, summary
    from cualex.page import notebook as notebook
    from cualex.trainer import Training, train
    from cualex.training.records import Epoch, Update
    from cualex.training.run import Run

__version__ = "0.1.0"

_HOMES = {
    "CualexError": "cualex.errors",
    "Epoch": "cualex.training.records",
    "Evaluation": "cualex.evaluation",
    "Model": "cualex.model",
    "Run": "cualex.training.run",
    "Summary": "cualex.networks.summary",
    "Training": "cualex.trainer",
    "Update": "cualex.training.records",
    "evaluate": "cualex.evaluation",
    "load": "cualex.model",
    "summary": "cualex.networks.summary",
    "train": "cualex.trainer",
}

__all__ = [
    "CualexError",
    "Epoch",
    "Evaluation",
    "Model",
    "Run",
    "Summary",
    "Training",
    "Update",
    "__version__",
    "evaluate",
    "load",
    "networks",
    "summary",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("networks", "notebook"):  # a package that can be called; what Jupyter shows, built on all that it shows
        return importlib.import_module("cualex.networks" if name == "networks" else "cualex.page.notebook")
    raise AttributeError(f"module 'cualex' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
