"""An architecture as data: a list of named layers, written once for all towers; and how functions make networks."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, Generic, ParamSpec

import numpy as np

from cualex.data.split import centre
from cualex.errors import UsageError
from cualex.layers import Activation, Conv, Dense, Exchange, Layer, Parameter, Reading, ReLU, Shape


@dataclass(frozen=True)
class Stage:
    """A layer and its position in the network: what one tower reads and writes, and how many towers run it."""

    index: int
    name: str
    layer: Layer
    reading: Reading
    output: Shape
    towers: int

    def turned(self, name: str, tensor: np.ndarray, back: bool = False) -> np.ndarray:
        """Bring canonical weights from each tower's own order into that of the towers, or `back`; see `Exchange`."""
        if not self.reading.own_first or name != "weight":
            return tensor
        parts = tensor.reshape(self.towers, -1, self.reading.sources, tensor[0].size // self.reading.sources)
        turned = [np.roll(part, -tower if back else tower, axis=1) for tower, part in enumerate(parts)]
        return np.stack(turned).reshape(tensor.shape)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Return one tower's parameters by their full names ("conv1.weight")."""
        own = self.layer.parameters(self.reading.shape)
        return {f"{self.name}.{last}": parameter for last, parameter in own.items()}

    @property
    def state(self) -> dict[str, Parameter]:
        """Return one tower's state by its full names ("norm1.mean")."""
        own = self.layer.state(self.reading.shape)
        return {f"{self.name}.{last}": kept for last, kept in own.items()}


P = ParamSpec("P")
Scale = float | tuple[float, float, float]  # of all colours, or of red, green and blue
MEANS = ("crop", "centre")  # where the mean picture can be taken


@dataclass(frozen=True)
class Network:
    """An architecture: its layers, and the images that it reads.

    `layers` are one tower's; each of the `towers` has them all until they join. Images are stored with
    `stored` pixels a side, of which the network sees a square of `crop`, less the mean image and times `scale`, a
    number or one each for red, green and blue. With `mean`, again one for each, every pixel has that mean, whatever
    the training images are.
    The mean image is taken at the crop and turned with it; with `mean_at` "centre" its centre is taken for every
    view, as the code of 2012 did.
    `arguments` are those of the function that made the network, so that a weights file can make it again. `remarks`
    say in a sentence each what the list of layers does not show.
    """

    name: str
    layers: dict[str, Layer]
    towers: int
    classes: int
    crop: int
    stored: int
    scale: Scale = 1.0
    mean_at: str = "crop"
    mean: tuple[float, float, float] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mean_at not in MEANS:
            raise ValueError(f"the mean image can be subtracted at the {' or '.join(MEANS)}, got {self.mean_at}")
        if self.crop > self.stored:
            raise ValueError(f"a crop of {self.crop} does not fit into images stored at {self.stored}")
        for _ in self.stages():  # a layer that does not fit the maps below it says so
            pass

    def _repr_html_(self) -> str:
        import cualex  # whose notebook stands above this class, and is imported when Jupyter asks

        return cualex.notebook.network(self)

    @property
    def centre(self) -> slice:
        """Return the rows, and the columns, of a stored image that its centre crop has."""
        return centre(self.stored, self.crop)

    def side(self, layer: str) -> str:
        """Return whether a layer's output is from before or after its activation, as a text; "" for other layers.

        fc7 of alexnet is "before ReLU, which is relu7", relu7 "after ReLU, of fc7".
        """
        names = list(self.layers)
        at, own = names.index(layer), self.layers[layer]
        above = names[at + 1] if at + 1 < len(names) else ""
        if isinstance(own, Conv | Dense) and above and (function := _function(self.layers[above])):
            return f"before {function}, which is {above}"
        function = _function(own)
        return f"after {function}, of {names[at - 1]}" if function and at else ""

    def require(self, layers: Iterable[str]) -> None:
        """Raise UsageError unless there are layers of all these names."""
        if unknown := sorted(set(layers) - set(self.layers)):
            raise UsageError(f"{self.name} has no layer {unknown[0]!r}; its layers are {', '.join(self.layers)}")

    def mean_picture(self, found: np.ndarray) -> np.ndarray:
        """Return the mean that is subtracted, (stored, stored, 3), where that of the images was `found`."""
        picture = found if self.mean is None else np.broadcast_to(self.mean, found.shape)
        return np.ascontiguousarray(picture, np.float32)

    def stages(self) -> Iterator[Stage]:
        """Walk down the network, from the image to the probabilities."""
        reading, towers = Reading((3, self.crop, self.crop), shared=True), self.towers
        for index, (name, layer) in enumerate(self.layers.items()):
            output = layer.output_shape(reading.shape)
            yield Stage(index, name, layer, reading, output, towers)
            if isinstance(layer, Exchange):
                reading = Reading(output, towers, shared=True, own_first=layer.own_first)
                towers = layer.readers(towers)
            else:
                reading = Reading(output)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical shapes of all parameters, the towers side by side."""
        return self._shapes(lambda stage: stage.parameters)

    def state(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical shapes of what layers keep that is no parameter."""
        return self._shapes(lambda stage: stage.state)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical shapes of parameters and state: what a trained network is."""
        return {**self.parameters(), **self.state()}

    def _shapes(self, own: Callable[[Stage], dict[str, Parameter]]) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for stage in self.stages():
            for name, parameter in own(stage).items():
                first, *rest = parameter.shape
                shapes[name] = (first * stage.towers, *rest)
        return shapes


def _function(layer: Layer) -> str:
    """Return the name of an activation, "" for other layers."""
    return "ReLU" if isinstance(layer, ReLU) else layer.function if isinstance(layer, Activation) else ""


@dataclass(frozen=True)
class Architecture:
    """What a network's function returns: the fields of `Network` that its arguments do not have; no layer for None."""

    layers: Mapping[str, Layer | None]
    stored: int
    towers: int = 1
    scale: Scale = 1.0
    mean: tuple[float, float, float] | None = None
    remarks: tuple[str, ...] = ()


class NamedNetwork(Generic[P]):
    """A network's function with its name: call it with arguments to build the network.

    Among the arguments are `classes`, `crop` and `mean_at`. Raise ValueError for a crop below `smallest` pixels.
    """

    __name__: str

    def __init__(self, name: str, function: Callable[P, Architecture], smallest: int, later: tuple[str, ...] = ()):
        """Take the signature and the docstring of the function."""
        update_wrapper(self, function)
        self.name, self.smallest, self._function, self.later = name, smallest, function, later
        self._signature = inspect.signature(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Network:
        """Build the network."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.__name__}() {error}") from None
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        if arguments["crop"] < self.smallest:
            raise ValueError(f"a crop must have at least {self.smallest} pixels a side, got {arguments['crop']}")
        made = self._function(*args, **kwargs)
        parameters = self._signature.parameters
        for each in self.later:
            if arguments[each] == parameters[each].default:
                del arguments[each]
        return Network(
            name=self.name,
            layers={name: layer for name, layer in made.layers.items() if layer is not None},
            towers=made.towers,
            classes=arguments["classes"],
            crop=arguments["crop"],
            stored=made.stored,
            scale=made.scale,
            mean_at=arguments["mean_at"],
            mean=made.mean,
            arguments=arguments,
            remarks=made.remarks,
        )


def network(
    name: str, smallest: int = 0, later: tuple[str, ...] = ()
) -> Callable[[Callable[P, Architecture]], NamedNetwork[P]]:
    """Make a function's architecture the network of that name.

    smallest: the crop, in pixels a side, that leaves one value a map after the last pool.  later: arguments that the
    function got after files of the network were written; with their defaults they are not among `Network.arguments`, so
    that these files keep their text and earlier versions read them.
    """
    return lambda function: NamedNetwork(name, function, smallest, later)
