"""SASS read: instructions, kinds, loops, resources."""

import pytest

from cualex.kernel_model import sass
from tests.support.written_sass import GEMM, listing


def test_instructions_loops_and_resources_are_read():
    found = sass.read(GEMM)
    assert [each.address for each in found.instructions] == list(range(0, 9 * 16, 16))
    assert found.loops == (sass.Loop(0x10, 0x60),)
    assert (found.registers, found.spilled, found.shared) == (227, 0, 1024)
    assert sass.by_kind(found.within(found.loops[0])) == {
        "tensor": 2, "async_copy": 1, "shared": 1, "branch": 1, "integer": 1,
    }  # fmt: skip


def test_the_bits_beside_an_instruction_are_no_instructions():
    line = "        /*0010*/                   IADD3 R2, R2, 0x1, RZ ;    /* 0x0000000102027810 */\n"
    bits = " " * 80 + "/* 0x000fe20000000800 */\n"
    found = sass.read(listing("EXIT") + line + bits)
    assert [each.name for each in found.instructions] == ["EXIT", "IADD3"]


def test_spilled_registers_are_counted():
    assert sass.read(listing("STL [R1], R4", "EXIT", stack=8, local=16)).spilled == 24
    assert sass.Instruction(0, "LDL.LU").kind == "spill"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("HMMA.1688.F32.TF32", "tensor"), ("HGMMA.64x128x16.F32.BF16", "tensor"), ("LDGSTS.E.BYPASS.128", "async_copy"),
        ("LDG.E.128.CONSTANT", "global"), ("STG.E", "global"), ("LDS.128", "shared"), ("LDSM.16.MT88.4", "shared"),
        ("STS.64", "shared"), ("LDC.64", "constant"), ("ULDC.64", "constant"), ("FSETP.GEU.AND", "float32"),
        ("DADD", "float64"), ("MUFU.RSQ", "special"), ("I2F.RP", "special"), ("BAR.SYNC.DEFER_BLOCKING", "barrier"),
        ("BRA", "branch"), ("IMAD.MOV.U32", "integer"), ("LOP3.LUT", "integer"), ("LEA.HI", "integer"),
    ],
)  # fmt: skip
def test_an_instruction_has_a_kind(name, kind):
    assert sass.Instruction(0, name).kind == kind


@pytest.mark.parametrize(
    ("name", "wavefronts"),
    [
        ("LDSM.16.M88.4", 4), ("LDSM.16.MT88.2", 2), ("LDS", 1), ("LDS.64", 2), ("LDS.128", 4), ("LDS.U16", 1),
        ("STS.128", 4), ("LDGSTS.E.BYPASS.128", 4), ("LDG.E.128", 0), ("FADD", 0),
    ],
)  # fmt: skip
def test_clocks_of_shared_memory(name, wavefronts):
    assert sass.Instruction(0, name).wavefronts == wavefronts


def test_a_loop_in_a_loop_and_a_trap():
    found = sass.read(listing("NOP", "FADD R0", "FFMA R0", "@P0 BRA 0x20", "@P1 BRA 0x10", "EXIT", "BRA 0x60"))
    assert found.loops == (sass.Loop(0x10, 0x40), sass.Loop(0x20, 0x30))
    assert found.loops[1].within(found.loops[0])
    assert not found.loops[0].within(found.loops[0])
    assert found.main_loop == found.loops[1]  # the narrowest with the multiply-add
    assert "NOP" not in [each.name for each in found.instructions]


def test_a_loop_with_fewer_multiply_adds_is_not_the_main_one():
    text = listing("HMMA.16816 R0", "@P0 BRA 0x0", "HMMA.16816 R0", "HMMA.16816 R0", "@P0 BRA 0x20", "EXIT")
    assert sass.read(text).main_loop == sass.Loop(0x20, 0x40)


def test_a_kernel_without_loops_has_no_main_one():
    assert sass.read(listing("FFMA R0", "EXIT")).main_loop is None


@pytest.mark.parametrize("text", ["", "cuobjdump fatal : unknown file", listing()])
def test_what_is_no_listing_is_refused(text):
    with pytest.raises(ValueError, match=r"expected the resources and the SASS of a kernel"):
        sass.read(text)
