"""Compare probabilities of one image: cualex's with those of the program that a file is from or for, if installed."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cualex.data import images
from cualex.errors import UsageError, WeightsError
from cualex.formats import load, match, names, plain_weights, recognise
from cualex.formats.conventions import NETWORK
from cualex.formats.onnx.graph import INPUT
from cualex.formats.reading.contents import Contents
from cualex.model import Model
from cualex.weights import Weights

TOLERANCE = 1e-4  # of probabilities: far above the effect of summation order, far below a mistake


def exported(files: list[Path], to: str, weights: Weights, image: str | Path) -> str:
    """Run an image through a network and through the files that it was exported to; return both results as lines.

    Raise WeightsError when they differ, ImageError when the image cannot be read.
    """
    stored, model, ours = _ours(weights, image)
    if to == "torch":
        again, _ = load.load(files[0])
        line = _compared(model, ours, Model(again).probabilities(stored)[0], "by the file, read again", image)
        return f"{line}\n{_by('torch', _pytorch, files[0], _seen(stored, weights, 'scaled'), model, ours, image)}"
    if to == "onnx":
        return _by("onnxruntime", _onnxruntime, files[0], _seen(stored, weights, "as it is"), model, ours, image)
    return _by("cv2", _opencv, files, _seen(stored, weights, "less the mean")[:, ::-1], model, ours, image)


def imported(path: str | Path, weights: Weights, image: str | Path) -> str:
    """Run an image through an imported network and, for ONNX, through the file; other files have no graph."""
    stored, model, ours = _ours(weights, image)
    named, probability = model.best(ours, 1)[0]
    alone = f"{image}: {named} {probability:.4f}"
    with Contents(path) as contents:
        file = recognise.read(contents, path)
        convention, *_ = names.recognised(file, weights.network.name)
    if file.format != "onnx":
        return f"{alone}; the file holds weights and no program, so that there is nothing to compare with"
    if convention.resized:
        return f"{alone}; the file's own graph is of another geometry, so that it is not compared"
    raw = NETWORK in file.notes
    given = _seen(stored, weights, "as it is" if raw else "scaled")
    given = given[:, ::-1] if convention.colours == "BGR" and not raw else given
    return _by("onnxruntime", _onnxruntime, Path(path), given, model, ours, image)


def _ours(weights: Weights, image: str | Path) -> tuple[np.ndarray, Model, np.ndarray]:
    """Return the decoded image (1, stored, stored, 3), the model, and its probabilities."""
    stored, model = images.load(image, weights.network.stored)[None], Model(weights)
    return stored, model, model.probabilities(stored)[0]


def _seen(stored: np.ndarray, weights: Weights, how: str) -> np.ndarray:
    """Return the centre crop (1, 3, crop, crop), RGB: as it is, minus the mean, or also scaled."""
    network = weights.network
    given = stored.astype(np.float32)
    if how != "as it is":
        given = given - weights.mean
    if how == "scaled":
        given = given * np.asarray(network.scale, np.float32)
    return np.ascontiguousarray(given[:, network.centre, network.centre].transpose(0, 3, 1, 2))


def _by(
    module: str,
    run: Callable[[Any, Any, np.ndarray], np.ndarray],
    file: Path | list[Path],
    given: np.ndarray,
    model: Model,
    ours: np.ndarray,
    image: str | Path,
) -> str:
    """Run an image through another program and compare, or return that it is not installed."""
    try:
        program = importlib.import_module(module)
        theirs = run(program, file, np.ascontiguousarray(given))
    except (ImportError, AttributeError) as error:
        return f"{image}: not compared, for this needs {module} ({error}): pip install {PACKAGES[module]}"
    except NotCompared as error:
        return f"{image}: not compared with {module}: {error}"
    return _compared(model, ours, theirs, f"by {module} {program.__version__}", image)


PACKAGES = {"onnxruntime": "onnxruntime", "cv2": '"opencv-python-headless<5"', "torch": "torch"}


class NotCompared(Exception):
    """Why the other program cannot run a network."""


def _onnxruntime(onnxruntime: Any, path: Path, given: np.ndarray) -> np.ndarray:
    """Return the probabilities of ONNX Runtime, a package that has no types."""
    session = onnxruntime.InferenceSession(str(path))
    name = next((each.name for each in session.get_inputs() if each.name == INPUT), session.get_inputs()[0].name)
    (made, *_) = session.run(None, {name: given})
    return _probabilities(made)


def _opencv(cv2: Any, files: list[Path], given: np.ndarray) -> np.ndarray:
    """Return the probabilities of OpenCV, of which no types are installed, for a caffemodel and its prototxt.

    OpenCV knows the older name of a pool that rounds down: ceil_mode for round_mode.
    """
    prototxt = files[1].read_text(encoding="utf-8").replace("round_mode: FLOOR", "ceil_mode: false")
    try:
        texts = (np.frombuffer(each, np.uint8) for each in (prototxt.encode(), files[0].read_bytes()))
        network = cv2.dnn.readNetFromCaffe(*texts)
        network.setInput(given)
        return _probabilities(network.forward())
    except cv2.error as error:
        raise NotCompared(" ".join(str(error).split())[:200]) from None


def _pytorch(torch: Any, path: Path, given: np.ndarray) -> np.ndarray:
    """Return the probabilities of PyTorch's modules with the tensors of a file that was exported for it."""
    modules = importlib.import_module("cualex.benchmark.torch_modules")
    with Contents(path) as contents:
        file = recognise.read(contents, path)
        made = match.plan(file)
        network = plain_weights.inverted(made.source)
        tensors = {name: file.tensors[theirs].read() for name, theirs in made.convention.names.items()}
    try:
        return _probabilities(modules.scores(network, tensors, given))
    except UsageError as error:
        raise NotCompared(str(error)) from None


def _probabilities(made: np.ndarray) -> np.ndarray:
    """Return probabilities as they are; of scores, which PyTorch's exports give, the softmax."""
    scores = made.reshape(-1).astype(np.float64)
    if scores.min() >= 0 and abs(scores.sum() - 1) < 1e-3:
        return scores
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _compared(model: Model, ours: np.ndarray, theirs: np.ndarray, by: str, image: str | Path) -> str:
    """Return a line with both top classes, or raise WeightsError when the probabilities differ."""
    best, other = (model.best(each, 1)[0] for each in (ours, theirs))
    apart = float(np.abs(ours - theirs).max())
    text = f"{image}: {best[0]} {best[1]:.4f} here, {other[0]} {other[1]:.4f} {by}; largest difference {apart:.1e}"
    if not apart <= TOLERANCE:
        raise WeightsError(f"{text}, expected at most {TOLERANCE:g}. Do not use the file.")
    return text
