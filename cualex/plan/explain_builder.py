"""The steps of an explanation: inference up to a layer, and from its output back to the image."""

from cualex.devices.control import Control
from cualex.errors import UsageError
from cualex.layers.maps import Maps
from cualex.networks import Network, Stage
from cualex.plan import crop
from cualex.plan.builder import Builder, Passed
from cualex.plan.fusion import Unit
from cualex.plan.update_rule import Rule
from cualex.weights.parameters import Parameters

MEETING = ("exchange", "join")  # layers that compute nothing: their maps are those of the layer below


def source(network: Network, name: str) -> str:
    """Return the layer whose maps a layer's output is: of an exchange, the layer below it."""
    names = list(network.layers)
    while network.layers[name].kind in MEETING:
        name = names[names.index(name) - 1]
    return name


class ExplainBuilder(Builder):
    """The steps and buffers of an explanation.

    Dropout is off and no weight gets a gradient. The forward pass ends at the layer `start`, at whose output the
    gradient is put in. The gradients of the layers `kept` stay for reading. With `guided` activations pass on the
    positive part of a gradient alone.
    """

    def __init__(
        self,
        parameters: Parameters,
        batch: int,
        control: Control,
        fuse: bool,
        start: str,
        outputs: tuple[str, ...],
        kept: tuple[str, ...],
        guided: bool,
    ) -> None:
        """Walk the network up to `start` and back to the image."""
        self.start, self.guided = start, guided
        self.kept: dict[str, Maps] = {}
        self._read_later = {start, *kept}
        super().__init__(parameters, batch, False, control, fuse, {start, *outputs, *kept}, Rule())

    @property
    def goes_back(self) -> bool:
        """Return True."""
        return True

    def wants_gradient(self, x: Maps) -> bool:
        """Return True: the image gets one."""
        return True

    def gradient(self, x: Maps, *, relu: bool = True) -> Maps:
        """Make the gradient of an input; where it is kept, the derivative of the ReLU that made the input waits."""
        return super().gradient(x, relu=relu and self.below not in self._read_later)

    def _units(self) -> list[Unit]:
        """Return the layers up to the start."""
        grouped = super()._units()
        last = next(number for number, unit in enumerate(grouped) if unit.stages[-1].name == self.start)
        above = {stage.name for unit in grouped[last + 1 :] for stage in unit.stages}
        asked = self._wanted - {list(self.network.layers)[-1]} | self._read_later
        if beyond := sorted(above & asked):
            raise UsageError(f"{beyond[0]} is above {self.start}, where the backward pass starts")
        return grouped[: last + 1]

    def _read(self) -> Maps:
        """Make room for the images."""
        return crop.given(self)

    def _begin_back(self, grouped: list[Unit], passed: list[Passed]) -> None:
        """Make the backward pass, from a gradient that is put in."""
        self.turn = len(self.steps)  # where it begins
        self.images = passed[0][2]
        *_, y, _ = passed[-1]
        dy = self.maps(y.shape, y.towers, "gradient", border=0)
        made = self._walk_back(grouped, passed, dy)
        if made is None:
            raise TypeError(f"{grouped[0].stage.name} gives the image no gradient")
        self.image_gradient = made
        self.keep(made)
        for step in self.steps[self.turn :]:  # may run again: what they read of the forward pass lives on
            for operand in step.operands():
                if operand.buffer.first < self.turn:
                    operand.buffer.used(len(self.steps) - 1)

    def _passed_down(self, stage: Stage, dy: Maps) -> Maps:
        """Keep a gradient that is read later, and hand on a copy, as some steps work in place; guide activations."""
        if stage.name in self._read_later:
            self.kept[stage.name] = dy
            self.keep(dy)
            dy = self._applied("linear", dy, "gradient passed on")
        if self.guided and stage.layer.kind in ("relu", "activation"):
            dy = self._applied("relu", dy, "positive gradient")
        return dy

    def _applied(self, function: str, dy: Maps, label: str) -> Maps:
        """Make a step that applies an activation to a gradient, into maps of their own."""
        made, engine = self.maps(dy.shape, dy.towers, label, border=0), self.engine
        if function == "relu":
            self.step(engine.relu.forward, reads={"x": dy}, writes={"y": made})
        else:
            self.step(engine.activation.forward, reads={"x": dy}, writes={"y": made}, function=function)
        self.append_made()
        return made
