"""SASS as cuobjdump prints it, written by hand: for what reads it, without a compiler."""

from cualex.kernel_model import planned


def listing(*lines, registers=40, stack=0, shared=1024, local=0):
    """Return a kernel of these instructions, 16 bytes each from address 0 on; "BRA 0x20" branches back."""
    used = f"REG:{registers} STACK:{stack} SHARED:{shared} LOCAL:{local} CONSTANT[0]:576"
    code = "".join(f"        /*{16 * at:04x}*/                   {line} ;\n" for at, line in enumerate(lines))
    return f"Resource usage:\n Function k:\n  {used}\n\tcode for sm_90\n\t\tFunction : k\n{code}"


GEMM = listing(
    "S2R R0, SR_TID.X",
    "LDGSTS.E.BYPASS.128 [R2], [R4.64]",
    "LDSM.16.M88.4 R4, [R2]",
    "HMMA.16816.F32.BF16 R4, R8, R12, R4",
    "HMMA.16816.F32.BF16 R4, R8, R14, R4",
    "IADD3 R2, R2, 0x10, RZ",
    "@P0 BRA 0x10",
    "STG.E.128 desc[UR4][R2.64], R4",
    "EXIT",
    registers=227,
)
WGMMA = listing(
    "LDGSTS.E.BYPASS.128 [R2], [R4.64]",
    "HGMMA.64x128x16.F32.BF16 R24, gdesc[UR16], R24, gsb0",
    "@P0 BRA 0x0",
    "STG.E.128 desc[UR4][R2.64], R4",
    "EXIT",
    registers=124,
)
PLAIN = listing("LDG.E.128 R4, desc[UR4][R2.64]", "FADD R4, R4, R5", "STG.E.128 desc[UR4][R2.64], R4", "EXIT")


def stand_in(monkeypatch, asked=None):
    """Let every gemm have the code GEMM or WGMMA, all other kernels PLAIN; `asked` notes kernels and architectures."""

    def disassemble(binaries, kernel, defines, architecture):
        if asked is not None:
            asked.append((kernel.name, architecture))
        if kernel.needs:
            return WGMMA
        return GEMM if kernel.gemm else PLAIN

    monkeypatch.setattr(planned, "check_tools", lambda: None)
    monkeypatch.setattr(planned, "disassemble", disassemble)
