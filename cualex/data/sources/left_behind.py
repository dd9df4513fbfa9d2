"""Folders that systems and programs leave behind: they hold no classes, whatever images lie in them."""

import re
from collections.abc import Iterable

_NAMES = {
    *("__macosx", "_macosx", "$recycle.bin", "recycler", "system volume information", "lost+found"),
    *("network trash folder", "temporary items", "found.000", "msocache"),
    *("#recycle", "#snapshot", "~snapshot", "__pycache__", "node_modules", "site-packages"),
    *("wandb", "mlruns", "lightning_logs", "tb_logs", "tensorboard_logs"),
}
# Synology and QNAP put an @ before theirs; editors and offices surround copies with # and ~.
_PATTERN = re.compile(r"\.|@(?:eadir|tmp|recycle|recently-snapshot|sharesnap|syno)|~\$|\$recycle", re.IGNORECASE)
# What tells a directory of cualex's own runs, whose samples and plots are no images of a set.
_RUN = ("args.json", "env.json", "log.jsonl")


def is_left_behind(part: str) -> bool:
    """Return whether a folder's or file's name is hidden, or one that no person gave."""
    return part.lower() in _NAMES or _PATTERN.match(part) is not None


def runs(names: Iterable[str]) -> list[str]:
    """Return the folders ("a/b/") among the names of files that are cualex's run directories."""
    held: dict[str, set[str]] = {}
    for name in names:
        folder, _, base = name.rpartition("/")
        if base in _RUN and folder:
            held.setdefault(f"{folder}/", set()).add(base)
    return [folder for folder, bases in held.items() if len(bases) == len(_RUN)]
