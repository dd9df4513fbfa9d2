"""See that an installed cualex is whole. Run it away from the checkout: `python smoke.py`, with no test library."""

import importlib
import json
import pkgutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

COMMAND = Path(sysconfig.get_path("scripts")) / "cualex"


def run(*arguments):
    """Run the command as a user would, and return what it wrote to stdout."""
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"cualex {' '.join(arguments)} ended with {done.returncode}: {done.stderr}"
    return done.stdout


def train_and_predict(place):
    """Train the small network on two colours for a moment, and return what it names a green picture."""
    from PIL import Image

    for colour in ("red", "green"):
        (place / "pictures" / colour).mkdir(parents=True)
        for number in range(20):
            picture = Image.new("RGB", (32, 32), colour).rotate(number)
            picture.save(place / "pictures" / colour / f"{number}.png")
    options = ["--network", "cifar-relu", "--epochs", "6", "-b", "8", "--cache", place / "cache"]
    best = json.loads(run("train", place / "pictures", "--output", place / "runs", *options, "--json"))
    picture = place / "pictures" / "green" / "3.png"
    (answer,) = json.loads(run("predict", picture, "-w", best["weights"], "--json"))["results"]
    return answer["predictions"][0]["class"]


def main():
    import cualex

    home = Path(cualex.__file__).parent
    assert home.is_relative_to(sysconfig.get_path("purelib")), f"this is not the installed cualex: {home}"
    assert (home / "py.typed").exists(), "py.typed is missing"

    from cualex import lessons

    modules = [module.name for module in pkgutil.walk_packages([str(home)], "cualex.")]
    scripts = {f"cualex.lessons.{name.replace('-', '_')}" for name in lessons.names()}  # which run when imported
    for name in sorted({*modules} - scripts):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "starlette", "uvicorn"):  # of PyTorch's side, and of the extra page
                raise
    commands = [name.removeprefix("cualex.cli.") for name in modules if name.startswith("cualex.cli.")]
    commands = [name for name in commands if not name.startswith("_")]

    assert run("--version").strip() == f"cualex, version {cualex.__version__}"
    listed = run("--help")
    for name in commands:
        assert name in listed, f"{name} is not in the list of commands"
        assert "Usage: cualex " in run(name, "--help")
    totals = json.loads(run("summary", "alexnet", "--json"))["totals"]
    assert totals["parameters"] == 60_965_224, totals
    assert json.loads(run("doctor", "--json"))["problems"] == 0

    from cualex.data.sources import imagenet_classes

    assert len(imagenet_classes.classes()) == 1000

    with tempfile.TemporaryDirectory() as place:
        named = train_and_predict(Path(place))
    assert named == "green", named

    print(f"smoke: {len(modules)} modules, {len(commands)} commands, {sys.executable}")


if __name__ == "__main__":
    main()
