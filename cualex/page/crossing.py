"""How much each tower brings to each block: the strength of the page's lines.

    passed[to][from] = mean over the filters of tower `to`, and their positions, of |SUM over tower `from` of w x|

These are the partial sums of the block's product, without the bias, so a line is as strong as what passes along it.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from cualex.networks import Network, Stage


def passed(
    blocks: list[dict[str, Any]],
    layers: dict[str, np.ndarray],
    tensors: dict[str, np.ndarray],
    network: Network,
    silent: Collection[int] = (),
) -> dict[str, list[list[float]]]:
    """Return for each block a row a tower that reads, and in it a number a tower that is read.

    silent: towers whose maps count as zero where several are read.
    """
    stages = {stage.name: stage for stage in network.stages()}
    with np.errstate(all="ignore"):  # of a network that has diverged they are NaN or Inf
        return {block["name"]: _of(block, stages[block["name"]], layers, tensors, silent) for block in blocks}


def _of(
    block: dict[str, Any],
    stage: Stage,
    layers: dict[str, np.ndarray],
    tensors: dict[str, np.ndarray],
    silent: Collection[int],
) -> list[list[float]]:
    name, towers, sources = block["name"], stage.towers, stage.reading.sources
    # (towers, filters of a tower, positions)
    sums = (layers[name] - tensors[f"{name}.bias"][:, None, None]).reshape(towers, len(layers[name]) // towers, -1)
    if sources == 1:
        each = np.abs(sums).mean(axis=(1, 2))
        return [[float(each[to]) if to == source else 0.0 for source in range(towers)] for to in range(towers)]
    weight = stage.turned("weight", tensors[f"{name}.weight"])
    weight = weight.reshape(towers, sums.shape[1], sources, weight[0].size // sources)
    below = layers[block["below"]] * np.float32(block["factor"])
    found, rest = np.zeros((towers, sources)), sums
    heard = [source for source in range(sources) if source not in silent]
    for source, own in enumerate(np.split(below, sources)):
        if source in silent:
            continue
        if source != heard[-1]:
            part = weight[:, :, source] @ _columns(own, block)
            rest = rest - part
        else:
            part = rest  # what the others have not brought
        found[:, source] = np.abs(part).mean(axis=(1, 2))
    return found.tolist()


def _columns(x: np.ndarray, block: dict[str, Any]) -> np.ndarray:
    """Return what the filters see at each position, (values of a filter, positions)."""
    if block["window"] is None:
        return x.reshape(-1, 1)
    size, stride, pad = block["window"]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return windows.transpose(0, 3, 4, 1, 2).reshape(len(x) * size * size, -1)
