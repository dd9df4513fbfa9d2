"""The newest run of a directory of runs: to resume, or to take its weights."""

from pathlib import Path

from cualex.errors import UsageError


def newest_unfinished(root: str | Path = "runs") -> Path:
    """Return the latest unfinished run below `root`; raise UsageError when there is none."""
    begun = sorted(Path(root).glob("*/args.json"), key=lambda file: file.stat().st_mtime_ns)
    for file in reversed(begun):
        if not (file.parent / "finished.json").exists():
            return file.parent
    raise UsageError(f"no unfinished run in {Path(root)}. `cualex train` starts one.")


def newest_weights(root: str | Path = "runs") -> Path:
    """Return best.safetensors of the newest finished run below `root`; raise UsageError when there is none."""
    marks = sorted(Path(root).glob("*/finished.json"), key=lambda mark: mark.stat().st_mtime_ns)
    for mark in reversed(marks):
        if (best := mark.with_name("best.safetensors")).exists():
            return best
    raise UsageError(
        f"no finished run in {Path(root)}: train one with `cualex train FOLDER`, or give a weights file with --weights"
    )
