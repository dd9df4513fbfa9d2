"""Resume a run: check its data set, recipe and machine, and restore the schedule."""

import hashlib
import json
import shlex
from dataclasses import fields
from typing import Any

import numpy as np

from cualex.data.split import Split
from cualex.devices.cuda import CudaDevice
from cualex.errors import DataError, DeviceError, UsageError
from cualex.kernels.binaries import compiler_version
from cualex.networks import arguments
from cualex.system import environment, files
from cualex.training.recipes import Recipe
from cualex.training.run import Run
from cualex.training.schedules import Schedule
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

FIXED = ("network", "variant", "crop", "seed")  # fields of a recipe that cannot change when a run resumes


def open_run(
    run: Run, recipe: Recipe, pack: Split, validation: Split, description: dict[str, Any] | None
) -> Weights | None:
    """Write the files of a run before the first update; return the checkpoint of a run that is resumed.

    Raise DataError or UsageError when the data set or the recipe is another run's.
    """
    digests = describe_images(pack, validation)
    before: dict[str, Any] = {}
    files.sweep(run.path)  # also in a new run: it may have been killed before
    if run.begun:
        before = run.arguments()
        check(run, recipe)
        check_images(before.get("pictures"), digests)
        run.go_on()
    kept = run.checkpoint()
    arguments = {
        **(before if description is None else description),
        "recipe": recipe.described(),
        "pictures": digests,
    }
    # Those that are gone by now divided the set: the next to resume needs their names.
    skipped = {**dict(run.skipped()), **dict((*pack.skipped, *validation.skipped))}.items()
    run.describe(arguments, environment.describe(), pack.classes, skipped)
    return kept


def describe_machine(parameters: Parameters) -> dict[str, Any]:
    """Return processor or GPU, libraries and precision, on which the bits of a training depend, as plain values."""
    known, devices = environment.describe(), parameters.devices
    machine = {name: known[name] for name in ("cualex", "system", "processor", "numpy")}
    machine |= {"blas": sorted(known["blas"]), "engine": devices[0].engine, "precision": devices[0].precision}
    machine["device"] = sorted({device.title for device in devices})
    if parameters.placement.cuda:
        machine["nvrtc"] = _compiler()
        fallbacks = [each.fallbacks for each in devices if isinstance(each, CudaDevice)]
        for name, gemms in (
            ("gemms_without_tensor_cores", [each.used for each in fallbacks]),
            ("gemms_by_wgmma", [each.by_wgmma for each in fallbacks]),
        ):
            if any(gemms):
                machine[name] = sorted(set().union(*gemms))
    return machine


def describe_images(pack: Split, validation: Split) -> dict[str, Any]:
    """Return counts and a digest of names, labels, classes and mean image."""
    assert pack.mean is not None  # train has one
    total = hashlib.sha256(np.ascontiguousarray(pack.mean, np.float32).tobytes())
    for part in (pack, validation):
        total.update(json.dumps([part.classes, part.names]).encode() + part.labels.astype("<i4").tobytes())
    return {"train": len(pack), "validation": len(validation), "digest": total.hexdigest()}


def check_images(expected: dict[str, Any] | None, got: dict[str, Any]) -> None:
    """Raise DataError unless the data set is the run's."""
    if expected == got:
        return
    counts = [f"{known['train']} + {known['validation']}" for known in (got, expected or {}) if known]
    different = f"{counts[0]} images, expected {counts[-1]}"
    if len(set(counts)) == 1:
        different = f"{counts[0]} images as expected, but with other names, classes or contents"
    raise DataError(f"not the data set of this run: {different}. Give the run's own data set, or start a new run.")


def _compiler() -> list[int] | None:
    """Return the version of NVRTC, if it is installed."""
    try:
        return list(compiler_version())
    except DeviceError:
        return None


def recipe(described: dict[str, Any] | None) -> Recipe:
    """Make a recipe from `Recipe.described`, read from a file."""
    unknown = sorted(set(described or {}) - {field.name for field in fields(Recipe)})
    if unknown or not described:
        raise UsageError(
            f"this run has {'the recipe of another version of cualex' if described else 'no recipe'}. Start a new run."
        )
    return Recipe(**{name: _plain(value) for name, value in described.items()})


def check(run: Run, wanted: Recipe) -> None:
    """Raise UsageError when a run is finished and cannot go on, or the recipe has other random draws."""
    before, outcome = check_fixed(run, wanted), run.outcome()
    if outcome and not run.resumable:
        data = shlex.quote(str(run.arguments().get("data", "DATA")))
        raise UsageError(
            f"{run.path} is finished, after {outcome['epochs']} epochs, and its checkpoints were removed, for lack of "
            f"--keep. Start a new run from its weights: cualex train {data} --from "
            f"{shlex.quote(str(run.path / 'best.safetensors'))}"
        )
    if outcome and (wanted == before or wanted.epochs <= outcome["epochs"]):
        raise UsageError(f"{run.path} is finished, after {outcome['epochs']} epochs. Give more --epochs to continue.")


def check_fixed(run: Run, wanted: Recipe) -> Recipe:
    """Return a run's recipe; raise UsageError when `wanted` has another network or other random draws."""
    before = recipe(run.arguments().get("recipe"))
    for name in FIXED:
        if (expected := getattr(before, name)) != (got := getattr(wanted, name)):
            if name == "variant":
                expected, got = (arguments.said(each) or "none" for each in (expected, got))
            raise UsageError(
                f"{run.path}: its {name} is {expected}, got {got}, and cannot change on resume. Leave the option out, "
                "or start a new run."
            )
    return before


def restore(schedule: Schedule, state: dict[str, Any], before: Recipe) -> None:
    """Restore a schedule, except for fields that the new recipe changes.

    A finished schedule continues after such a change. A schedule of another kind starts again.
    """
    new, old = schedule.state(), before.begin().state()
    if new.keys() == state.keys():
        for name, value in state.items():
            if new[name] == old[name] and (name != "finished" or new == old):
                setattr(schedule, name, _plain(value))


def changes_text(different: dict[str, list[Any]]) -> str:
    """Return changes as a line of text."""
    return ", ".join(f"{name} {json.dumps(now)} (was {json.dumps(was)})" for name, (was, now) in different.items())


def _plain(value: Any) -> Any:
    """Return a tuple for a list, JSON's form of it, and other values as they are."""
    return tuple(value) if isinstance(value, list) else value
