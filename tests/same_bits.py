"""Print the SHA-256 of what small trainings come to, a line each: equal before and after a change that moves no bit.

    python -m tests.same_bits >before.txt               # five minutes on two cores; on the old commit
    python -m tests.same_bits >after.txt                # on the new one, on the same machine
    diff before.txt after.txt
    python -m tests.same_bits alexnet emulator          # some of the parts alone

    demo        `cualex train demo --epochs 1`, the first of the eight epochs that a user gets; --whole: all eight
    alexnet     20 updates of alexnet at 227 pixels, batch 4, on the CPU
    emulator    5 updates of a two-tower alexnet of a sixteenth of the width at 67 pixels, in each precision, by the
                kernels in the emulator (g++)
    cudart      the same by the real CuPy on tests/cudart (`pip install -e ".[gpu-test]"`); equal to the emulator's

Lines that begin with # are conditions: where they differ the bits may. The digest is over the names and the bits of all
tensors of best.safetensors, the mean image among them.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

# All that is used of cualex beside `python -m cualex`, for the emulator: the command, and the module in which
# CupyRuntime is the runtime of GPUs.
from cualex.cli import main as command
from cualex.devices import placement
from tests import ROOT
from tests.emulator import EmulatedRuntime
from tests.golden import conditions, documents

SMALL = "--network alexnet --variant width=0.0625 --crop 67 -b 4 --epochs 1 --device cuda:0"
PARTS = ("demo", "alexnet", "emulator", "cudart")
PRECISIONS = ("fp32", "tf32", "bf16")


def main(words: list[str]) -> None:
    """Run the parts that are named, or all."""
    whole = "--whole" in words
    parts = [word for word in words if word != "--whole"] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"{', '.join(sorted(unknown))}: expected {', '.join(PARTS)} or --whole\n\n{__doc__}")
    for name, value in conditions.bits().items():
        print(f"# {name}: {value if isinstance(value, str) else ' '.join(value)}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        os.environ |= {"CUALEX_CACHE": str(work / "cache")}
        for name in ("CUALEX_DEVICE", "CUALEX_DEBUG"):
            os.environ.pop(name, None)
        if "demo" in parts:
            train(work, "demo, 8 epochs" if whole else "demo, 1 epoch", "demo" + " --epochs 1" * (not whole))
        if "alexnet" in parts:
            draw_images(work / "large", side=256, count=80)
            recipe = "large --scratch --recipe paper --network alexnet --lr 0.001 --device cpu -b 4 --epochs 1"
            train(work, "alexnet at 227, cpu, 20 updates", recipe)
        draw_images(work / "small", side=76, count=20)
        for part in ("emulator", "cudart"):
            for precision in PRECISIONS if part in parts else ():
                words = f"small --scratch --recipe paper {SMALL} --precision {precision}"
                train(work, f"alexnet at 67, {part}, {precision}, 5 updates", words, part)


def draw_images(folder: Path, side: int, count: int) -> None:
    """Draw noise, half of it darker, of two classes; four more validate."""
    rng = np.random.default_rng(2012)
    for split, number in (("train", count), ("val", 4)):
        for i in range(number):
            place = folder / split / ("dark" if i % 2 else "light")
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 128 if i % 2 else 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{i}.bmp")


def train(work: Path, name: str, words: str, part: str = "") -> None:
    """Train in a child, and print the digest of what it came to."""
    program = {
        "": ["-m", "cualex"],
        "emulator": ["-m", "tests.same_bits", "--emulated"],
        "cudart": [str(ROOT / "tests/cudart"), sys.executable, "-m", "cualex"],
    }[part]
    run = name.replace(", ", "-").replace(" ", "-")
    all_words = [sys.executable, *program, "train", *words.split(), "--name", run]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(all_words, cwd=work, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}\n{done.stderr}")
    print(f"{documents.digest(work / 'runs' / run / 'best.safetensors')}  {name}", flush=True)


def emulated(words: list[str]) -> None:
    """Run cualex where the GPUs are emulated."""
    placement.CupyRuntime = EmulatedRuntime
    command(words, prog_name="cualex")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--emulated"]:
        emulated(sys.argv[2:])
    else:
        main(sys.argv[1:])
