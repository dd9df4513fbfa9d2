"""Which pixels a class's score comes from: the result of every method, and the choice among methods."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.explain.grad_cam import grad_cam
from cualex.explain.gradients import guided_backpropagation, integrated_gradients, saliency
from cualex.explain.occlusion import occlusion
from cualex.explain.passes import Passes
from cualex.system.amounts import some
from cualex.system.keywords import known

METHODS: Mapping[str, Callable[..., tuple[np.ndarray, dict[str, Any]]]] = {
    "saliency": saliency,
    "guided-backpropagation": guided_backpropagation,
    "grad-cam": grad_cam,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
}


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which pixels of an image speak for a class.

    method: its full name.  cls, index: the class.  score: of the class, before the softmax.  image: what the network
    saw, uint8 (crop, crop, 3).  values: float32, (3, crop, crop) of methods that give every colour a number, else
    (crop, crop); what they mean, the method's function says.  settings: what the method used and found beside them.
    """

    method: str
    cls: str
    index: int
    score: float
    image: np.ndarray
    values: np.ndarray
    settings: Mapping[str, Any]

    @property
    def heat(self) -> np.ndarray:
        """The values as a heat map, float32 (crop, crop) from 0 to 1, the largest 1.

        Of three colours the largest absolute value counts (Simonyan et al., 2013); of one, what is above 0.
        """
        heat = np.abs(self.values).max(axis=0) if self.values.ndim == 3 else np.maximum(self.values, 0)
        largest = float(heat.max())
        return (heat / largest if largest > 0 else heat).astype(np.float32)

    def __repr__(self) -> str:
        return f"Explanation({self.method} of {self.cls}, score {self.score:.3g})"


def find(method: str) -> str:
    """Return the full name of a method, of which a beginning is enough; raise UsageError where there is none."""
    plain = {name.replace("-", ""): name for name in METHODS}
    given = "".join(each for each in method.lower() if each.isalnum())
    found = [name for each, name in plain.items() if given and each.startswith(given)]
    if len(found) != 1:
        raise UsageError(f"method {method!r}: expected {', '.join(METHODS)}")
    return found[0]


def options_of(method: str) -> list[str]:
    """Return the options of a method: those of its function, behind passes, pixels and the class."""
    return list(inspect.signature(METHODS[method]).parameters)[3:]


def class_index(classes: Sequence[str], cls: str | int) -> int:
    """Return the index of a class that is given by its name or index; raise UsageError where there is none."""
    if isinstance(cls, str):
        if cls not in classes:
            raise UsageError(f"class {cls!r}: expected one of {some(classes, 10)}")
        return list(classes).index(cls)
    if not 0 <= cls < len(classes):
        raise UsageError(f"class {cls}: expected an index from 0 to {len(classes) - 1}")
    return int(cls)


def explain(
    passes: Passes, classes: Sequence[str], image: np.ndarray, cls: str | int | None, method: str, **options: Any
) -> Explanation:
    """Explain a class's score for an image, uint8 (stored, stored, 3); None: the likeliest class.

    options: those of the method's function; None for its default. Raise UsageError for a method, a class or an option
    that does not exist.
    """
    if not isinstance(method, str):
        raise UsageError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    name = find(method)
    options = {option: value for option, value in options.items() if value is not None}
    for option, value in options.items():
        if option != "layer" and not isinstance(value, int | np.integer):
            raise UsageError(f"{option} must be a whole number, got {value!r}")
    function = METHODS[name]
    known(f"explain: {name}", options, options_of(name))
    seen = passes.crop(image[None])[0]
    if cls is None:
        index = int(passes.output(seen[None], passes.scores)[0, :, 0, 0].argmax())
    else:
        index = class_index(classes, cls)
    values, settings = function(passes, seen, index, **options)
    shown = np.ascontiguousarray(seen.transpose(1, 2, 0))
    score = settings.pop("score")
    return Explanation(name, classes[index], index, score, shown, values.astype(np.float32, copy=False), settings)
