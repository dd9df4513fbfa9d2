"""Kernels compiled by NVRTC, kept on disk: one binary for each text, set of constants, architecture and compiler.

The headers are part of the text (CuPy's own cache does not see an `#include`), so an edited header gives another
key. Where the cache cannot be written, a folder of this process takes its place.
"""

import atexit
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

from cualex.errors import DeviceError, NoGpu, OutputError
from cualex.kernels.source import Kernel, assemble
from cualex.system.files import replace

OPTIONS = ("-std=c++17", "-lineinfo")
MESSAGE = re.compile(r"^(\S+\.cuh?)\((\d+)\): (?:catastrophic )?error:? *(.*)$", re.MULTILINE)


class Binaries:
    """Find or make the binaries of kernels; `folder` keeps them."""

    def __init__(self, folder: Path):
        """Use a folder for the cache; it is made at the first write."""
        self.folder = folder
        self._own: Path | None = None  # a folder of this process, where that cannot be written

    def path(self, kernel: Kernel, defines: Iterable[str], architecture: int) -> Path | None:
        """Return the file of a binary that is there already, or None."""
        name = self._name(kernel, tuple(defines), architecture)
        return next((path for path in self._places(name) if path.is_file()), None)

    def make(self, kernel: Kernel, defines: Iterable[str], architecture: int) -> Path:
        """Return the file of a binary, compiled first where it is not there; from any thread."""
        defines = tuple(defines)
        if found := self.path(kernel, defines, architecture):
            return found
        binary = compile_kernel(kernel, defines, architecture)
        path = self.folder / self._name(kernel, defines, architecture)
        try:
            return self._write(path, binary)
        except (OSError, OutputError):
            if self._own is None:
                self._own = Path(tempfile.mkdtemp(prefix="cualex-kernels-"))
                weakref.finalize(self, shutil.rmtree, self._own, ignore_errors=True)
            return self._write(self._own / path.name, binary)

    @property
    def writable(self) -> bool:
        """Say whether binaries outlive this process."""
        parent = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        return parent.is_dir() and os.access(parent, os.W_OK)

    def _places(self, name: str) -> list[Path]:
        return [folder / name for folder in (self.folder, self._own) if folder]

    def _name(self, kernel: Kernel, defines: tuple[str, ...], architecture: int) -> str:
        text = "\0".join([assemble(kernel), *OPTIONS, *defines, str(compiler_version())])
        return f"{kernel.name}-sm{architecture}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.cubin"

    def _write(self, path: Path, binary: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, lambda part: part.write_bytes(binary))
        return path


def compiler_version() -> tuple[int, int]:
    """Return NVRTC's version; raise DeviceError where it is not installed."""
    nvrtc = _nvrtc()
    try:
        return nvrtc.getVersion()
    except (RuntimeError, OSError, ImportError) as error:
        raise DeviceError(
            f"NVRTC, CUDA's compiler, is not there ({reason(error)}).",
            "Install it with CuPy: pip install 'cualex[cuda13]' (or cuda12, as the driver wants).",
        ) from error


def compile_kernel(kernel: Kernel, defines: Iterable[str], architecture: int) -> bytes:
    """Compile one kernel to the binary of an architecture (90 for sm_90), without a GPU.

    Raise DeviceError with the .cu file, the line and the compiler's message.
    """
    return _compiled(kernel, defines, architecture, "sm") + b"\0"  # CuPy takes the last byte for the end of a string


def compile_ptx(kernel: Kernel, defines: Iterable[str], architecture: int) -> str:
    """Compile one kernel to PTX, from which the binary of an architecture is made; raise DeviceError as above."""
    return _compiled(kernel, defines, architecture, "compute").rstrip(b"\0").decode()


def _compiled(kernel: Kernel, defines: Iterable[str], architecture: int, kind: str) -> bytes:
    """Compile for "sm", to a binary, or "compute", to PTX."""
    nvrtc = _nvrtc()
    options = (*OPTIONS, f"-arch={kind}_{kernel.target(architecture)}", *defines)
    program = nvrtc.createProgram(assemble(kernel), kernel.file, (), ())
    try:
        nvrtc.compileProgram(program, options)
        made = nvrtc.getCUBIN(program) if kind == "sm" else nvrtc.getPTX(program)
        return made if isinstance(made, bytes) else made.encode()
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise DeviceError(_said(kernel, architecture, log or str(error))) from error
    finally:
        nvrtc.destroyProgram(program)


def _said(kernel: Kernel, architecture: int, log: str) -> str:
    """Put a compiler's log into one line: where, and the first message."""
    version = ".".join(map(str, compiler_version()))
    found = MESSAGE.search(log)
    where, what = (f"{found[1]}, line {found[2]}", found[3]) if found else (kernel.file, reason(log))
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"cualex-{kernel.name}-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(log)
    return f"{where} does not compile for sm_{architecture} with NVRTC {version}: {what}. Whole log: {file.name}"


def reason(problem: Exception | str) -> str:
    """Return the line that says why; CuPy's ImportError has it below general advice and a row of equals signs."""
    lines = [line.strip() for line in str(problem).splitlines()]
    if "Original error:" in lines:
        lines = lines[lines.index("Original error:") + 1 :]
    return next((line for line in lines if line.strip("=")), type(problem).__name__)


def import_cupy():
    """Import CuPy; raise NoGpu where it is not installed, DeviceError where it does not load."""
    try:
        _let_cupy_cache()
        import cupy
    except OSError as error:
        raise DeviceError(
            f"GPUs need CuPy, which needs a folder for its cache ({error}).",
            "Set CUPY_CACHE_DIR to one that can be written; --device cpu needs none.",
        ) from error
    except ImportError as error:
        kind = NoGpu if isinstance(error, ModuleNotFoundError) and error.name == "cupy" else DeviceError
        raise kind(
            f"GPUs need CuPy ({reason(error)}).",
            "Install it: pip install 'cualex[cuda13]' (or cuda12 for an older driver; there is no wheel called cupy); "
            "--device cpu needs none.",
        ) from error
    return cupy


def _let_cupy_cache() -> None:
    """Give CuPy a folder of this process where its own cache cannot be written: its import makes that, and fails.

    As in the home directory of a batch job or a container. `cualex` compiles through `Binaries` alone.
    """
    if "cupy" in sys.modules or importlib.util.find_spec("cupy") is None:
        return
    try:
        wanted = Path(os.environ.get("CUPY_CACHE_DIR") or Path("~/.cupy/kernel_cache").expanduser())
        wanted.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        own = tempfile.mkdtemp(prefix="cualex-cupy-")
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        os.environ["CUPY_CACHE_DIR"] = own


def _nvrtc():
    """Return CuPy's door to the compiler."""
    import_cupy()
    from cupy.cuda import nvrtc

    return nvrtc
