"""A run: one training and its directory; writing it and resuming from it."""

from cualex.training.run.directory import Run
from cualex.training.run.newest import newest_unfinished, newest_weights

__all__ = ["Run", "newest_unfinished", "newest_weights"]
