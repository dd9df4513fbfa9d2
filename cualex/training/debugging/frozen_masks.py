"""The forward pass with its choices held: which units a ReLU lets through, and where each maximum of a pool lies.

With the choices held a loss is smooth in every weight, and its gradient is what the backward pass computes: the choices
of the pass before it. Dropout needs no holding: its masks follow from the seed and the step.
"""

from dataclasses import replace

import numpy as np

from cualex.layers.maps import Operand
from cualex.plan import Plan
from cualex.plan.step import Step


class Forward:
    """Run the forward steps of a plain plan on the CPU; the first time the choices are made, and from then on held.

    inputs: what each layer reads, arrays without their borders.
    """

    def __init__(self, plan: Plan):
        """Take a plan made with fuse=False, on one place, with a batch in it."""
        self.plan = plan
        self.inputs = {step.layers[0]: bare(step.reads["x"]) for step in plan.steps if _forward(step)}
        self._held: dict[str, np.ndarray] = {}

    def loss(self, layer: str = "", part: int = 0, change: np.ndarray | None = None) -> float:
        """Return the mean loss; with a layer, add a change to the `part`-th array that it reads."""
        ended = False

        def run(step: Step) -> None:
            nonlocal ended
            ended = ended or step.kind == "backward"
            if ended:
                return
            if change is not None and step.layers[0] == layer and _forward(step):
                array = self.inputs[layer][part].array()
                array += change
            self._run(step)

        self.plan.run(run)
        return self.plan.result.loss

    def _run(self, step: Step) -> None:
        """Run a step, or what it comes to when its choices are held."""
        name, arrays = step.layers[0], step.arrays()
        engine = self.plan.parameters.engine
        if step.call not in (engine.relu.forward, engine.maxpool.forward):
            step.run()
        elif name not in self._held:
            step.run()
            x, y = arrays["x"], arrays["y"]
            self._held[name] = y > 0 if step.call is engine.relu.forward else _maxima(x, y, **step.numbers)
        elif step.call is engine.relu.forward:
            np.multiply(arrays["x"], self._held[name], out=arrays["y"])
        else:
            x, y = arrays["x"], arrays["y"]
            flat = np.ascontiguousarray(x).reshape(*x.shape[:2], -1, x.shape[-1])
            held = self._held[name].reshape(*y.shape[:2], -1, y.shape[-1])
            y[...] = np.take_along_axis(flat, held, axis=2).reshape(y.shape)


def bare(operands: Operand | list[Operand]) -> list[Operand]:
    """Return one or several operands as a list, without their borders."""
    listed = operands if isinstance(operands, list) else [operands]
    return [replace(operand, before=None) for operand in listed]


def _forward(step: Step) -> bool:
    return step.kind == "forward"


def _maxima(x: np.ndarray, y: np.ndarray, *, size: int, stride: int) -> np.ndarray:
    """Return where each window's first maximum lies among the pixels of its map: the shape of y."""
    rows, columns = x.shape[2:4]
    best, place = np.full(y.shape, -np.inf), np.zeros(y.shape, np.int64)
    for r in range(size):
        for s in range(size):
            row, column = np.arange(y.shape[2]) * stride + r, np.arange(y.shape[3]) * stride + s
            inside = (row < rows)[:, None] & (column < columns)  # a window may be cut off at the end
            at = np.minimum(row, rows - 1)[:, None] * columns + np.minimum(column, columns - 1)
            values = x.reshape(*x.shape[:2], rows * columns, -1)[:, :, at]
            larger = (values > best) & inside[..., None]
            best = np.where(larger, values, best)
            place = np.where(larger, at[..., None], place)
    return place
