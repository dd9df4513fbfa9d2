"""Arguments of users' kernels: described, converted to the kernel's types, or refused."""

import numpy as np
import pytest

from cualex.emulator import arguments
from cualex.emulator.arguments import Type
from cualex.emulator.source import UserKernel
from cualex.errors import KernelError, UsageError

FLOATS, INT, HALVES = Type(13, 1, True, False), Type(7, 1, False, False), Type(15, 1, True, True)
BF16S, FLOAT4S, ANY, FLOAT2 = (
    Type(16, 1, True, False),
    Type(13, 4, True, True),
    Type(17, 1, True, True),
    Type(13, 2, False, False),
)


def ready(kind, value, name="x"):
    kernel = UserKernel("k", (name,), (f"T {name}",), "", "", 1)
    (made,) = arguments.ready(kernel, [kind], (value,))
    return made


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("zeros(3)", np.zeros(3)),
        ("ones(2, 3)", np.ones((2, 3))),
        ("full(-2.5, 4)", np.full(4, -2.5)),
        ("arange(5)", np.arange(5)),
        ("x = arange(2)", np.arange(2)),
        ("random(4, seed=3)", np.random.default_rng(3).random(4)),
        ("randint(2, 9, 6)", np.random.default_rng(0).integers(2, 9, 6)),
    ],
)
def test_arrays_are_described(text, wanted):
    for kind in (FLOATS, HALVES):
        made = ready(kind, text)
        assert made.array.dtype == kind.dtype
        assert np.array_equal(made.array, wanted.astype(kind.dtype))


def test_a_list_is_split_at_its_commas():
    assert arguments.split(" zeros(2, 3),4 , x=ones(2),a.npy") == ["zeros(2, 3)", "4", "x=ones(2)", "a.npy"]
    assert arguments.split("") == []
    with pytest.raises(UsageError, match="the brackets do not match"):
        arguments.split("zeros(2, 3")


def test_numbers_have_the_bits_of_the_kernels_type():
    assert ready(INT, "-3").number == np.int32(-3).tobytes()
    assert ready(INT, "0x10").number == np.int32(16).tobytes()
    assert ready(Type(1, 1, False, False), "true").number == b"\x01"
    assert ready(Type(13, 1, False, False), "inf").number == np.float32(np.inf).tobytes()
    assert ready(Type(16, 1, False, False), 1.5).number == b"\xc0\x3f"
    assert ready(FLOAT2, "(1, 2.5)").number == np.array([1, 2.5], np.float32).tobytes()


def test_bfloat16_is_rounded_to_nearest_even(rng):
    tie = 1 + 2**-8
    values = np.array([tie, -tie, 1 + 3 * 2**-8, tie + 2**-23, np.inf, 3.4e38, np.nan, 0], np.float32)
    values = np.concatenate([values, rng.standard_normal(100).astype(np.float32)])
    found = arguments.from_bf16(arguments.to_bf16(values))
    mantissa, exponent = np.frexp(values.astype(np.float64))
    wanted = np.rint(mantissa * 2**8) * 2.0 ** (exponent - 8.0)
    wanted[4:6] = np.inf
    assert np.array_equal(found, wanted.astype(np.float32), equal_nan=True)
    assert ready(BF16S, np.float32([1, 2])).array.dtype == np.uint16


def test_pointers(tmp_path, rng):
    assert ready(FLOATS, "null").array is None
    assert ready(FLOATS, None).array is None
    assert ready(FLOATS, "empty(2, 2)").empty
    assert ready(ANY, np.arange(3)).array.dtype == np.int64
    assert ready(FLOAT4S, "zeros(2, 4)").array.size == 8
    saved = rng.standard_normal((2, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", saved)
    assert np.array_equal(ready(FLOATS, str(tmp_path / "x.npy")).array, saved)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (FLOATS, "zeros(", "'zeros(' is no argument: give a number, a .npy file, or zeros, ones"),
        (FLOATS, "zeros(-1)", "'zeros(-1)' cannot be made: expected zeros(128)."),
        (FLOATS, "zeros(1e99)", "'zeros(1e99)' cannot be made"),
        (FLOATS, f"zeros({1 << 40})", "cannot be made"),
        (FLOATS, "full(3)", "expected full(7, 64)."),
        (FLOATS, "noise(3)", "'noise(3)': there is no noise; there are zeros, ones, full"),
        (FLOATS, "y=zeros(3)", "'y=zeros(3)' stands where the kernel takes x; arguments come in the kernel's order."),
        (FLOATS, "lost.npy", "lost.npy: there is no such file."),
        (FLOATS, "3", "argument `T x` is a pointer, and 3 is no array."),
        (FLOATS, np.zeros(3), "is of float32, and the array of float64. Convert it: x.astype('float32')."),
        (FLOAT4S, "zeros(6)", "takes 4 numbers an element, and 6 are no multiple of that."),
        (INT, "2.5", "argument `T x` is a whole number, and 2.5 is given."),
        (INT, "nan", "is a whole number, and nan is given."),
        (INT, "zeros(2)", "argument `T x` is a number, and an array of (2,) is given."),
        (INT, "4_000_000_000", "4000000000 does not fit into int32."),
        (FLOAT2, "1", "argument `T x` is 2 numbers, and 1 is given."),
    ],
)
def test_what_does_not_fit_is_refused(kind, value, said):
    with pytest.raises(UsageError) as error:
        ready(kind, value)
    assert said in str(error.value)


def test_their_number_is_checked():
    kernel = UserKernel("k", ("x", "n"), ("float* x", "int n"), "", "", 1)
    with pytest.raises(
        UsageError, match=r"^k\(float\* x, int n\) takes 2 arguments, but got 1\..* as 'zeros\(1024\), 3'\."
    ):
        arguments.ready(kernel, [FLOATS, INT], ("zeros(3)",))


def test_structs_and_pointers_to_pointers_are_refused():
    kernel = UserKernel("k", ("p",), ("Pair p",), "", "", 7)
    with pytest.raises(KernelError, match=r"^a\.cu:7: k takes `Pair p`, and the emulator passes numbers and arrays\.$"):
        arguments.types_of(kernel, [0], "a.cu:7")
    assert arguments.types_of(kernel, [20_413], "")[0] == FLOAT4S


@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
def test_no_whole_number_is_infinite(text):
    with pytest.raises(UsageError, match="is a whole number"):
        ready(INT, text)


def test_an_array_of_letters_cannot_be_made():
    with pytest.raises(UsageError, match=r"cannot be made: expected full\(7, 64\)"):
        ready(FLOATS, "full('a', 32)")
