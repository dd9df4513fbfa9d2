"""Convolutions and dense layers on an emulated GPU: arrays in the order of the reference go in and come out."""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from cualex.engine.cuda import conv, gemm_tiles, gemm_wgmma
from cualex.engine.cuda.gemm_tiles import Tiles
from cualex.engine.cuda.update import Keep
from tests.support.benches import Bench
from tests.support.conv_cases import Arrays, Case, draw, formula

PRECISIONS = ["fp32", "tf32", "bf16"]
CUDA = {
    "three groups": Case(channels=12, filters=9, groups=3, pad=1, height=6),
    "48 channels": Case(channels=48, filters=20, size=5, pad=2, height=4, width=3, pictures=1),
    "wide": Case(channels=8, filters=72, pad=1, pictures=3, height=6),
}

UNITS = {"fp32": 2.0**-24, "tf32": 2.0**-24, "bf16": 2.0**-8}  # of what maps hold: half a spacing at 1


def open_bench(emulated, precision, **options):
    """Open an emulated GPU."""
    return Bench(CudaDevice("cuda:0", emulated(**options), 0, precision))


def in_precision(values, precision):
    """Round float64 numbers to what the precision multiplies: TF32 keeps 10 bits behind the point, bfloat16 7."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    if precision == "tf32":
        bits = bits + np.uint32(0x1000) & np.uint32(0xFFFFE000)
    if precision == "bf16":
        bits = bits + np.uint32(0x7FFF) + (bits >> 16 & 1) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)


@contextmanager
def cut_into(monkeypatch, kind=None, **changed):
    """Let products be cut into tiles of one kind (rows, columns, the warp's), or otherwise changed: splits, stages."""
    chosen = gemm_tiles.choose

    def choose(rows, columns, depth, groups, precision):
        cut = chosen(rows, columns, depth, groups, precision)
        if kind is not None:
            cut = Tiles(*kind, depth=32 if precision == "bf16" else 16)
        return replace(cut, **changed)

    with monkeypatch.context() as patch:
        patch.setattr(gemm_tiles, "choose", choose)
        yield


@contextmanager
def by_mma():
    """Let plans launch mma.sync where they would wgmma."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gemm_wgmma, "forward", lambda *_: False)
        yield


class Convolution:
    """Hold a case of test_conv.py and its arrays on a device."""

    def __init__(self, bench, case, arrays, stride=1):
        self.bench, self.case = bench, case
        self.sources = case.sources if case.shared else 1
        layout = {"towers": case.towers, "sources": self.sources, "groups": case.groups, "stride": stride}
        self.stride = stride  # of the packed filters: above 1 they lie over blocks of pixels
        self.x = [bench.put(np.moveaxis(maps, 1, 3)) for maps in arrays.x]
        self.dy = bench.put(np.moveaxis(np.stack(arrays.dy), 2, 4))
        packed = conv.pack(arrays.weight, **layout)
        self.weight, self.master = bench.put(packed), bench.put(packed, np.float32)
        self.bias = bench.put(arrays.bias.reshape(case.towers, -1), np.float32)
        self.numbers = {**case.numbers, "pad": case.pad}

    def forward(self, relu=False):
        """Return y, a list by tower."""
        y = self.bench.empty(self.dy.shape)
        with self.bench.untouched(*self.x, self.weight, self.bias):
            conv.forward(self.bench.device, self.x, self.weight, self.bias, y, relu=relu, **self.numbers)
        return [np.moveaxis(maps, 3, 1) for maps in self.bench.get(y)]

    def input_gradient(self, relu=False):
        """Return dx, a list by source."""
        dx = [self.bench.empty(maps.shape) for maps in self.x]
        of = self.x if relu else None
        with self.bench.untouched(*self.x, self.weight, self.dy):
            conv.input_gradient(self.bench.device, self.dy, self.weight, dx, relu_of=of, **self.numbers)
        return [np.moveaxis(self.bench.get(maps), 3, 1) for maps in dx]

    def sink(self, sink, bias_sink):
        """Hand the gradients of weights and biases to sinks."""
        with self.bench.untouched(*self.x, self.dy):
            conv.weight_gradient(self.bench.device, self.x, self.dy, sink, bias_sink, **self.numbers)

    def weight_gradient(self):
        """Return dweight and dbias."""
        dweight, dbias = (self.bench.empty(each.shape, np.float32) for each in (self.weight, self.bias))
        self.sink(Keep(dweight), Keep(dbias))
        return self.canonical(self.bench.get(dweight)), self.bench.get(dbias).ravel()

    def canonical(self, weight):
        """Return packed weights in the canonical order."""
        return conv.unpack(weight, size=self.case.size, stride=self.stride, sources=self.sources)

    def all(self, relu=False):
        """Return y, dweight, dbias and dx."""
        return self.forward(relu), *self.weight_gradient(), self.input_gradient(relu)


@cache
def small(case):
    """Draw whole numbers whose sums bfloat16 can hold: all of -1, 0 and 1."""
    arrays = draw(case, True)
    return Arrays(*(np.clip(getattr(arrays, name), -1, 1) for name in ("x", "weight", "bias", "dy")))


@cache
def wanted(case):
    return formula(case, small(case))
