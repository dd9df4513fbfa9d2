"""Each part of the package may import only parts on lines above its own in `ORDER`; some libraries have fences."""

import ast

import pytest

from tests import ROOT

HOMES = {"cualex": "cualex", "kernels": "cualex.kernels", "cli": "cualex.cli"}
ORDER = [  # parts on one line do not import one another
    "errors pretrained",
    "system random",
    "kernels data features",
    "devices emulator ranks",
    "engine",
    "layers doctor",
    "networks",
    "weights",
    "plan",
    "views explain",
    "model benchmark kernel_model",
    "evaluation formats profiling",
    "training",
    "plots pretrained.__main__",
    "page",
    "experiments trainer lessons",
    "cli",
    "__main__",
]
PLACES = {f"cualex.{part}": place for place, line in enumerate(ORDER) for part in line.split()}
FENCES = {
    "click": ["cualex.cli"],
    "rich": ["cualex.cli"],
    "PIL": [
        "cualex.data.images",
        "cualex.data.framing",
        "cualex.data.to_rgb",
        "cualex.data.sources.demo",
        "cualex.data.sources.demo_shapes",
        "cualex.plots",
    ],
    "starlette": ["cualex.page"],
    "uvicorn": ["cualex.page"],
    "cupy": ["cualex.kernels", "cualex.devices.cupy_runtime"],
    "mpi4py": ["cualex.ranks.mpi"],
    "tensorboard": ["cualex.training.run.event_files"],
    "torch": ["cualex.benchmark.torch_side", "cualex.benchmark.torch_modules"],
}


def modules():
    """List every file of the package with the name that it is imported by."""
    found = {}
    for folder, home in HOMES.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([home, *(part for part in parts if part != "__init__")])] = file
    return found


MODULES = modules()


def imports(tree):
    """List what a tree imports: every name that may be a module, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: say the whole name, no leading dots"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES else node.module), node.lineno


def imported(tree):
    """List what is imported as soon as the file is: not what waits inside a function or is for type checkers."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waits = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        if not isinstance(node, waits):
            yield from imports(node)


def inside(name, parts):
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def part_of(name):
    """Return the part of the order that a module belongs to, the narrowest; None for what is in none."""
    return max((part for part in PLACES if inside(name, [part])), key=len, default=None)


def may_import(name, target):
    """Return whether a module may import another: of its own part, or of a part further up."""
    own, other = part_of(name), part_of(target)
    return name == "cualex" or own == other or other is None or PLACES[other] < PLACES[own]


def faults(name, source):
    """List what is wrong with the imports of a module."""
    tree = ast.parse(source)
    for target, line in imports(tree):
        top = target.partition(".")[0]
        if top in {"kernels", "cli"}:
            yield f"{name}, line {line}: import cualex.{target}, or there will be two of them"
        elif target.startswith("cualex.") and not may_import(name, target):
            yield f"{name}, line {line}: may not import {target}, which is built on it or stands beside it"
        elif top in FENCES and not inside(name, FENCES[top]):
            yield f"{name}, line {line}: {top} stays in {', '.join(FENCES[top])}"
    for target, line in imported(tree):
        top = target.partition(".")[0]
        if top == "matplotlib":
            yield f"{name}, line {line}: import matplotlib inside the function that draws"
        if inside(name, ["cualex.cli"]) and (
            top in {"numpy", "rich"} or (top == "cualex" and not inside(target, LIGHT) and target != "cualex")
        ):
            yield f"{name}, line {line}: import {target} inside the function, so that --help stays fast"
        if name == "cualex" and top in {"cualex", "numpy"}:
            yield f"{name}, line {line}: names of {target} are given when asked for"


LIGHT = [
    *("cualex.cli", "cualex.errors", "cualex.ranks", "cualex.system.amounts", "cualex.system.files"),
    "cualex.training.options",
]


def test_imports_point_one_way():
    assert [fault for name, file in MODULES.items() for fault in faults(name, file.read_text())] == []


def test_every_module_has_its_place_in_the_order():
    """A module in no part of ORDER: put it where what it imports is above it."""
    assert [name for name in MODULES if name != "cualex" and not part_of(name)] == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cualex.layers.conv", "from cualex import plan"),
        ("cualex.layers.conv", "def f():\n    from cualex.cli import _output"),
        ("cualex.layers.conv", "import cli.summary"),
        ("cualex.features", "from cualex.data import images"),
        ("cualex.pretrained", "import cualex.pretrained.__main__"),
        ("cualex.networks.alexnet", "from kernels import launch"),
        ("cualex.training.loop", "import rich.progress"),
        ("cualex.training.loop", "from matplotlib import pyplot"),
        ("cualex.data.batches", "from PIL import Image"),
        ("cualex.model", "try:\n    import cupy\nexcept ImportError:\n    pass"),
        ("cualex.plan", "import torch"),
        ("cualex.cli.explore", "def f():\n    import uvicorn"),
        ("cualex.model", "from starlette.routing import Route"),
        ("cualex.cli.train", "import numpy"),
        ("cualex.cli.train", "from cualex.model import Model"),
        ("cualex", "from cualex.model import Model"),
    ],
)
def test_a_planted_fault_is_seen(name, source):
    assert len(list(faults(name, source))) == 1


def test_a_leading_dot_is_refused():
    with pytest.raises(AssertionError, match="no leading dots"):
        list(imports(ast.parse("from . import errors")))


def test_no_test_imports_another_test_module():
    """What tests share is in tests/support."""
    found = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            names = [name, *(f"{name}.{alias.name}" for alias in node.names)] if name else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            last = {part.rpartition(".")[2] for part in names if part.startswith("tests.")}
            if any(part.startswith("test_") and part != file.stem for part in last):
                found.append(f"{file.relative_to(ROOT)}: {', '.join(names)}")
    assert found == []
