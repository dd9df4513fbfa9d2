"""Build the stand-in for CUDA at its first use: three libraries, kept in cualex's cache.

    libcuda     the driver, the runtime and the emulated machine
    libnvrtc    the compiler of kernels, which calls g++
    runtime     CuPy's module `cupy_backends.cuda.api.runtime`, compiled from CuPy's own sources

NVIDIA's runtime is linked into that one module of the wheel, and nothing of it can be replaced from outside. All else
in CuPy finds libcuda and libnvrtc by name. The name of each library has a hash of all that it is made of.
"""

import hashlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib import metadata
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from cualex.emulator import build as emulator
from cualex.system import cache as caches

HERE = Path(__file__).resolve().parent
EMULATOR = emulator.FOLDER
API = Path("cupy_backends/cuda/api")
# marks.cpp stands in the place of these.
REPLACED = {"hooks.cpp", "requests.cpp"}
SOURCES = [
    *sorted(path for path in HERE.glob("*.cpp") if path.name != "nvrtc.cpp"),
    *sorted(path for path in EMULATOR.glob("*.cpp") if path.name not in REPLACED),
]
MACHINE = [*emulator.COMMON, "-O2", f"-I{HERE}", f"-I{HERE / 'include'}", f"-I{EMULATOR}"]
# Every access to memory calls a hook of marks.cpp; see emulator/build.py for the rest.
KERNEL = [flag for flag in emulator.KERNEL if not flag.startswith(("-I", "-W", "-g"))]
KERNEL += ["-O1", "-fsanitize=thread", "-fno-tree-sra", "-Wno-tsan"]
# As CuPy's own build has them (install/cupy_builder/_command.py in its sdist).
DIRECTIVES = {"embedsignature": True, "c_api_binop_methods": True, "binding": False, "warn.deprecated.IF": False}


class Missing(Exception):
    """Report what this machine lacks; the text says how to get it."""


@dataclass(frozen=True)
class Cupy:
    """Name the CuPy that is installed: its wheel, its version, and CUDA's major version."""

    wheel: str
    version: str
    major: int

    @property
    def cuda_version(self) -> int:
        """Return CUDA_VERSION."""
        return 1000 * self.major


def libraries() -> list[Path]:
    """Return the three libraries; build what is missing. Raise Missing where that cannot be."""
    cupy = installed()
    if not emulator.compiler() or platform.machine() != "x86_64":
        raise Missing("the stand-in for CUDA needs Linux on x86-64 and g++ (apt-get install g++)")
    folder = caches.directory() / "cudart"
    folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor(1) as beside:  # the module takes longest
        module = beside.submit(_module, folder, cupy)
        made = [_libcuda(folder, cupy), _libnvrtc(folder, cupy)]
        return [*made, module.result()]


def installed() -> Cupy:
    """Find CuPy's wheel; raise Missing without one."""
    for major in (13, 12):
        wheel = f"cupy-cuda{major}x"
        try:
            return Cupy(wheel, metadata.version(wheel), major)
        except metadata.PackageNotFoundError:
            continue
    raise Missing("CuPy is not installed: pip install 'cualex[gpu-test]' (or cupy-cuda12x or cupy-cuda13x)")


def _libcuda(folder: Path, cupy: Cupy) -> Path:
    generated = _headers(folder, cupy)
    words = [*MACHINE, f"-DCUDA_VERSION={cupy.cuda_version}", f"-I{generated}", "-Wl,-soname,libcuda.so.1"]
    digest = _digest(cupy, MACHINE, sorted(generated.iterdir()), _texts(HERE), _texts(EMULATOR))
    made = folder / f"libcuda-{digest}.so"
    if not made.exists():
        emulator.run(words, made, parts=SOURCES)
    return made


def _libnvrtc(folder: Path, cupy: Cupy) -> Path:
    # With the folders: the library includes their headers by name when it compiles a kernel.
    places = [str(EMULATOR), str(HERE), str(folder)]
    digest = _digest(cupy, KERNEL, places, [HERE / "nvrtc.cpp", HERE / "kernel.h"], _texts(EMULATOR))
    made = folder / f"libnvrtc-{digest}.so"
    if made.exists():
        return made
    texts = {
        "COMPILER": " ".join(["g++", *KERNEL]),
        "EMULATOR": EMULATOR,
        "HERE": HERE,
        "KERNELS": folder / f"kernels-{digest}",
        "STUB": _stub(folder),
    }
    numbers = {"MAJOR": cupy.major, "MINOR": int(digest[:5], 16)}
    words = [*emulator.COMMON, "-O1", f"-Wl,-soname,libnvrtc.so.{cupy.major}"]
    words += [f'-DCUDART_{name}="{text}"' for name, text in texts.items()]
    words += [f"-DCUDART_{name}={number}" for name, number in numbers.items()]
    emulator.run(words, made, parts=[HERE / "nvrtc.cpp"])
    return made


def _stub(folder: Path) -> Path:
    """Return an empty library that the linker takes for libcuda.so.1: which one it is, is known when it is loaded."""
    made = folder / "stub.so"
    if not made.exists():
        emulator.run(["-shared", "-fPIC", "-x", "c++", "-", "-Wl,-soname,libcuda.so.1"], made, "")
    return made


