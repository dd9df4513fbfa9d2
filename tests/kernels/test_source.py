"""The door to CUDA without a GPU: what a .cu says of itself, and the checks before a launch."""

import numpy as np
import pytest

from cualex import kernels
from cualex.kernels import source

TOY = """// toy: y[i] = factor * x[i].
//
// dimensions: COUNT ROWS
// dimensions: COLUMNS
// reals: FACTOR
// choices: PRECISION
#include "a.cuh"
#include "b.cuh"
extern "C" __global__ void __launch_bounds__(128) toy(const Value* __restrict__ x, Value* y, const Control* control,
                                                      unsigned first) {
}
"""
PAIR = """// pair: what two kernels share.
//
// dimensions: COUNT
#include "a.cuh"
int shared;

// --- forward
// reals: FACTOR
extern "C" __global__ void forward(float* y) { int first; }

// --- backward
// choices: PRECISION
#include "b.cuh"
extern "C" __global__ void backward(const float* dy) { int second; }
"""
A = '#pragma once\n// a\n#include "b.cuh"\nint a;\n'
B = "#pragma once\nint b;\n"
CONSTANTS = {"COUNT": 3, "ROWS": 1, "COLUMNS": 2, "FACTOR": 1e-4, "PRECISION": "BF16"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in (("toy.cu", TOY), ("pair.cu", PAIR), ("a.cuh", A), ("b.cuh", B)):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    kernels.find.cache_clear()
    yield tmp_path
    kernels.find.cache_clear()


def launch(x=None, y=None, control=None, first=None, constants=CONSTANTS, **shape):
    x = np.zeros((2, 3), np.uint16) if x is None else x
    y = np.zeros((2, 3), np.uint16) if y is None else y
    first = np.uint32(1) if first is None else first
    shape = {"grid": (4,), "block": 128, **shape}
    return kernels.Launch.of("toy", (x, y, control, first), constants=constants, **shape)


def test_a_kernel_is_read_out_of_its_file(folder):
    toy = kernels.find("toy")
    assert [(a.type, a.name, a.pointer) for a in toy.arguments] == [
        ("Value", "x", True),
        ("Value", "y", True),
        ("Control", "control", True),
        ("unsigned", "first", False),
    ]
    assert (toy.dimensions, toy.reals, toy.choices) == (("COUNT", "ROWS", "COLUMNS"), ("FACTOR",), ("PRECISION",))


def test_a_file_of_two_kernels_gives_each_what_they_share_and_its_own_lines(folder):
    forward, backward = kernels.find("forward"), kernels.find("backward")
    assert (forward.dimensions, forward.reals, forward.choices) == (("COUNT",), ("FACTOR",), ())
    assert (backward.dimensions, backward.reals, backward.choices) == (("COUNT",), (), ("PRECISION",))
    assert [argument.name for argument in backward.arguments] == ["dy"]
    for kernel, own, other in ((forward, "first", "second"), (backward, "second", "first")):
        text = kernels.assemble(kernel)
        assert "int shared;" in text
        assert f"int {own};" in text
        assert f"int {other};" not in text
        mark, _, after = text.partition("int shared;")[0].rpartition("#line ")[2].partition("\n")
        assert mark == '5 "pair.cu"'
        assert after == ""
        line = kernel.text[: kernel.text.index(f"int {own};")].count("\n")
        assert f"int {own};" in PAIR.split("\n")[line]  # of the file, as the compiler will say it


def test_headers_are_put_in_once_with_the_lines_that_they_came_from(folder):
    text = kernels.assemble(kernels.find("toy"))
    assert text.count("int a;") == text.count("int b;") == 1
    assert text.index("int b;") < text.index("int a;") < text.index("toy(const")
    after = text[text.index("int a;") :].split("\n", 3)
    assert after[1] == '#line 8 "toy.cu"'  # where the next include stands
    assert "#pragma once" not in text


def test_a_header_can_be_replaced(folder):
    text = kernels.assemble(kernels.find("toy"), {"b.cuh": "int other;\n"})
    assert "int other;" in text
    assert "int b;" not in text


def test_constants_become_the_compilers_options(folder):
    assert launch().defines == ("-DCOUNT=3", "-DROWS=1", "-DCOLUMNS=2", "-DFACTOR=0.0001f", "-DPRECISION=BF16")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": np.zeros(3, np.float32)}, "argument x: expected uint16, got float32"),
        ({"y": np.zeros((4, 4), np.uint16)[:, 1:]}, r"argument y: not contiguous: shape \(4, 3\)"),
        ({"control": np.zeros(8, np.float32)}, "argument control: expected uint32, got float32"),
        ({"first": 3}, "argument first: expected a NumPy uint32 scalar, got int"),
        ({"first": np.int64(3)}, "argument first: expected a NumPy uint32 scalar, got int64"),
        ({"x": 3}, "argument x: expected an array, got int"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(folder, changed, words):
    with pytest.raises(TypeError, match=words):
        launch(**changed)


def test_the_type_of_a_value_follows_the_precision(folder):
    floats = {"x": np.zeros(3, np.float32), "y": np.zeros(3, np.float32)}
    launch(**floats, constants={**CONSTANTS, "PRECISION": "TF32"})
    with pytest.raises(TypeError, match="argument x: expected float32, got uint16"):
        launch(constants={**CONSTANTS, "PRECISION": "TF32"})


def test_the_number_of_arguments_is_checked(folder):
    with pytest.raises(TypeError, match="expected 4 arguments, got 1"):
        kernels.Launch.of("toy", (np.zeros(3, np.uint16),), grid=(1,), block=32, constants=CONSTANTS)


@pytest.mark.parametrize("shape", [{"grid": (0,)}, {"block": 1025}, {"block": 0}])
def test_a_launch_of_nothing_or_too_much_is_refused(folder, shape):
    with pytest.raises(ValueError, match="cannot be launched"):
        launch(**shape)


def test_constants_must_be_those_that_the_kernel_wants(folder):
    with pytest.raises(TypeError, match=r"constants missing \['COUNT'\], unknown \['OTHER'\]"):
        launch(constants={**{k: v for k, v in CONSTANTS.items() if k != "COUNT"}, "OTHER": 1})


def test_a_kernel_that_is_not_there_is_said(folder):
    with pytest.raises(LookupError, match="there is no kernel 'other'; there are backward, forward, toy"):
        kernels.find("other")


def test_a_file_must_hold_the_kernels_that_it_names():
    with pytest.raises(ValueError, match=r"second.cu must hold one kernel second there; it holds \['toy'\]"):
        source.parse("second.cu", TOY)
    with pytest.raises(ValueError, match=r"pair.cu must hold one kernel onward there; it holds \['backward'\]"):
        source.parse("pair.cu", PAIR.replace("--- backward", "--- onward"))


def test_a_name_belongs_to_one_kernel(folder):
    (folder / "toys.cu").write_text(f"// --- toy\n{TOY}")
    with pytest.raises(ValueError, match=r"toys\.cu and toy\.cu both hold a kernel toy"):
        kernels.names()
