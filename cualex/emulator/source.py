"""A user's .cu for g++: what runs on the GPU stays, what is the host's is left blank, and lines keep their numbers.

nvcc compiles functions without `__device__` or `__global__` for the host, so a file may hold kernels, their launches
with <<<...>>> and `main`. Headers of CUDA and of the C++ library, which only the host needs, are left out; those of
the user are put in. What the emulator does not have is refused by its name and line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cualex.errors import KernelError, UsageError

TEXTS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"][^\n]*', re.MULTILINE)
DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
MARK = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(\w+)\b(?!\()((?:\\\n|[^\n])*?\b__(?:global|device)__(?:\\\n|[^\n])*)", re.MULTILINE
)
BOUNDS = re.compile(r"__launch_bounds__\s*\(")
DYNAMIC = re.compile(r"\bextern\s+__shared__\s+([^;={}]*?\w)\s*\[\s*\]")
# Of these headers kernels use nothing, or what is there without them.
OMITTED = re.compile(
    r"(cuda|cuda_runtime|cuda_runtime_api|device_launch_parameters|device_functions|vector_types|math_constants"
    r"|helper_cuda|helper_functions|sm_\w+_intrinsics)(\.h)?|c?(stdio|stdlib|math|assert|string|time|errno)(\.h)?"
    r"|iostream|iomanip|sstream|fstream|vector|string|chrono|random|algorithm|numeric|memory|map|set|unordered_map"
    r"|functional|thread|stdexcept|sys/time\.h|unistd\.h"
)
KEPT = re.compile(r"(c?(stdint|stddef|float|limits)|type_traits|limits|utility|array|tuple|initializer_list)(\.h)?")
HALVES = {"cuda_fp16.h", "cuda_bf16.h"}
# Types and variables with these in them are the host's.
HOST_TYPES = re.compile(
    r"\bstd::(vector|w?string|(unordered_)?(map|set)|deque|list|(unique|shared)_ptr|function|[io]?f?stream|ostream|thread"
    r"|mutex|chrono|random_device|mt19937|default_random_engine|cout|cerr)\b|\bcuda\w+_t\b"
)
REFUSED = {
    r"\basm\b": "inline PTX (asm) is not emulated",
    r"\b(?:cooperative_groups|cg::\w+)": "cooperative groups are not emulated; __syncthreads and __shfl_*_sync are",
    r"\b(?:nvcuda|wmma)::": "tensor cores by wmma are not emulated",
    r"<<<": "a launch from a kernel is not emulated",
    r"\b(?:tex[123]D\w*|surf[123]D\w*|cudaTextureObject_t|cudaSurfaceObject_t)\b": "textures are not emulated",
    r"\b(?:clock|clock64|globaltimer|__nanosleep)\s*\(": "the emulator has no time of a GPU",
    r"\b__activemask\s*\(": "no program may rely on __activemask(): give the mask of lanes that take part",
    r"\bnew\b|(?<!=)(?<!= )\bdelete\b|\b(?:malloc|free)\s*\(": "memory is not allocated in kernels here: "
    "give arrays as arguments",
    r"\b(?:curand\w*|cub::\w+|thrust::\w+)": "libraries of CUDA are not emulated",
    r"\b__(?:cluster_dims|constant_cluster)__\b": "thread block clusters are not emulated",
}


@dataclass(frozen=True)
class UserKernel:
    """A kernel of a user's file: its name with namespaces, the names of its arguments, where it begins."""

    name: str
    arguments: tuple[str, ...]
    declared: tuple[str, ...]  # each argument as it is written
    template: str  # the parameters of a template, or ""
    bound: str  # of __launch_bounds__, or ""
    line: int