def _module(folder: Path, cupy: Cupy) -> Path:
    """Translate CuPy's module by Cython, and compile it against our header."""
    digest = _digest(cupy, sorted((HERE / "include").iterdir()), [sysconfig.get_config_var("EXT_SUFFIX"), sys.version])
    made = folder / f"runtime-{digest}.so"
    if made.exists():
        return made
    if importlib.util.find_spec("Cython") is None:
        raise Missing("the stand-in for CUDA is built with Cython: pip install 'cualex[gpu-test]' (or Cython)")
    generated = _headers(folder, cupy)
    with _sources(folder, cupy) as sources, TemporaryDirectory() as place:
        translated = Path(place, "runtime.cpp")
        _translate(sources, translated, cupy)
        words = [*emulator.COMMON, "-O1", "-g0", "-w", f"-DCUDA_VERSION={cupy.cuda_version}"]
        include = generated, HERE / "include", sources / API, sysconfig.get_paths()["include"]
        words += [f"-I{path}" for path in include]
        emulator.run([*words, "-Wl,--no-as-needed", str(_stub(folder))], made, parts=[translated])
    return made


def _translate(sources: Path, made: Path, cupy: Cupy) -> None:
    from Cython.Compiler.Main import CompilationOptions, compile_single, default_options

    environment = {"CUPY_USE_CUDA_PYTHON": False, "CUPY_CUDA_VERSION": cupy.cuda_version, "CUPY_HIP_VERSION": 0}
    options = CompilationOptions(
        default_options,
        cplus=True,
        language_level=3,
        compiler_directives=DIRECTIVES,
        compile_time_env=environment,
        include_path=[str(sources)],
        output_file=str(made),
    )
    with redirect_stderr(StringIO()) as said:
        result = compile_single(str(sources / API / "runtime.pyx"), options, "cupy_backends.cuda.api.runtime")
    if result.num_errors:
        raise emulator.BuildError(f"Cython could not translate CuPy's runtime.pyx:\n{said.getvalue()}")


def _headers(folder: Path, cupy: Cupy) -> Path:
    """Write what cuda_runtime.h includes, as this CuPy has it; return its folder."""
    made = folder / f"include-{_digest(cupy, HERE / 'include' / 'cuda_runtime.h', HERE / 'build.py')}"
    if made.exists():
        return made
    with _sources(folder, cupy) as sources, TemporaryDirectory(dir=folder) as place:
        part = Path(place, "include")
        part.mkdir()
        declared = (HERE / "include" / "cuda_runtime.h").read_text()
        (part / "device_prop.inc").write_text(device_prop((sources / API / "_runtime_typedef.pxi").read_text(), cupy))
        (part / "refused.inc").write_text(refused((sources / API / "_runtime_extern.pxi").read_text(), declared))
        try:
            part.rename(made)
        except OSError:  # somebody was quicker
            if not made.exists():
                raise
    return made


def device_prop(text: str, cupy: Cupy) -> str:
    """Return the fields of cudaDeviceProp that this CuPy reads."""
    start = text.index(f"CUPY_CUDA_VERSION >= {cupy.cuda_version}:", text.index("_PointerAttributes"))
    body = text[text.index("'cudaDeviceProp':", start) :].split("\n", 1)[1]
    fields = re.split(r"^    EL", body, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.split("#")[0].strip().replace("cudaUUID ", "cudaUUID_t ") for line in fields.splitlines()]
    return "".join(f"{line};\n" for line in lines if line)


def refused(text: str, declared: str) -> str:
    """Return a function that is not supported for each that CuPy names and our header does not declare."""
    names = dict.fromkeys(re.findall(r"^\s*int (cuda\w+)\(", text, re.MULTILINE))
    absent = [name for name in names if not re.search(rf"\b{name}\(", declared)]
    return "".join(f"inline cudaError_t {name}(...) {{ return cudaErrorNotSupported; }}\n" for name in absent)


@contextmanager
def _sources(folder: Path, cupy: Cupy):
    """Unpack CuPy's sources for a while; get them from the package index where they are not in the cache."""
    with TemporaryDirectory(dir=folder) as place:  # where a rename is one step, and no other thread or process writes
        archive = folder / f"cupy-{cupy.version}.tar.gz"
        if not archive.exists():
            _download(cupy, Path(place))
            next(Path(place).glob("cupy-*.tar.gz")).replace(archive)
        with tarfile.open(archive) as packed:
            top = f"cupy-{cupy.version}/cupy_backends/"
            packed.extractall(place, [each for each in packed if each.name.startswith(top)], filter="data")
        yield Path(place, f"cupy-{cupy.version}")


def _download(cupy: Cupy, place: Path) -> None:
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--no-binary", "cupy", "--dest", str(place), f"cupy=={cupy.version}"]
    # Without this its setup.py looks for CUDA when pip asks for the name and version.
    environment = {**os.environ, "CUPY_INSTALL_USE_STUB": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["pip says nothing"]
        raise Missing(f"CuPy's sources (cupy {cupy.version}) cannot be had from the package index: {said[-1]}")


def _texts(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in {".cpp", ".h", ".cuh", ".inc"}]


def _digest(*parts) -> str:
    """Hash files by their contents, all else by how it is written, with the compiler."""

    def written(part) -> str:
        if isinstance(part, Path):
            return part.read_text()
        return "\0".join(map(written, part)) if isinstance(part, list) else repr(part)

    return hashlib.sha256("\0".join([emulator.compiler(), *map(written, parts)]).encode()).hexdigest()[:24]
