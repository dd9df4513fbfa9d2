"""Make the files of tests/golden/v0.1 again from nothing: what cualex 0.1, commit 302536c, leaves and prints.

    git worktree add --detach ../cualex-0.1 302536c
    python3 -m venv ../venv-0.1 && ../venv-0.1/bin/pip install -e ../cualex-0.1
    ../venv-0.1/bin/python tests/golden/v0.1/make.py            # about a minute

The numbers of two makings on one type of machine are equal; times differ. conditions.json says on which type the stored
ones were made, outputs/ has the document and the tables of every command. Paths of the machine become /golden.

    make.py stop UPDATES WORDS...      cualex WORDS, with a Ctrl-C at that update (used by this program)
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))
from tests.golden import conditions, documents  # noqa: E402

CLASSES = ("lamp", "mug", "ring")
RUNS = {  # what each training is asked, and the update it is stopped at
    "alexnet": (
        8,
        "images --network alexnet --variant width=0.03125 --variant initial=glorot --crop 67 -b 6 --epochs 6 "
        "--lr 0.005 --bias-lr 0.01 --head-lr 2 --watch --seed 7",
    ),
    "lenet5": (
        7,
        "images --network lenet5 --variant width=0.25 -b 6 --epochs 5 --optimizer adam --accumulate 2 "
        "--schedule cosine --lr 0.005",
    ),
}
ALEXNET, LENET5 = (f"-w whole/{name}/best.safetensors --json" for name in RUNS)
SMALL = "--variant width=0.03125 --crop 67"
VALUES = {  # documents that are the same on every machine
    "predict": f"predict images -r --top 3 {ALEXNET}",
    "predict-lenet5": f"predict images -r {LENET5}",
    "features-csv": f"features images -r -o fc4.csv --layer fc4 {LENET5}",
    "features-npy": f"features images -r -o pool2.npy --layer pool2 {ALEXNET}",
    "evaluate": f"evaluate --output judged {ALEXNET}",
    "evaluate-two": f"evaluate divided --split val --crops 10 -w whole/alexnet/last.safetensors {ALEXNET}",
    "check": "check divided --crop 67 --json",
    "pack": "pack divided --crop 67 --json",
    "summary": f"summary alexnet {SMALL} --json",
    "summary-memory": f"summary alexnet {SMALL} --memory -b 2 --json",
    "summary-against": "summary alexnet --against alexnet-2012 --json",
    "show-activations": "show activations --json",
    "experiment-list": "experiment --list --json",
    "export-onnx": "export --to onnx -o network.onnx -w whole/alexnet/best.safetensors --json",
    "export-torch": f"export --to torch -o network.torch {LENET5}",
    "export-caffe": "export --to caffe -o network.caffemodel -w whole/alexnet/best.safetensors --json",
    "import-onnx": "import exported/network.onnx -o onnx.safetensors --json",
    "import-torch": "import exported/network.torch -o torch.safetensors --json",
    "import-caffe": "import exported/network.caffemodel --crop 67 --mean exported/network.binaryproto "
    "--classes names.txt -o caffe.safetensors --json",
    # Later versions choose what is not given by the number of images.
    "train": "train divided --network lenet5 --variant width=0.25 -b 6 --epochs 2 --lr 0.01 --schedule steps "
    "--drop-epochs 2 --colour-noise 0 --name new --json",
}
TYPES = {  # documents of times and of this machine
    "doctor": "doctor --json",
    "profile": "profile lenet5 -b 2 --repeat 1 --json",
    "profile-data": "profile whole/alexnet --data divided -b 2 --repeat 1 --json",
    "benchmark": "benchmark --network lenet5 -b 2 --rounds 1 --json",
    "train-overfit": "train divided --network lenet5 --variant width=0.25 --overfit 4 --json",
    "train-check-gradients": "train divided --network lenet5 --variant width=0.25 --check-gradients --json",
    "experiment": "experiment non-overlapping-pooling --data divided --pictures 6 --epochs 1 --seeds 1 -y --json",
}
TABLES = {  # files that a command leaves besides
    "features-csv": ["fc4.csv"],
    "evaluate": ["judged/per_class.csv", "judged/confusion.csv", "judged/predictions.csv"],
    "train": ["runs/new/results.csv"],
}
TENSORS = {  # files whose tensors are the same, and those whose bytes are; kept as digests
    "import-onnx": ["onnx.safetensors"],
    "import-torch": ["torch.safetensors"],
    "import-caffe": ["caffe.safetensors"],
    "export-torch": ["network.torch"],
}
BYTES = {"export-caffe": ["network.caffemodel", "network.prototxt", "network.binaryproto"]}


def main() -> None:
    """Make everything in a temporary directory, then put it here."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place).resolve()
        os.environ |= {"CUALEX_CACHE": str(work / "cache"), "OMP_NUM_THREADS": "1"}
        for name in ("CUALEX_DEVICE", "CUALEX_DEBUG"):
            os.environ.pop(name, None)
        draw_images(work)
        documents.divide(work)
        for name, (updates, words) in RUNS.items():
            train(work, name, updates, words)
        export(work)
        (work / "outputs").mkdir()
        for name, words in VALUES.items():
            record(work, name, words, lambda document: document)
        for name, words in TYPES.items():
            record(work, name, words, documents.outline)
        record_options(work)
        put(work)


