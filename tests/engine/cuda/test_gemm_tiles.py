"""How gemms are cut: for alexnet as in `alexnet_tiles.txt`, since splits decide the order of sums, and so the bits.

The file was written by version 0.1, from its plans: precision and batch, then rows, columns, depth and groups of a gemm
-> rows, columns, warp's rows, warp's columns, depth of a step, stages and splits. Another choice is another result: it
needs measurements on a GPU, and a word in `cualex help changes`.
"""

from functools import cache
from pathlib import Path

import pytest

from cualex import networks
from cualex.devices.dry_runtime import DryRuntime
from cualex.engine.cuda import gemm_tiles
from cualex.kernels.architectures import precisions
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

ARCHITECTURES = (75, 80, 90)
BATCHES = (1, 32, 128)


@cache
def recorded():
    """Return {(precision, batch): {shape: tiles}}, all numbers as the file has them."""
    found = {}
    for line in (Path(__file__).parent / "alexnet_tiles.txt").read_text().splitlines():
        place, _, numbers = line.partition(": ")
        precision, batch = place.split()
        shape, tiles = (tuple(map(int, part.split())) for part in numbers.split(" -> "))
        found.setdefault((precision, int(batch)), {})[shape] = tiles
    return found


def numbers(cut):
    return (cut.rows, cut.columns, cut.warp_rows, cut.warp_columns, cut.depth, cut.stages, cut.splits)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gemms_of_alexnet_are_cut_as_in_version_0_1(monkeypatch, architecture):
    """The plans themselves, in every precision of the GPU; inference has no gemm that training has not."""
    chosen, choose = {}, gemm_tiles.choose
    monkeypatch.setattr(gemm_tiles, "choose", lambda *shape: chosen.setdefault(shape, choose(*shape)))
    for precision in precisions(architecture):
        made = Parameters(networks.build("alexnet"), "cuda:0", precision=precision, runtime=DryRuntime(architecture))
        for batch in BATCHES:
            chosen.clear()
            Plan(made, batch)
            assert {shape[:4]: numbers(cut) for shape, cut in chosen.items()} == recorded()[precision, batch]