@dataclass
class Source:
    """A user's file with its headers, for g++: its text, its kernels, its files and their lines by name."""

    text: str
    kernels: list[UserKernel]
    files: dict[str, list[str]]
    host: dict[str, int] = field(default_factory=dict)  # functions of the host, and their lines
    marks: dict[str, str] = field(default_factory=dict)  # macros whose texts hold __global__ or __device__, and which

    def line(self, file: str, number: int) -> str:
        """Return a line of a file, "" where there is none."""
        lines = self.files.get(file, [])
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def marked(self, head: str, word: str) -> bool:
        """Return whether a function is marked with __global__ or __device__, itself or by a macro."""
        return any(each == word or self.marks.get(each) == word for each in re.findall(r"\w+", head))

    def kernel(self, name: str | None) -> UserKernel:
        """Return the kernel of that name, `sum` or `sum<float, 128>`, or the only one."""
        listed = ", ".join(each.name for each in self.kernels)
        if not self.kernels:
            raise KernelError("there is no kernel here: a function marked __global__ void is one.")
        if name is None and len(self.kernels) > 1:
            raise UsageError(f"there are {len(self.kernels)} kernels: choose one with --kernel: {listed}.")
        plain = self.kernels[0].name if name is None else name.partition("<")[0].strip()
        found = [each for each in self.kernels if plain in (each.name, each.name.rpartition("::")[2])]
        if not found:
            raise UsageError(f"there is no kernel {plain!r}; there are {listed}.")
        if found[0].template and "<" not in (name or ""):
            raise UsageError(
                f"{found[0].name} is a template of <{found[0].template}>: say which is meant, "
                f"as in --kernel '{found[0].name}<...>'."
            )
        return found[0]


def read(name: str, text: str, folder: Path) -> Source:
    """Read a user's text; headers with a name in quotes are looked for in its folder."""
    source = Source("", [], {})
    source.text = _file(source, name, text, folder, ())
    return source


def _file(source: Source, name: str, text: str, folder: Path, around: tuple[Path, ...]) -> str:
    """Return the text of a file with its headers; `around` are the headers that it is in."""
    source.files[name] = text.split("\n")
    plain = TEXTS.sub(_without_comment, text)
    _note_marks(source, plain, folder)
    code = DIRECTIVE.sub(_blank, TEXTS.sub(_blank, text))  # the same without strings, macros and headers
    for start, end in _host_parts(source, code, name):
        plain = plain[:start] + _blanked(plain[start:end]) + plain[end:]
        code = code[:start] + _blanked(code[start:end]) + code[end:]
    for pattern, why in REFUSED.items():
        if found := re.search(pattern, code):
            raise KernelError(f"{name}:{_line(code, found.start())}: {why}.")
    plain = re.sub(r"\bstatic\s+__shared__", "__shared__", plain)
    plain = DYNAMIC.sub(r'extern \1[] __asm__("cualex_dynamic") __attribute__((visibility("protected")))', plain)
    parts, end = [f'#line 1 "{name}"\n'], 0
    for include in INCLUDE.finditer(plain):
        line = _line(plain, include.start())
        parts += [plain[end : include.start()], _included(source, include, f"{name}:{line}", folder, around)]
        parts.append(f'\n#line {line} "{name}"\n')
        end = include.end()
    return "".join([*parts, plain[end:]])


def _note_marks(source: Source, plain: str, folder: Path, seen: frozenset[Path] = frozenset()) -> None:
    """Note macros such as `#define HD __host__ __device__`, of a text and of the headers in quotes that it has."""
    for found in MARK.finditer(plain):
        source.marks[found.group(1)] = "__global__" if "__global__" in found.group(2) else "__device__"
    for include in INCLUDE.finditer(plain):
        path = (folder / include.group(2)).resolve()
        if include.group(1) == '"' and path not in seen and path.is_file():
            text = TEXTS.sub(_without_comment, path.read_text(encoding="utf-8", errors="replace"))
            _note_marks(source, text, path.parent, seen | {path})


