"""The code that a kernel becomes, without a GPU: its binary by NVRTC, that as SASS by cuobjdump (extra `kernels`)."""

import contextlib
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from cualex.errors import DeviceError, OutputError
from cualex.kernels.binaries import Binaries, compiler_version
from cualex.kernels.source import Kernel
from cualex.system.files import replace_text

INSTALL = "Install compiler and disassembler, which need no GPU: pip install 'cualex[kernels]'."
ENCODING = re.compile(r"[ \t]*/\* 0x[0-9a-f]{16} \*/$", re.MULTILINE)  # an instruction's bits, beside it


def check_tools() -> None:
    """Raise DeviceError where the compiler or the disassembler is missing."""
    try:
        compiler_version()
    except DeviceError as error:
        raise DeviceError(error.what, INSTALL) from error
    _disassembler()


def disassemble(binaries: Binaries, kernel: Kernel, defines: Iterable[str], architecture: int) -> str:
    """Return the resources and the SASS of a kernel as cuobjdump prints them, without the bits of its instructions.

    The text is kept beside the binary, where that folder can be written.
    """
    binary = binaries.make(kernel, defines, architecture)
    kept = binary.with_suffix(".sass")
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    words = [str(_disassembler()), "-res-usage", "-sass", str(binary)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise DeviceError(f"cuobjdump cannot read {binary}: {(done.stderr or done.stdout).strip()}", INSTALL)
    lines = ENCODING.sub("", done.stdout).splitlines()
    text = "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"
    with contextlib.suppress(OSError, OutputError):
        replace_text(kept, text)
    return text


def _disassembler() -> Path:
    """Return the path of cuobjdump, from its wheel or a CUDA toolkit; raise DeviceError where there is none."""
    wheels = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/**/bin/cuobjdump*"))
    if not wheels and (found := shutil.which("cuobjdump")):
        return Path(found)
    if not wheels:
        raise DeviceError("cuobjdump, CUDA's disassembler, is not there.", INSTALL)
    return wheels[0]
