"""A run: one training and its directory; writing it and resuming from it."""

from cualex.training.run.directory import Run, newest_weights

__all__ = ["Run", "newest_weights"]