def _included(source: Source, include: re.Match, place: str, folder: Path, around: tuple[Path, ...]) -> str:
    """Return what stands in the place of an #include; a header that includes itself is taken to guard against that."""
    header = include.group(2)
    if header in HALVES:
        return '#include "half.h"'
    if include.group(1) == '"' and (path := (folder / header).resolve()).is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
        if path in around or (path.name in source.files and "#pragma once" in text):
            return ""
        return _file(source, path.name, text.replace("#pragma once", ""), path.parent, (*around, path))
    if OMITTED.fullmatch(header):
        return ""
    if KEPT.fullmatch(header):
        return include.group().strip()
    raise KernelError(f"{place}: the emulator has no header {header}.")


def _host_parts(source: Source, code: str, file: str) -> Iterator[tuple[int, int]]:
    """List the functions of the host, as start and end; note those and the kernels."""
    spaces: list[str] = []  # of names, and of extern "C", that are open
    start = at = 0
    while found := re.compile(r"[{};]").search(code, at):
        head, at = code[start : found.end() - 1], found.end()
        word = re.search(r"\b(namespace|extern)\b\s*([\w:]*)\s*$", head)
        if found.group() == "{" and word:  # in plain text "C" is left out of extern "C"
            spaces.append(word.group(2))
        elif found.group() == "}" and spaces:
            spaces.pop()
        elif found.group() == "{":
            at = _end(code, found.start(), "{}")
            if code[at - 1] != "}":
                raise KernelError(f"{file}:{_line(code, found.start())}: the brace that opens here is not closed.")
            if "(" in head and not re.search(r"\b(struct|class|union|enum)\b|=\s*$", re.sub(r"<[^{}]*?>", "", head)):
                lead = len(head) - len(head.lstrip())
                if source.marked(head, "__global__"):
                    source.kernels.append(_kernel(head, spaces, _line(code, start + lead)))
                elif not (
                    source.marked(head, "__device__") or re.search(r"\b(constexpr|__forceinline__|operator)\b", head)
                ):
                    if name := re.search(r"(\w+)\s*\(", head):
                        source.host[name.group(1)] = _line(code, start + name.start())
                    yield start + lead, at
            else:  # a struct, or values of a variable, which end with ;
                continue
        elif HOST_TYPES.search(head):
            named = re.search(r"\b(?:struct|class|union)\s+(\w+)", head)
            if named:
                source.host[named.group(1)] = _line(code, start + named.start())
            yield start + len(head) - len(head.lstrip()), at
        start = at


def _kernel(head: str, spaces: list[str], line: int) -> UserKernel:
    """Read a kernel out of what stands before its body."""
    bound = ""
    while found := BOUNDS.search(head):
        end = _end(head, found.end() - 1, "()")
        bound = _split(head[found.end() : end - 1])[0]
        head = head[: found.start()] + head[end:]
    template = re.match(r"\s*template\s*<(.*?)>\s*(?=\w|__)", head, re.DOTALL)
    head = head[template.end() :] if template else head
    opening = head.index("(")
    name = re.findall(r"\w+", head[:opening])[-1]
    declared = _split(head[opening + 1 : _end(head, opening, "()") - 1])
    names = [re.findall(r"\w+", each.partition("=")[0].partition("[")[0] or "?")[-1] for each in declared]
    whole = "::".join([*(space for space in spaces if space), name])
    bound = "" if template else bound
    return UserKernel(whole, tuple(names), tuple(declared), template.group(1) if template else "", bound, line)


def _split(text: str) -> list[str]:
    """Split a list at its commas outside of any brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "(<[{") - (letter in ")>]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [" ".join(part.split()) for part in parts if part.strip()]


def _end(code: str, opening: int, pair: str) -> int:
    """Return the position behind the bracket that closes the one at `opening`."""
    depth = 0
    for found in re.finditer(f"[{re.escape(pair)}]", code[opening:]):
        depth += 1 if found.group() == pair[0] else -1
        if not depth:
            return opening + found.end()
    return len(code)


def _without_comment(found: re.Match) -> str:
    return found.group() if found.group()[0] in "\"'" else _blank(found)


def _blank(found: re.Match) -> str:
    return _blanked(found.group())


def _blanked(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