def cualex(work: Path, words: str) -> tuple[int, str]:
    """Run the command and return its exit code, which is 3 where it met the damaged image, and its stdout."""
    program = "from cualex.cli import main; main(prog_name='cualex')"
    done = subprocess.run([sys.executable, "-c", program, *words.split()], cwd=work, capture_output=True, text=True)
    assert done.returncode in (0, 3), f"cualex {words}: {done.returncode}\n{done.stderr}"
    return done.returncode, done.stdout


def draw_images(work: Path) -> None:
    """Draw 24 images: a disc of its class's colour on a ramp; PNG of the stored size, larger PNG, JPEG; one is cut."""
    rng = np.random.default_rng(2012)
    for label, name in enumerate(CLASSES):
        folder = work / "images" / name
        folder.mkdir(parents=True)
        for number in range(8):
            height, width = (76, 76) if number < 5 else (90, 80)
            y, x = np.mgrid[:height, :width]
            ground = rng.integers(0, 120, 3) + ((x + y) / (height + width) * 60)[..., None] * rng.random(3)
            disc = (y - height / 2) ** 2 + (x - rng.integers(25, 50)) ** 2 < rng.integers(10, 30) ** 2
            ground[disc] += 110 * np.eye(3)[label]
            blocks = rng.integers(0, 12, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)
            image = Image.fromarray(np.clip(ground + blocks[:height, :width], 0, 255).astype(np.uint8))
            if number < 6:
                image.save(folder / f"{number}.png", optimize=True)
            else:
                image.save(folder / f"{number}.jpg", quality=80)
    whole = (work / "images/lamp/0.png").read_bytes()
    (work / "images/lamp/cut.png").write_bytes(whole[:200])
    documents.date(work / "images")


def train(work: Path, name: str, updates: int, words: str) -> None:
    """Train once to the end, and once with a stop; see that 0.1 resumes that one to the bits of the first."""
    cualex(work, f"train {words} --output whole --name {name} --json")
    stop = [sys.executable, __file__, "stop", str(updates), "train", *words.split()]
    done = subprocess.run([*stop, "--output", "stopped", "--name", name], cwd=work, capture_output=True)
    assert done.returncode == 130, done.stderr.decode()
    shutil.copytree(work / "stopped" / name, work / "resumed" / name)
    cualex(work, f"train --resume resumed/{name}")
    ends = [documents.left(work / place / name) for place in ("whole", "resumed")]
    assert ends[0] == ends[1], f"{name}: 0.1 does not resume to the same bits"


def stop(updates: int, words: list[str]) -> None:
    """Run cualex, with a Ctrl-C when that update has been shown."""
    from cualex.cli import _training
    from cualex.cli import main as command
    from cualex.training.records import Update

    show = _training.show

    def stopping(records, *rest):
        def counted():
            for record in records:
                if isinstance(record, Update) and record.update == updates:
                    signal.raise_signal(signal.SIGINT)
                yield record

        show(counted(), *rest)

    _training.show = stopping
    command(words, prog_name="cualex")


def export(work: Path) -> None:
    """Export the networks, and for Caffe, whose own network alone comes back, one with initial weights."""
    from cualex import networks, weights

    network = networks.build("alexnet-caffe", classes=3, crop=67, width=0.03125)
    mean = network.mean_picture(np.full((network.stored, network.stored, 3), 100.0))
    kept = weights.Weights(network, weights.initial(network, 7), list(CLASSES), mean)
    weights.save(work / "caffe.safetensors", kept)
    (work / "names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (work / "exported").mkdir()
    for to, name, file in (
        ("onnx", "onnx", "whole/alexnet/best"),
        ("torch", "torch", "whole/lenet5/best"),
        ("caffe", "caffemodel", "caffe"),
    ):
        cualex(work, f"export --to {to} -o exported/network.{name} -w {file}.safetensors")


def record(work: Path, name: str, words: str, form) -> None:
    """Keep a command's words, exit code, document and tables."""
    code, document = cualex(work, words)
    kept = {"words": words.split(), "exit_code": code, "document": form(json.loads(document))}
    kept["tables"] = {file: (work / file).read_text() for file in TABLES.get(name, ())}
    kept["tensors"] = {file: documents.digest(work / file) for file in TENSORS.get(name, ())}
    kept["bytes"] = {file: documents.sha256(work / file) for file in BYTES.get(name, ())}
    if name == "features-npy":
        shutil.copy(work / "pool2.npy", work / "outputs")
    (work / "outputs" / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def record_options(work: Path) -> None:
    """Keep each command's options and arguments: their names, which those of the environment come from, and flags."""
    from cualex.cli import main as command

    (work / "options.json").write_text(json.dumps(documents.options(command), indent=1) + "\n")


def put(work: Path) -> None:
    """Put the files here, without what names the machine."""
    (work / "packs").mkdir()
    for pack in sorted((work / "cache/packs").glob("images-*-*-*")):
        if pack.is_dir():
            shutil.copytree(pack, work / "packs" / pack.name.rpartition("-")[0])
    for name in ("images", "packs", "whole", "stopped", "exported", "outputs"):
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(work / name, HERE / name, ignore=shutil.ignore_patterns("run.lock", "curves.png"))
    for name in ("names.txt", "options.json"):
        shutil.copy(work / name, HERE)
    for file in HERE.rglob("*"):
        if file.suffix in (".json", ".jsonl", ".csv", ".txt"):
            file.write_text(file.read_text().replace(str(work), documents.PLACE))
    said = {"bits": conditions.bits(), "pixels": conditions.pixels()}
    (HERE / "conditions.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["stop"]:
        stop(int(sys.argv[2]), sys.argv[3:])
    else:
        main()
