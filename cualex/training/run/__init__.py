"""A run: one training and its directory; what is written into it, and how it is restored."""

from cualex.training.run.directory import Run, newest_weights

__all__ = ["Run", "newest_weights"]
