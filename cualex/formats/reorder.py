"""Reorder tensors from a file's layout to the canonical one, one at a time, so that at most one is in memory twice."""

from collections.abc import Iterator

import numpy as np

from cualex.errors import WeightsError
from cualex.formats import plain_weights
from cualex.formats.match import Import
from cualex.networks import Network

TILE = 64  # outputs, and inputs, that are transposed at once


def placed(made: Import) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors of a file one by one: (canonical name, float32 in canonical order)."""
    network, convention, shapes = made.network, made.convention, made.network.tensors()
    stages = {f"{stage.name}.weight": stage for stage in network.stages()}
    first = next(iter(made.tensors))
    dense = next(name for name, stage in stages.items() if stage.layer.kind == "dense")
    for name, tensor in made.tensors.items():
        shape = shapes[name]
        values = _float32(name, tensor.read())
        values = values.reshape(values.shape[values.ndim - len(shape) :])
        if len(shape) == 4:
            values = values.transpose([convention.conv.index(axis) for axis in "OIHW"])
        elif len(shape) == 2:
            values = values if convention.dense == "OI" else values.T
        if name == dense and convention.flatten == "HWC":
            values = _by_channel(values, network)
        if name == first and convention.colours == "BGR":
            values = values[:, ::-1]
        values = _contiguous(values).reshape(shape)
        if name in stages:
            values = plain_weights.in_order(stages[name], values, back=True)
        if name in made.factors:
            with np.errstate(over="ignore"):
                values = values * made.factors[name].astype(np.float32)
            values = _float32(name, values)
        yield name, values


def _by_channel(values: np.ndarray, network: Network) -> np.ndarray:
    """Transpose the inputs of the first dense layer from HWC to CHW: (outputs, channels, rows, columns)."""
    reading = next(stage.reading for stage in network.stages() if stage.layer.kind == "dense")
    channels, rows, columns = reading.shape
    return values.reshape(len(values), rows, columns, channels).transpose(0, 3, 1, 2)


def _contiguous(values: np.ndarray) -> np.ndarray:
    """Return a contiguous copy, made tile by tile, so that the transposition stays within the cache."""
    if values.flags.c_contiguous:
        return values
    made = np.empty(values.shape, np.float32)
    for row in range(0, values.shape[0], TILE):
        for column in range(0, values.shape[1], TILE):
            tile = slice(row, row + TILE), slice(column, column + TILE)
            made[tile] = values[tile].copy(order="K")
    return made


def _float32(name: str, values: np.ndarray) -> np.ndarray:
    """Return float32; raise WeightsError for NaN or Inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float32, copy=False)
        # The sum of finite numbers may overflow; only then every number is checked.
        finite = np.isfinite(values.sum()) or np.isfinite(values).all()
    if not finite:
        raise WeightsError(f"{name} contains NaN or Inf, as after a training that diverged. Use an earlier file.")
    return values
